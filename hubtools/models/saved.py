"""The model folder of a run: what is published is what was measured, and a stranger can load it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hubtools.models import modeling_protein_task
from hubtools.models.families import family_of
from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.models.task_model import NativeTaskModel, label_settings
from hubtools.models.tokenisation import ResidueTokeniser
from hubtools.specs.errors import UserError
from hubtools.specs.files import replacing_folder
from hubtools.specs.task import Task

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
    with replacing_folder(folder) as staging:
        native: Any = model.model if isinstance(model, NativeTaskModel) else native_twin(model, tokeniser, task)
        if native is not None:
            native.save_pretrained(staging)
        else:
            config: Any = model.config
            config.auto_map = {
                "AutoConfig": "modeling_protein_task.ProteinTaskConfig",
                "AutoModel": "modeling_protein_task.ProteinTaskModel",
            }
            ours: Any = model
            ours.save_pretrained(staging)
            shutil.copyfile(MODELING_FILE, staging / MODELING_FILE.name)
        tokeniser.tokenizer.save_pretrained(staging)
        _forget_paths(staging)


def _forget_paths(folder: Path) -> None:
    """Remove where this machine keeps things from the configuration files."""
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            values = json.loads(path.read_text())
            for key in ("_name_or_path", "name_or_path"):
                values.pop(key, None)
            path.write_text(json.dumps(values, indent=2) + "\n")


def native_twin(model: ProteinTaskModel, tokeniser: ResidueTokeniser, task: Task) -> nn.Module | None:
    """The same per-residue model as the architecture's own transformers class, or None where there is none.

    Whether it is the same is not looked up but computed, on sequences of several lengths in one padded batch.
    """
    # Their heads are one linear layer on the last layer's representation.
    linear_on_last = model.config.layer is None and not model.config.head_hidden
    if not task.problem.per_residue or not linear_on_last:
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
    linear[0].load_state_dict(model.head[-1].state_dict())
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
        UserError: the folder is not a model that bench saved.
    """
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        AutoTokenizer,
    )

    try:
        config = json.loads((folder / "config.json").read_text())
    except OSError:
        raise UserError("there is no model", where=str(folder), fix="Baselines and failed runs have none.") from None
    per_residue = task.problem.per_residue
    own_code = config["model_type"] == ProteinTaskModel.config_class.model_type
    if own_code:
        loader: Any = AutoModel if shipped_code else ProteinTaskModel
        trusted = {"trust_remote_code": True} if shipped_code else {}
        model: Any = loader.from_pretrained(folder, dtype=torch.float32, **trusted)
        encoder_type = config["encoder"]["model_type"]
    else:
        auto = AutoModelForTokenClassification if per_residue else AutoModelForSequenceClassification
        model = NativeTaskModel(auto.from_pretrained(folder, dtype=torch.float32), per_residue)
        encoder_type = config["model_type"]
    # The tokenizer is a stock one, but AutoTokenizer reads the model's configuration first.
    options: dict[str, Any] = {"trust_remote_code": own_code}
    if own_code and not shipped_code:
        settings = dict(config["encoder"])
        options = {"config": AutoConfig.for_model(settings.pop("model_type"), **settings)}
    tokenizer = AutoTokenizer.from_pretrained(folder, clean_up_tokenization_spaces=False, **options)
    return model.eval(), ResidueTokeniser.probe(tokenizer, family_of(encoder_type).renderings)
