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
from hubtools.models import modeling_protein_task
from hubtools.models.families import family_of
from hubtools.models.four_bits import load_bitsandbytes
from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.models.task_model import NativeTaskModel, label_settings, use_head
from hubtools.models.tokenisation import ResidueTokeniser
from hubtools.specs.head_kinds import HEADS
from hubtools.specs.record import CheckpointIdentity
from hubtools.specs.task import Task

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
MODELING_FILE = Path(modeling_protein_task.__file__)
# Logits of the native class may differ from ours by rounding only.
SAME_LOGITS = 1e-5


def save_model(
    model: ProteinTaskModel | NativeTaskModel, tokeniser: ResidueTokeniser, task: Task, folder: Path
) -> None:
    """Write weights (safetensors), configuration and tokenizer, under another name until complete.

    A per-residue model is written as the architecture's own ``…ForTokenClassification`` where that computes the
    same; everything else ships ``modeling_protein_task.py``.
    """
    with replacing_folder(folder, CONFIG) as staging:
        native: Any = model.model if isinstance(model, NativeTaskModel) else native_twin(model, tokeniser, task)
        if native is not None:
            native.save_pretrained(staging)
        else:
            ship_code(model.config, staging)
            ours: Any = model
            ours.save_pretrained(staging)
        tokeniser.tokenizer.save_pretrained(staging)
        _forget_paths(staging)


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
        _forget_paths(staging)


def ship_code(config: Any, folder: Path) -> None:
    """Put the modelling file into a model's folder, and its name into the configuration that will be saved there.

    A head of a file of its own stands at the end of it: what a stranger reads and runs is one file.

    The entry for transformers' own task class is what ``pipeline`` asks for; of pairs there is none.
    """
    where = f"{MODELING_FILE.stem}.ProteinTask"
    config.auto_map = {"AutoConfig": f"{where}Config", "AutoModel": f"{where}Model"}
    if not config.per_pair:
        kind = "Token" if config.per_residue else "Sequence"
        config.auto_map[f"AutoModelFor{kind}Classification"] = f"{where}Model"
    shutil.copyfile(MODELING_FILE, folder / MODELING_FILE.name)
    if config.head_kind is not None:
        own = HEADS[config.head_kind]
        # The file has this line already, where alone it may stand.
        head = re.sub(r"^from __future__ .*\n", "", use_head(own), flags=re.MULTILINE)
        with (folder / MODELING_FILE.name).open("a", encoding="utf-8") as file:
            file.write(f"\n\n{head.strip()}\n\n\nHEADS[{own.name!r}] = {own.module.partition(':')[2]}\n")


def _forget_paths(folder: Path) -> None:
    """Remove where this machine keeps things from the configuration files."""
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            values = json_values(path.read_text())
            for key in ("_name_or_path", "name_or_path"):
                values.pop(key, None)
            path.write_text(json.dumps(values, indent=2) + "\n")


def native_twin(model: ProteinTaskModel, tokeniser: ResidueTokeniser, task: Task) -> nn.Module | None:
    """The same per-residue model as the architecture's own transformers class, or None where there is none.

    Whether it is the same is not looked up but computed, on sequences of several lengths in one padded batch.
    """
    # Their heads are one linear layer on the last layer's representation.
    settings: Any = model.config
    linear_on_last = settings.layer is None and not settings.head_hidden and settings.head_kind is None
    if not task.problem.level.by_residue or not linear_on_last:
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
    import transformers
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    try:
        config = json_values((folder / "config.json").read_text())
    except OSError:
        raise UserError("there is no model", where=str(folder), fix="Baselines and failed runs have none.") from None
    own_code = config["model_type"] == ProteinTaskModel.config_class.model_type
    if own_code:
        if config.get("head_kind") and not shipped_code:
            use_head(HEADS[config["head_kind"]])
        trusted = {"trust_remote_code": True} if shipped_code else {}
        encoder_config = config["encoder"]
        if (folder / ADAPTER_CONFIG).is_file():
            model: Any = _with_adapter(folder, trusted)
        else:
            loader: Any = AutoModel if shipped_code else ProteinTaskModel
            model = loader.from_pretrained(folder, dtype=torch.float32, **trusted)
    else:
        auto = getattr(transformers, str(task.problem.level.auto_class))
        model = NativeTaskModel(auto.from_pretrained(folder, dtype=torch.float32), task.problem.level.by_residue)
        encoder_config = config
    # The tokenizer is a stock one, but AutoTokenizer reads the model's configuration first.
    options: dict[str, Any] = {"trust_remote_code": own_code}
    if own_code and not shipped_code:
        settings = dict(config["encoder"])
        options = {"config": AutoConfig.for_model(settings.pop("model_type"), **settings)}
    tokenizer = AutoTokenizer.from_pretrained(folder, clean_up_tokenization_spaces=False, **options)
    tokeniser = ResidueTokeniser.probe(tokenizer, family_of(encoder_config))
    return model.eval(), replace(tokeniser, name=str(folder))


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

    about = json_values((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    base, revision = about["base_model_name_or_path"], about.get("revision")
    if trusted:
        model: Any = AutoModel.from_config(AutoConfig.from_pretrained(folder, **trusted), **trusted).float()
    else:
        model = ProteinTaskModel(ProteinTaskModel.config_class.from_pretrained(folder))
    with hub_errors(f"base model {base}"):
        model.load_encoder(base, revision=revision)
    with warnings.catch_warnings():
        # Of names that peft still asks transformers for.
        warnings.simplefilter("ignore", FutureWarning)
        adapted: Any = PeftModel.from_pretrained(model, str(folder))
    return adapted.merge_and_unload()
