"""An encoder with a head for one task: ours, or the checkpoint's native one, behind the same calls."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from hubtools.common.errors import UserError
from hubtools.common.registry import named
from hubtools.models import modeling_protein_task
from hubtools.models.adapters import attach_adapter
from hubtools.models.encoder import load_encoder, load_native
from hubtools.models.families import family_of
from hubtools.models.modeling_protein_task import ProteinTaskConfig, ProteinTaskModel, per_protein
from hubtools.specs.level import RESIDUE_PAIR

if TYPE_CHECKING:
    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.tokenisation import ResidueTokeniser
    from hubtools.specs.head_kinds import HeadKind
    from hubtools.specs.recipe import Recipe
    from hubtools.specs.task import Task

PROBLEM_TYPES = {
    "classification": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
}


class NativeTaskModel(nn.Module):
    """A transformers model with its own head, called as :class:`ProteinTaskModel` is.

    A protein of several windows gets the mean of their logits.
    """

    reads_residues = False

    def __init__(self, model: nn.Module, per_residue: bool) -> None:
        super().__init__()
        self.model: Any = model
        self.per_residue = per_residue
        # As our head, also where a model of ours was saved as the architecture's own class.
        last: Any = final_linear(model, self.config.num_labels)
        last.forward = MethodType(_without_autocast, last)

    @property
    def config(self) -> Any:
        """The model's configuration."""
        return self.model.config

    @property
    def encoder(self) -> nn.Module:
        """The part below the head."""
        return self.model.base_model

    def row_sums(self, input_ids: Any, attention_mask: Any, residue_mask: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of each row and the weight 1."""
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits.float()
        return logits, logits.new_ones(len(logits))

    def from_sums(self, sums: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Mean logits of each protein's windows."""
        return sums / counts.clamp_min(1).unsqueeze(-1)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        residue_mask: torch.Tensor | None = None,
        protein: torch.Tensor | None = None,
        n_proteins: int | None = None,
    ) -> Any:
        """Logits, shaped as those of :class:`ProteinTaskModel`."""
        if self.per_residue:
            return self.model(input_ids=input_ids, attention_mask=attention_mask)
        sums, counts = self.row_sums(input_ids, attention_mask, residue_mask)
        if protein is not None:
            sums, counts = per_protein(sums, counts, protein, int(n_proteins or protein.max() + 1))
        return SimpleNamespace(logits=self.from_sums(sums, counts))


def _without_autocast(self: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """A linear layer in the precision of its weights, for the reason of :meth:`ProteinTaskModel.head_logits`."""
    with torch.autocast(x.device.type, enabled=False):
        return functional.linear(x.to(self.weight.dtype), self.weight, self.bias)


def label_settings(task: Task) -> dict[str, Any]:
    """The label part of a transformers configuration."""
    names = task.label_names or ["value"]
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
        "problem_type": PROBLEM_TYPES[task.problem.kind],
    }


def use_head(kind: HeadKind) -> str:
    """Make the modelling file know a head of a file of its own.

    Returns:
        The file's text, which will stand at the end of the modelling file where a model with this head ships.

    Raises:
        UserError: it cannot stand there.
    """
    made = named(kind.module)
    module = importlib.import_module(kind.file)
    path = str(module.__file__)
    text = Path(path).read_text(encoding="utf-8")
    asked = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            asked |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            asked.add("." * node.level or str(node.module).split(".")[0])
    if foreign := sorted(asked - sys.stdlib_module_names - {"torch"}):
        fix = "Its file ships with the model: let it import torch and the standard library alone."
        raise UserError(f"the head {kind.name!r} imports {foreign[0]}", where=path, fix=fix)
    there, own = vars(modeling_protein_task), vars(module)
    if both := sorted(name for name in own.keys() & there.keys() if name[:2] != "__" and own[name] is not there[name]):
        fix = "Its file ships at the end of that one: choose another name."
        raise UserError(f"{both[0]} is also a name of the modelling file", where=path, fix=fix)
    modeling_protein_task.HEADS[kind.name] = made
    return text


