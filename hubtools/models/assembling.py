"""A small model folder and its encoder, put together: the very model that was measured, and proven to be."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.models.adapters import is_adapter, put_adapter
from hubtools.models.checkpoint import HEAD, Checkpoint, check_weights
from hubtools.models.encoder import load_encoder
from hubtools.models.encoder_note import EncoderNote, read_note, weights_sha256
from hubtools.models.foreign import check_config, loaded, read_json
from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.models.saved import CONFIG, is_own, load_model, refuse_other, save_weights, tokeniser_in
from hubtools.models.task_model import NativeTaskModel, use_head
from hubtools.models.tokenisation import ResidueTokeniser
from hubtools.specs.head_kinds import HEADS
from hubtools.specs.recipe import Recipe
from hubtools.specs.task import Task

ADAPTER_WEIGHTS = "adapter_model.safetensors"
log = logging.getLogger(__name__)


@reads("small model")
def put_together(
    folder: Path, task: Task, recipe: Recipe, checkpoint: Checkpoint, adapter: Path
) -> tuple[Any, ResidueTokeniser]:
    """The whole model of a small folder, in memory. No code that lies beside it, or beside its checkpoint, is run.

    Args:
        folder: of the model.
        task, recipe: of its run.
        checkpoint: that the folder's note names.
        adapter: folder of the adapter, where one was trained.

    Returns:
        The model and its tokeniser, as :func:`hubtools.models.saved.load_model`.

    Raises:
        UserError: something is missing or not as bench writes it, or the weights of the encoder are others than the run's.
    """
    config = read_json(folder / CONFIG, str(folder))
    check_config(config, str(folder))
    refuse_other(config, task, folder)
    note, head = read_note(folder), _tensors(folder / HEAD)
    # Whoever asks a model draws nothing of it: random weights, fresh adapters and heads leave the generator as it was.
    with torch.random.fork_rng(devices=[]):
        encoder: Any = load_encoder(checkpoint, weights=note.weights, seed=note.seed or 0)
        if note.base is not None and weights_sha256(encoder, note.held) != note.base:
            raise _other(note, checkpoint)
        if note.adapter:
            if recipe.adapter is None:
                what = "its encoder is said to have an adapter, and its recipe has none"
                raise UserError(what, where=str(folder), fix="Get it again, or run it again with --force.")
            learnt = _tensors(adapter / ADAPTER_WEIGHTS)
            prefix = "base_model.model.encoder."
            named = {name.removeprefix(prefix): v for name, v in learnt.items() if is_adapter(name)}
            put_adapter(encoder, recipe.adapter, named, checkpoint.name)
        proven = weights_sha256(encoder, note.held)
        if proven != note.sha256:
            if not note.adapter:
                raise _other(note, checkpoint)
            log.warning(
                "the adapter was merged on another kind of processor: some of the last bits of its weights are others"
            )
        where = str(folder)
        model = loaded(lambda: _with_head(folder, config, task, encoder, head), where, config.get("model_type"))
        if weights_sha256(model.encoder, note.held) != proven:
            raise UserError("putting the head on changed the encoder", where=where, fix="Report this.")
    tokeniser = loaded(lambda: tokeniser_in(folder, config), where, config.get("model_type"))
    return model.eval(), tokeniser


def _other(note: EncoderNote, checkpoint: Checkpoint) -> UserError:
    """What is said where the encoder's weights are not those of the run."""
    if note.weights == "random":
        what = f"its random weights are drawn otherwise here (by torch {torch.__version__}; in the run by {note.torch})"
        return UserError(
            what, where=checkpoint.name, fix="Put it together on a machine like the run's, or run it again."
        )
    return UserError(
        f"its encoder has other weights than in the run (torch {torch.__version__} here, {note.torch} there)",
        where=checkpoint.name,
        fix="Get the checkpoint again as it was, with the versions of the run's record, or run it again with --force.",
    )


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    if not path.is_file():
        raise UserError("there are no weights", where=str(path), fix="Put the file back, or run it again with --force.")
    check_weights(path)
    return load_file(path)


def _with_head(folder: Path, config: dict[str, Any], task: Task, encoder: Any, head: dict[str, torch.Tensor]) -> Any:
    """The encoder with the saved head, in the class that the configuration names.

    Raises:
        ValueError: the head is of another model.
    """
    import transformers

    # transformers draws the weights of modules that it does not know to be filled, as those are that were of four bits.
    for part in (*encoder.modules(), *encoder.parameters()):
        part._is_hf_initialized = True
    if is_own(config):
        if config.get("head_kind"):
            use_head(HEADS[config["head_kind"]])
        whole: Any = ProteinTaskModel(ProteinTaskModel.config_class.from_pretrained(folder), encoder=encoder)
    else:
        auto = getattr(transformers, str(task.problem.level.auto_class))
        settings = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        # Its own encoder is never made: what takes no memory gives its place.
        with torch.device("meta"):
            whole = auto.from_config(settings, trust_remote_code=False)
        setattr(whole, whole.base_model_prefix, encoder)
    said = whole.load_state_dict(head, strict=False, assign=True)
    inside = f"{whole.base_model_prefix}."
    missing = [name for name in said.missing_keys if not name.startswith(inside)]
    if missing or said.unexpected_keys:
        raise ValueError(f"the head lacks {missing[:1]} or has {said.unexpected_keys[:1]}")
    return whole if is_own(config) else NativeTaskModel(whole, task.problem.level.by_residue)


def write_weights(model: Any, folder: Path) -> None:
    """Write weights and configuration of a model that was put together into a new folder."""
    save_weights(model.model if isinstance(model, NativeTaskModel) else model, folder)


def require_same(model: Any, folder: Path, task: Task) -> None:
    """Read back a model's folder, and hold every weight against the model.

    Raises:
        UserError: one is another.
    """
    ours, theirs = model.state_dict(), load_model(folder, task, shipped_code=False)[0].state_dict()
    other = [name for name, value in ours.items() if name not in theirs or not torch.equal(value, theirs[name])]
    if other or theirs.keys() != ours.keys():
        raise UserError(f"what is read back is not what was written (first: {other[:1]})", where=str(folder))
