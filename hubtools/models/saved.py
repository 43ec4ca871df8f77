"""The model folder of a run: what is published is what was measured, and a stranger can load it."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hubtools.common.bounds import json_values
from hubtools.common.errors import UserError
from hubtools.common.files import replacing_folder
from hubtools.common.hub import hub_errors
from hubtools.common.readers import reads
from hubtools.models import modeling_protein_task
from hubtools.models.checkpoint import ENCODER, HEAD, check_weights, checkpoint_on_hub
from hubtools.models.encoder_note import EncoderNote, weights_sha256
from hubtools.models.execution.held import HELD, held_layers
from hubtools.models.families import family_of
from hubtools.models.foreign import check_config, loaded, read_json
from hubtools.models.four_bits import load_bitsandbytes
from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.models.task_model import NativeTaskModel, label_settings, use_head
from hubtools.models.tokenisation import ResidueTokeniser
from hubtools.specs.head_kinds import HEADS
from hubtools.specs.names import HUB_ID
from hubtools.specs.record import CheckpointIdentity
from hubtools.specs.task import Task

CONFIG, ADAPTER_CONFIG, WEIGHTS = "config.json", "adapter_config.json", "model.safetensors"
MODELING_FILE = Path(modeling_protein_task.__file__)
# Logits of the native class may differ from ours by rounding only.
SAME_LOGITS = 1e-5


def save_model(
    model: ProteinTaskModel | NativeTaskModel,
    tokeniser: ResidueTokeniser,
    task: Task,
    folder: Path,
    note: EncoderNote | None = None,
) -> None:
    """Write weights (safetensors), configuration and tokenizer, under another name until complete.

    A per-residue model is written as the architecture's own ``…ForTokenClassification`` where that computes the
    same; everything else ships ``modeling_protein_task.py``.

    Args:
        model, tokeniser, task, folder: what is written, and where.
        note: of the encoder, which is then left out: of the weights the folder holds the head's alone.
    """
    with replacing_folder(folder, CONFIG) as staging:
        native: Any = model.model if isinstance(model, NativeTaskModel) else native_twin(model, tokeniser, task)
        if native is None:
            ship_code(model.config, staging)
        whole = model if native is None else native
        head = None if note is None else _without_encoder(whole, model.encoder)
        if note is None or head is None:
            save_weights(whole, staging)
        else:
            _save_head(whole, head, note.model_copy(update={"sha256": weights_sha256(model.encoder)}), staging)
        tokeniser.tokenizer.save_pretrained(staging)
        _for_strangers(staging, tokeniser.tokenizer)


def _without_encoder(whole: Any, encoder: nn.Module) -> dict[str, torch.Tensor] | None:
    """The weights of a model that are not its encoder's; None where it holds other than the encoder has."""
    body = getattr(whole, whole.base_model_prefix)
    if type(body) is not type(encoder) or body.state_dict().keys() != encoder.state_dict().keys():
        return None
    return {name: v for name, v in whole.state_dict().items() if not name.startswith(f"{whole.base_model_prefix}.")}


def _save_head(whole: Any, head: dict[str, torch.Tensor], note: EncoderNote, folder: Path) -> None:
    """Write a model's configuration, the weights of its head, and which encoder it has."""
    whole.save_pretrained(folder, state_dict=head)
    (folder / WEIGHTS).rename(folder / HEAD)
    said = note.model_dump_json(indent=2, exclude=None if note.held else {"held"})
    (folder / ENCODER).write_text(said + "\n")


def save_weights(model: Any, folder: Path) -> None:
    """Write weights and configuration, the rotary frequencies of ESM-2 where transformers 4 and TensorFlow look for them.

    The authors' checkpoints hold them, rounded, once a layer. transformers 5 keeps them once a model, and saves them under
    a name that only it reads; without them 4 computes exact ones, which moves logits by some 1e-4.
    """
    once = "rotary_embeddings.inv_freq"
    # Of held weights a stranger's float32 model gives under autocast what was measured.
    weights = {name: value.float() if value.dtype == HELD else value for name, value in model.state_dict().items()}
    for name in [name for name in weights if name.endswith(once)]:
        inside = f"{name.removesuffix(once)}encoder.layer."
        layers = {key.removeprefix(inside).split(".")[0] for key in weights if key.startswith(inside)}
        if layers:
            frequencies = weights.pop(name)
            each = {f"{inside}{layer}.attention.self.{once}": frequencies.clone() for layer in layers}
            # As they are called here: what is saved in the "original" format gets that other name.
            model.save_pretrained(folder, state_dict={**weights, **each}, save_original_format=False)
            return
    model.save_pretrained(folder, state_dict=weights if held_layers(model) else None)