def bench_model(
    encoder: nn.Module,
    task: Task,
    recipe: Recipe,
    tokeniser: ResidueTokeniser,
    seed: int,
    pool: list[int] | None = None,
) -> ProteinTaskModel:
    """Our head, or that of a package, on an encoder; the head's fresh weights depend on the seed alone.

    Raises:
        UserError: a package's head cannot ship with the model.
    """
    family = family_of(encoder.config)
    kind = recipe.head.what
    if kind.module:
        use_head(kind)
    config = ProteinTaskConfig(
        encoder=plain_config(encoder.config),
        encoder_class=family.encoder_class,
        encoder_pooler=None if family.pooler else False,
        per_residue=task.problem.level.by_residue,
        # Two residues are put together as two proteins are.
        per_pair=task.problem.level.proteins == 2 or task.problem.level is RESIDUE_PAIR,
        chains=task.chains,
        head_hidden=recipe.head.hidden,
        head_dropout=recipe.head.dropout,
        head_pooling="attention" if recipe.head.pooling == "attention" else "mean",
        head_kind=kind.name if kind.module else None,
        head_options={**kind.options, **(recipe.head.options or {})} or None,
        special_token_ids=tokeniser.special_ids,
        pool_positions=pool,
        **label_settings(task),
    )
    torch.manual_seed(seed)
    model = ProteinTaskModel(config, encoder=encoder)
    if inner := [name for name, _ in model.head.named_modules() if name.endswith("head")]:
        # peft finds the head by how its path ends.
        raise UserError(f"the head {kind.name!r} has a part {inner[0]!r}", fix="Let no part's name end in head.")
    return model


def fresh_head(model: ProteinTaskModel, seed: int) -> nn.Module:
    """The head that :func:`bench_model` would have made with another seed."""
    torch.manual_seed(seed)
    config: Any = model.config
    return ProteinTaskModel(config, encoder=model.encoder).head


def plain_config(config: Any) -> dict[str, Any]:
    """A configuration as a dictionary without traces of where it was loaded from."""
    values = config.to_dict()
    for key in (
        "_name_or_path",
        "transformers_version",
        "architectures",
        "dtype",
        "torch_dtype",
        "id2label",
        "label2id",
    ):
        values.pop(key, None)
    values["model_type"] = config.model_type
    return values


def build_model(
    checkpoint: Checkpoint,
    task: Task,
    recipe: Recipe,
    tokeniser: ResidueTokeniser,
    seed: int,
    pool: list[int] | None = None,
    encoder: nn.Module | None = None,
) -> ProteinTaskModel | NativeTaskModel:
    """The model that a recipe asks for, before training; ``pool`` are the residues that the mean runs over, if not all.

    An ``encoder`` that is loaded already, with these weights, is taken as it is.

    Raises:
        UserError: the checkpoint cannot be loaded, has no native head for this problem, or no place for the adapter.
    """
    if recipe.head.kind == "native":
        import transformers

        if recipe.weights == "random":
            raise UserError("head.kind=native with weights=random is not offered", fix="Use head.kind=bench.")
        level = task.problem.level
        auto = getattr(transformers, str(level.auto_class))
        return NativeTaskModel(load_native(checkpoint, auto, label_settings(task), seed), level.by_residue)
    if encoder is None:
        encoder = load_encoder(checkpoint, weights=recipe.weights, seed=seed, held=recipe.holds)
    model = bench_model(encoder, task, recipe, tokeniser, seed, pool)
    if recipe.adapter is not None:
        attach_adapter(model, recipe.adapter, checkpoint.name, seed)
    return model


def final_linear(model: nn.Module, n_outputs: int) -> nn.Linear:
    """The layer that makes the outputs: the last linear one of that width."""
    layers = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == n_outputs]
    return layers[-1]


@torch.no_grad()
def scale_output(model: Any, mean: float, std: float) -> None:
    """Make outputs x into mean + std · x, in the weights of the last layer.

    So the units of a regression target go into a model trained on standardised values, and a temperature into logits.
    """
    layer = final_linear(model, int(model.config.num_labels))
    layer.weight.mul_(std)
    if layer.bias is None:
        layer.bias = nn.Parameter(layer.weight.new_zeros(layer.out_features))
    layer.bias.mul_(std).add_(mean)