def save_adapter(model: ProteinTaskModel, tokeniser: ResidueTokeniser, folder: Path, base: CheckpointIdentity) -> None:
    """Write adapter and head in peft's own format, under another name until complete. To be called before merging.

    ``PeftModel.from_pretrained(model, folder)`` on a :class:`ProteinTaskModel` of the same base checkpoint, whose
    configuration, modelling file and tokenizer lie beside, gives the model back. (After qlora: on one that
    :func:`hubtools.models.adapters.quantise` was called for.)
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    encoder: Any = model.encoder
    config = encoder.peft_config["default"]
    heads = [
        name for name, part in model.named_children() if name != "encoder" and any(True for _ in part.parameters())
    ]
    weights = {
        f"encoder.{name}": value
        for name, value in get_peft_model_state_dict(encoder, save_embedding_layers=False).items()
    }
    # peft takes modules by how their path ends: ESM's contact head, which nothing here reads, is taken for a head too.
    taken = tuple(f"{name}." for name, _ in model.named_modules() if name.endswith(tuple(heads)))
    weights |= {name: value for name, value in model.state_dict().items() if name.startswith(taken)}
    # The configuration names modules from the whole model.
    values: dict[str, Any] = {"target_modules": rf"encoder\.(?:{config.target_modules})", "modules_to_save": heads}
    if getattr(config, "feedforward_modules", None):
        values["feedforward_modules"] = rf"encoder\.(?:{config.feedforward_modules})"
    values |= {"base_model_name_or_path": base.name, "revision": base.commit, "inference_mode": True}
    with replacing_folder(folder, ADAPTER_CONFIG) as staging:
        save_file(
            {f"base_model.model.{name}": value.detach().cpu().contiguous() for name, value in weights.items()},
            staging / "adapter_model.safetensors",
            metadata={"format": "pt"},
        )
        type(config)(**config.to_dict() | values).save_pretrained(str(staging))
        ship_code(model.config, staging)
        model.config.save_pretrained(staging)
        tokeniser.tokenizer.save_pretrained(staging)
        _for_strangers(staging, tokeniser.tokenizer)


def ship_code(config: Any, folder: Path) -> None:
    """Put the modelling file into a model's folder, and its name into the configuration that will be saved there.

    A head of a file of its own stands at the end of it: what a stranger reads and runs is one file.

    The entry for transformers' own task class is what ``pipeline`` asks for; of pairs, and of several chains, there is none.
    """
    where = f"{MODELING_FILE.stem}.ProteinTask"
    config.auto_map = {"AutoConfig": f"{where}Config", "AutoModel": f"{where}Model"}
    if not config.per_pair and config.chains == 1:
        kind = "Token" if config.per_residue else "Sequence"
        config.auto_map[f"AutoModelFor{kind}Classification"] = f"{where}Model"
    shutil.copyfile(MODELING_FILE, folder / MODELING_FILE.name)
    if config.head_kind is not None:
        own = HEADS[config.head_kind]
        # The file has this line already, where alone it may stand.
        head = re.sub(r"^from __future__ .*\n", "", use_head(own), flags=re.MULTILINE)
        with (folder / MODELING_FILE.name).open("a", encoding="utf-8") as file:
            file.write(f"\n\n{head.strip()}\n\n\nHEADS[{own.name!r}] = {own.module.partition(':')[2]}\n")


def _for_strangers(folder: Path, tokenizer: Any) -> None:
    """Leave in the configuration files nothing of where this machine keeps things, and what transformers 4 reads as well.

    transformers 5 names some things anew and reads the names of 4 all the same, which neither knows the new ones nor
    says so.
    """
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            values = json_values(path.read_text())
            for key in ("_name_or_path", "name_or_path"):
                values.pop(key, None)
            if name == "config.json":
                _config_for_both(values)
            else:
                _tokenizer_for_both(values, tokenizer)
            path.write_text(json.dumps(values, indent=2) + "\n")


def _tokenizer_for_both(values: dict[str, Any], tokenizer: Any) -> None:
    """The class that any tokenizer.json has, and the list of further special tokens, under the names of transformers 4."""
    if values.get("tokenizer_class") == "TokenizersBackend":
        values["tokenizer_class"] = "PreTrainedTokenizerFast"
        # In 4 this class makes token_type_ids as well, which T5 and ModernBERT refuse, unless it is told what to make.
        values["model_input_names"] = list(tokenizer.model_input_names)
    # 4 has a dictionary of this name, which is for something else.
    if isinstance(values.get("extra_special_tokens"), list):
        further = values.pop("extra_special_tokens")
        if further:
            values["additional_special_tokens"] = further


def _config_for_both(values: dict[str, Any]) -> None:
    """Rotary positions, also of an encoder's configuration inside, beside how 4 spells them: else it takes its defaults."""
    if isinstance(values.get("encoder"), dict):
        _config_for_both(values["encoder"])
    rope = values.get("rope_parameters")
    if not isinstance(rope, dict):
        return
    if "full_attention" not in rope:
        if "rope_theta" in rope:
            values.setdefault("rope_theta", rope["rope_theta"])
        if rope.get("rope_type", "default") != "default":
            values.setdefault("rope_scaling", {key: value for key, value in rope.items() if key != "rope_theta"})
        return
    # ModernBERT: of its layers every n-th, from the first, attends to all of the sequence.
    values.setdefault("global_rope_theta", rope["full_attention"]["rope_theta"])
    values.setdefault("local_rope_theta", rope["sliding_attention"]["rope_theta"])
    whole = [kind == "full_attention" for kind in values["layer_types"]]
    for n in range(1, len(whole) + 1):
        if whole == [i % n == 0 for i in range(len(whole))]:
            values.setdefault("global_attn_every_n_layers", n)
            break


def native_twin(model: ProteinTaskModel, tokeniser: ResidueTokeniser, task: Task) -> nn.Module | None:
    """The same per-residue model as the architecture's own transformers class, or None where there is none.

    Whether it is the same is not looked up but computed, on sequences of several lengths in one padded batch.
    """
    # Their heads are one linear layer on the last layer's representation, and read padded rows.
    settings: Any = model.config
    linear_on_last = settings.layer is None and not settings.head_hidden and settings.head_kind is None
    if not task.problem.level.by_residue or not linear_on_last or settings.equal_lengths:
        return None
    from transformers import AutoModelForTokenClassification

    encoder: Any = model.encoder
    config = type(encoder.config).from_dict({**encoder.config.to_dict(), **label_settings(task)})
    try:
        twin = AutoModelForTokenClassification.from_config(config).float()
    except ValueError:
        return None
    linear = [m for m in twin.children() if isinstance(m, nn.Linear) and m.out_features == config.num_labels]
    body = getattr(twin, twin.base_model_prefix, None)
    if len(linear) != 1 or body is None:
        return None
    ours = model.encoder.state_dict()
    if (missing := set(body.state_dict()) - set(ours)) and any("pooler" not in key for key in missing):
        return None
    body.load_state_dict(ours, strict=False)
    head: Any = model.head
    linear[0].load_state_dict(head[-1].state_dict())
    twin.eval()
    model.eval()
    rows = [
        tokeniser.with_special(tokeniser.encode(s)) for s in ("MKTAYIAKQRQISFVKSHFSRQ", "ACDEFGHIKLMNPQRSTVWY", "MW")
    ]
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), tokeniser.pad_id)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.from_numpy(row)
    mask = (torch.arange(width) < torch.tensor([[len(row)] for row in rows])).long()
    device = next(model.parameters()).device
    with torch.no_grad():
        expected = model(ids.to(device), mask.to(device)).logits.float().cpu()
        got = twin(input_ids=ids, attention_mask=mask).logits.float()
    real = mask.bool()
    return twin if torch.allclose(expected[real], got[real], atol=SAME_LOGITS, rtol=1e-4) else None


@reads("saved model")
def load_model(folder: Path, task: Task, *, shipped_code: bool = True) -> tuple[Any, ResidueTokeniser]:
    """Load a model folder as a stranger would: plain transformers, and the file that ships with it.

    Args:
        folder: of the model.
        task: that it was trained on.
        shipped_code: whether to run that file, as a stranger does. Without, this package's own copy of it is used, and
            no code of the folder's is run: right for a folder from somebody else.

    Returns:
        The model, callable as :class:`ProteinTaskModel`, and its tokeniser.

    Raises:
        UserError: the folder is not a model that bench saved; or its head is one of a package that is not installed
            here, and the shipped code is not to be run.
    """
    if not (folder / CONFIG).is_file():
        raise UserError("there is no model", where=str(folder), fix="Baselines and failed runs have none.")
    if (folder / ENCODER).is_file() and not any(folder.glob("model*.safetensors")):
        raise UserError(
            "it holds a head, and names its encoder",
            where=str(folder),
            fix="Put the whole model together: bench materialise RUN -o FOLDER.",
        )
    config = read_json(folder / CONFIG, str(folder))
    check_config(config, str(folder))
    for path in [*folder.glob("*.safetensors"), *folder.glob("*.index.json")]:
        check_weights(path)
    refuse_code_of_others(config, folder)
    if not shipped_code:
        refuse_other(config, task, folder)
    code = None if shipped_code else "No code that lies beside a model is run here."
    return loaded(
        lambda: _model_in(folder, config, task, shipped_code), str(folder), config.get("model_type"), code=code
    )


def refuse_code_of_others(config: dict[str, Any], folder: Path) -> None:
    """A model whose encoder is code of the checkpoint's: that code does not ship with it, and nobody who asks it runs it.

    Raises:
        UserError: it is one.
    """
    from transformers import CONFIG_MAPPING

    encoder = config.get("encoder")
    kind = encoder.get("model_type") if is_own(config) and isinstance(encoder, dict) else None
    if isinstance(kind, str) and kind not in CONFIG_MAPPING and encoder and encoder.get("auto_map"):
        raise UserError(
            f"its encoder ({kind[:80]}) is code of its checkpoint's repository, which does not ship with a model, so that "
            "nobody can load it as it is",
            where=str(folder),
            fix="Its record, predictions and card are whole. To ask or publish a model, train a checkpoint that transformers has.",
        )


def refuse_other(config: dict[str, Any], task: Task, folder: Path) -> None:
    """Make sure that a configuration is one that bench could have written for a task.

    Raises:
        UserError: it is not.
    """
    encoder = config.get("encoder", {})
    own = is_own(config)
    layer, outputs = config.get("layer"), config.get("id2label")
    if own and not (isinstance(encoder, dict) and isinstance(encoder.get("model_type"), str)):
        what = "it says nothing of the encoder"
    elif not all(config.get(key) is None or isinstance(config[key], str) for key in ("head_kind", "model_type")):
        what = "its head or its model_type is not a name"
    elif config.get("quantization_config") is not None or (own and encoder.get("quantization_config") is not None):
        what = "its weights are quantised, and bench saves none that are"
    elif layer is not None and not (isinstance(layer, int) and abs(layer) <= len_of_layers(encoder)):
        what = f"its head reads the layer {str(layer)[:20]}, which the encoder does not have"
    elif not isinstance(outputs, dict) or len(outputs) != task.n_outputs:
        what = f"it has other outputs than the {task.n_outputs} of the task in the record"
    else:
        return
    raise UserError(f"config.json is not as bench writes it: {what}", where=str(folder), fix="Get the model again.")


def len_of_layers(encoder: dict[str, Any]) -> int:
    """How many layers a configuration has; 0 where it does not say."""
    found = [encoder.get(key) for key in ("num_hidden_layers", "num_layers", "n_layers")]
    return next((one for one in found if isinstance(one, int)), 0)


def _model_in(folder: Path, config: dict[str, Any], task: Task, shipped_code: bool) -> tuple[Any, ResidueTokeniser]:
    """The model and its tokeniser; files and configuration have been looked at."""
    import transformers
    from transformers import AutoModel

    if is_own(config):
        if config.get("head_kind") and not shipped_code:
            use_head(HEADS[config["head_kind"]])
        trusted = {"trust_remote_code": True} if shipped_code else {}
        if (folder / ADAPTER_CONFIG).is_file():
            model: Any = _with_adapter(folder, trusted)
        else:
            loader: Any = AutoModel if shipped_code else ProteinTaskModel
            model = loader.from_pretrained(folder, dtype=torch.float32, **trusted)
    else:
        auto = getattr(transformers, str(task.problem.level.auto_class))
        # Said, for otherwise transformers asks on a terminal whether to run code.
        native = auto.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
        model = NativeTaskModel(native, task.problem.level.by_residue)
    return model.eval(), tokeniser_in(folder, config, shipped_code)


def is_own(config: dict[str, Any]) -> bool:
    """Whether a configuration is of bench's modelling file rather than of a class of transformers."""
    return config.get("model_type") == ProteinTaskModel.config_class.model_type


def tokeniser_in(folder: Path, config: dict[str, Any], shipped_code: bool = False) -> ResidueTokeniser:
    """The tokeniser in a model's folder. It is a stock one, but AutoTokenizer reads the model's configuration first."""
    from transformers import AutoConfig, AutoTokenizer

    own_code = is_own(config)
    options: dict[str, Any] = {"trust_remote_code": own_code and shipped_code}
    if own_code and not shipped_code:
        settings = dict(config["encoder"])
        options["config"] = AutoConfig.for_model(settings.pop("model_type"), **settings)
    tokenizer = AutoTokenizer.from_pretrained(folder, clean_up_tokenization_spaces=False, **options)
    encoder_config = config["encoder"] if own_code else config
    tokeniser = ResidueTokeniser.probe(tokenizer, family_of(encoder_config), encoder_config)
    return replace(tokeniser, name=str(folder))


def _with_adapter(folder: Path, trusted: dict[str, bool]) -> Any:
    """The base checkpoint with an adapter and head from a folder, merged: what peft makes of the two.

    Args:
        folder: in peft's format, the model's configuration beside.
        trusted: whether the modelling file beside is run; else this package's copy is.
    """
    # Before peft looks for it, which has it say on the screen what it lacks.
    load_bitsandbytes()
    from peft import PeftModel
    from transformers import AutoConfig, AutoModel

    about = read_json(folder / ADAPTER_CONFIG, str(folder))
    base, revision = about.get("base_model_name_or_path"), about.get("revision")
    if trusted:
        model: Any = AutoModel.from_config(AutoConfig.from_pretrained(folder, **trusted), **trusted).float()
    else:
        _refuse_other_adapter(about, folder)
        model = ProteinTaskModel(ProteinTaskModel.config_class.from_pretrained(folder))
        # Looked at like any checkpoint, and never a folder of this machine that has its name.
        base, revision = str(checkpoint_on_hub(str(base), str(revision)).files()), None
    with hub_errors(f"base model {base}"):
        model.load_encoder(base, revision=revision)
    with warnings.catch_warnings():
        # Of names that peft still asks transformers for.
        warnings.simplefilter("ignore", FutureWarning)
        adapted: Any = PeftModel.from_pretrained(model, str(folder))
    return adapted.merge_and_unload()


# Modules by their names: no repetition in which a search could lose itself.
_TARGETS = re.compile(r"(?:\\d\+|\\\.|[\w.|()?:])*", re.ASCII)
_KINDS = ("LORA", "IA3")
_MOST_RANK = 4096


@reads("configuration of an adapter")
def _refuse_other_adapter(about: dict[str, Any], folder: Path) -> None:
    """Make sure that an adapter's configuration is one that bench could have written.

    Raises:
        UserError: it is not.
    """
    targets = [about.get(key) for key in ("target_modules", "feedforward_modules") if about.get(key) is not None]
    base = f"{about.get('base_model_name_or_path')}@{about.get('revision')}"
    if not re.fullmatch(rf"{HUB_ID}@[0-9a-f]{{40}}", base):
        what = f"the base model {base[:80]!r} is no commit on the Hub"
    elif about.get("peft_type") not in _KINDS or about.get("auto_mapping") is not None:
        what = "it is of a kind that bench does not train"
    elif not all(isinstance(one, str) and len(one) < 10_000 and _TARGETS.fullmatch(one) for one in targets):
        what = "it names its modules otherwise"
    elif not isinstance(rank := about.get("r", 1), int) or not 0 < rank <= _MOST_RANK:
        what = f"its rank is {str(rank)[:20]}"
    elif any(about.get(key) for key in ("rank_pattern", "layer_replication", "megatron_config", "target_parameters")):
        what = "it holds more than bench writes"
    else:
        return
    where = str(folder)
    raise UserError(f"{ADAPTER_CONFIG} is not as bench writes it: {what}", where=where, fix="Get the model again.")
