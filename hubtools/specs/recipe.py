"""The recipe: how a checkpoint is adapted and trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from hubtools.common.errors import near
from hubtools.common.hashing import digest
from hubtools.common.registry import code_digest
from hubtools.specs.base import Spec, SpecError
from hubtools.specs.head_kinds import HEADS, HeadKind, Setting
from hubtools.specs.level import PROTEIN, RESIDUE_PAIR
from hubtools.specs.names import Name
from hubtools.specs.problem import Problem

# The levels of prediction at which each baseline is defined.
BASELINES = {
    "majority": ("protein", "residue", "pair"),
    "composition": ("protein", "pair"),
    "onehot-window": ("residue",),
    "nearest-neighbour": ("protein", "pair"),
    "substitution-matrix": ("variant",),
    "separation": ("residue pair",),
    "amino-acid-pairs": ("residue pair",),
    "helix": ("structure",),
}
# Those that read no training split.
UNTRAINED_BASELINES = ("substitution-matrix", "separation", "helix")
# The levels at which each way of asking a checkpoint without training is defined.
SCORINGS = {
    "masked-marginals": ("variant",),
    "wildtype-marginals": ("variant",),
    "log-likelihood": ("variant",),
    "categorical-jacobian": ("residue pair",),
    "contact-head": ("residue pair",),
    "folding": ("structure",),
}


_NO_TRAINING_SPLIT = "it learns from known structures, and the task has no training split"
# What runs beside a checkpoint unless somebody says otherwise: what needs no checkpoint, and so takes seconds. The suites name
# random weights besides, which cost as much as what they stand beside.
CHEAP_BASELINES = (
    "majority",
    "composition",
    "onehot-window",
    "nearest-neighbour",
    "substitution-matrix",
    "separation",
    "amino-acid-pairs",
    "helix",
)


def baselines_for(problem: Problem) -> list[str]:
    """The baselines that are defined for a problem."""
    return [name for name, levels in BASELINES.items() if problem.level.name in levels]


class Head(Spec):
    """What sits on the encoder.

    ``bench`` is the same for every checkpoint: a linear layer on each residue's representation, or on the mean
    over residues (never padding, never special tokens), after a hidden layer where ``hidden`` says so.
    ``native`` is the checkpoint's own transformers head, whatever that is. Packages may bring others (docs/extending.md).
    """

    kind: str = Field(default="bench", description="bench, native, or one that a package brings.")
    options: dict[str, Setting] | None = Field(default=None, description="What a package's head can be told besides.")
    pooling: Literal["mean", "mutations", "attention", "last", "auto"] = Field(
        default="mean",
        description="Per-protein tasks. mean: over all residues. mutations: over the positions that vary between the "
        "training sequences, which must be of one length (sets of variants of one protein). attention: light attention, "
        "a convolution says how much each residue counts (Stärk et al., 2021). last: the last residue alone, which is the one "
        "that has seen all the others where a residue does not see what follows it, as in a decoder. auto: the mean; in a probe "
        "of such a checkpoint the mean or the last residue, whichever is better on validation.",
    )
    hidden: int | None = Field(default=None, ge=1, description="Width of one hidden layer.")
    solver: Literal["gradient", "ridge"] = Field(
        default="gradient",
        description="ridge: the least-squares solution in closed form, its penalty chosen on validation (probe of "
        "regression tasks).",
    )
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in HEADS:
            raise ValueError(f"there is no head {kind!r}. {near(kind, HEADS)}")
        return kind

    @model_validator(mode="after")
    def _its_own(self) -> Head:
        kind = self.what
        if unknown := [name for name in self.options or {} if name not in kind.options]:
            can = ", ".join(kind.options) or "nothing"
            raise SpecError(f"head.kind: {self.kind} cannot be told this. It can be told {can}", "options", unknown[0])
        for name, value in (self.options or {}).items() if self.kind == "attention-regression" else ():
            whole = name == "structures"
            if isinstance(value, (bool, str)) or value <= 0 or (whole and not isinstance(value, int)):
                raise SpecError(f"it is a {'whole ' if whole else ''}number above 0", "options", name)
        if not kind.pools and self.pooling != "mean":
            raise ValueError(f"head.kind: {self.kind} pools in its own way. Remove head.pooling")
        if not kind.pools and self.solver != "gradient":
            raise ValueError(f"head.solver: {self.solver} is for head.kind: bench. Remove it")
        return self

    @property
    def what(self) -> HeadKind:
        """The kind of head that it is."""
        return HEADS[self.kind]


class Adapter(Spec):
    """Small trainable parts inside a frozen encoder, through peft; the head is always trained."""

    kind: Literal["lora", "dora", "rslora", "ia3", "qlora"] = Field(
        default="lora",
        description="lora (Hu et al., 2021), dora (Liu et al., 2024), rslora (Kalajdzievski, 2023), ia3 (Liu et al., "
        "2022); qlora (Dettmers et al., 2023): lora on weights kept in four bits, where bitsandbytes exists.",
    )
    rank: int = Field(default=8, ge=1, description="Of the update (not ia3).")
    alpha: float = Field(default=16, gt=0, description="The update is scaled by alpha ÷ rank (rslora: ÷ √rank).")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Before the update, in training (not ia3).")
    targets: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Names of the linear layers; by default those listed for the checkpoint's architecture.",
    )


class Probe(Spec):
    """What a probe chooses between, on validation. All heads are trained together on one set of embeddings."""

    layers: Literal["last", "all"] | list[int] = Field(
        default="last",
        description="Encoder layers whose representation the head may read: 0 is the embedding, -1 the last.",
    )
    learning_rates: list[Annotated[float, Field(gt=0)]] = Field(
        default=[], description="By default the head's learning rate alone."
    )


class Window(Spec):
    """How a protein longer than the model's window is cut: overlapping pieces, nothing lost."""

    residues: int = Field(default=1022, ge=16, description="Longest piece, in residues.")
    overlap: int = Field(default=256, ge=0, description="Residues that neighbouring pieces share.")
    train_windows: int = Field(
        default=8,
        ge=1,
        description="Per-protein tasks: windows of one protein in a training step, drawn anew each epoch.",
    )

    @model_validator(mode="after")
    def _advances(self) -> Window:
        if self.overlap > self.residues // 2:
            raise ValueError(f"an overlap of {self.overlap} is more than half of {self.residues}. Make it smaller")
        return self


class Recipe(Spec):
    """One recipe file. Every field is part of a run's identity."""

    name: Name
    title: str = ""
    summary: str = ""
    adaptation: Literal["full", "adapter", "probe", "zero-shot", "baseline"] = Field(
        description="full: every weight is trained, but those of freeze_layers. adapter: small parts inside the frozen "
        "encoder are trained (LoRA and its kin). probe: the encoder is frozen, its embeddings are computed once "
        "and a head is trained on them. zero-shot: nothing is trained, the language-model head is asked "
        "(variant-effect, contact-prediction), or a folding model (structure-prediction). baseline: no checkpoint at all."
    )
    scoring: (
        Literal[
            "masked-marginals",
            "wildtype-marginals",
            "log-likelihood",
            "categorical-jacobian",
            "contact-head",
            "folding",
        ]
        | None
    ) = Field(
        default=None,
        description="zero-shot: how a variant, or a pair of residues, is scored. masked-marginals, wildtype-marginals (Meier et al., 2021): by the "
        "mutated positions of the wild type, which are masked, or not. log-likelihood: of decoders, the log-likelihood of the "
        "whole variant less that of the wild type. categorical-jacobian (Zhang et al., 2024): how much what is expected at one "
        "residue changes when the other is exchanged, 20 passes a residue. contact-head: the logistic regression on attention "
        "maps that the checkpoint's authors trained and its weights hold (ESM). folding: the structure that a folding model predicts "
        "(ESMFold, ESMFold2).",
    )
    weights: Literal["pretrained", "random"] = Field(
        default="pretrained", description="random: the same architecture without what it learned."
    )
    baseline: (
        Literal[
            "majority",
            "composition",
            "onehot-window",
            "nearest-neighbour",
            "substitution-matrix",
            "separation",
            "amino-acid-pairs",
            "helix",
        ]
        | None
    ) = None
    adapter: Adapter | None = None
    probe: Probe = Probe()
    freeze_layers: int = Field(
        default=0, ge=0, description="full: this many layers from below, and the embeddings, stay as they are."
    )
    encoder_dropout: bool = Field(
        default=False,
        description="full, adapter: the encoder drops out as its own configuration says. Off, because the authors of families chose "
        "otherwise each (ESM 0, BERT and T5 0.1), and because its masks depend on how memory cuts a batch: where it is "
        "on, that is part of the run's identity.",
    )
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="full: each layer learns at this times the rate of the one above it (discriminative rates).",
    )
    head: Head = Head()
    window: Window = Window()
    protocol: str | None = Field(
        default=None,
        description="Tokens that the checkpoint's authors put around every protein, where they have several ways: NLU or S2S of Ankh3. "
        "By default the first that the family names; none for no such tokens. The record says which they were.",
    )
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(
        default=32, ge=1, description="Proteins per optimiser step, whatever fits in memory at once."
    )
    bucket: int = Field(
        default=1,
        ge=1,
        description="1: batches are drawn at random. More: they are formed by length inside a shuffled stretch of this "
        "many batches, which saves padding where a model cannot be packed, and learns a little worse where length tells "
        "of the label.",
    )
    learning_rate: float = Field(default=1e-4, gt=0)
    head_learning_rate: float | None = Field(default=None, gt=0, description="By default the learning rate.")
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1, description="Share of the steps over which the rate rises.")
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    max_grad_norm: float = Field(default=1.0, gt=0)
    patience: int | None = Field(
        default=3, ge=1, description="Epochs without a better validation score before stopping."
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none",
        description="balanced: each class (or label) weighs in the loss by the inverse of its frequency.",
    )
    calibration: Literal["none", "temperature"] = Field(
        default="none",
        description="temperature: when all is trained, logits are divided by one number, chosen on validation for the "
        "smallest log loss (Guo et al., 2017), so that probabilities mean what they say. It is in the weights that are "
        "saved. The likeliest class stays the same, and with two classes, or labels, every ranking. One number says how "
        "sure to be, not how frequent a label is: what class_weights: balanced adds to rare labels stays.",
    )
    precision: Literal["auto", "float32", "bf16", "fastest"] = Field(
        default="auto",
        description="Autocast; weights are float32. auto: bf16 on a GPU that has it, else float32. fastest: bf16 where "
        "this device, a CPU too, was measured to be faster with it.",
    )
    frozen_weights: Literal["float32", "bf16"] = Field(
        default="float32",
        description="probe, with precision: bf16. bf16: the weights of the frozen encoder's linear layers are held in bfloat16, as "
        "autocast rounds them at each step: half the memory, and what the probe says is the same.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if (self.adaptation == "baseline") != (self.baseline is not None):
            raise ValueError("adaptation: baseline and the key baseline belong together. Give both or neither")
        if (self.adaptation == "zero-shot") != (self.scoring is not None):
            raise ValueError("adaptation: zero-shot and the key scoring belong together. Give both or neither")
        if self.scoring == "folding" and self.weights == "random":
            raise ValueError("random weights fold nothing. Remove weights")
        if self.scoring == "contact-head" and self.weights == "random":
            raise ValueError(
                "scoring: contact-head reads weights that were trained, which random has not. Remove weights"
            )
        if (self.adaptation == "adapter") != (self.adapter is not None):
            raise ValueError("adaptation: adapter and the key adapter belong together. Give both or neither")
        if self.baseline is not None and self.protocol is not None:
            raise ValueError("protocol is what a checkpoint is shown, and a baseline has none. Remove it")
        if self.adaptation not in {"full", "adapter"} and self.encoder_dropout:
            raise ValueError("encoder_dropout is for adaptation: full and adapter. Remove it")
        if self.adaptation != "full" and (self.freeze_layers or self.layer_decay != 1):
            raise ValueError("freeze_layers and layer_decay are for adaptation: full. Remove them")
        if self.adaptation != "probe" and self.probe != Probe():
            raise ValueError("the key probe is for adaptation: probe. Remove it")
        if self.holds and self.adaptation != "probe":
            raise ValueError("frozen_weights is for adaptation: probe, whose encoder nothing trains. Remove it")
        if self.holds and self.precision != "bf16":
            raise ValueError("frozen_weights: bf16 is what bfloat16 products read. Add precision: bf16, or remove it")
        if self.holds and self.head.kind == "attention-regression":
            raise ValueError("head.kind: attention-regression reads attention in float32. Remove frozen_weights")
        if self.head.solver == "ridge" and (
            self.adaptation != "probe" or self.head.hidden or self.probe.learning_rates
        ):
            raise ValueError(
                "head.solver: ridge is for adaptation: probe, and has neither hidden layer nor learning rate. Remove them"
            )
        if self.head.solver == "ridge" and self.head.pooling == "attention":
            raise ValueError("head.solver: ridge is linear and has no attention. Use head.pooling: mean")
        if self.head.pooling == "auto" and self.adaptation != "probe":
            raise ValueError("head.pooling: auto chooses between probes. Use adaptation: probe, or head.pooling: last")
        trains, has_head = self.head.what.adaptations, self.adaptation not in {"baseline", "zero-shot"}
        if self.adaptation not in trains and (has_head or self.head.kind != "bench"):
            needed = " or ".join(trains)
            raise ValueError(f"head.kind: {self.head.kind} needs adaptation: {needed}. {self.head.what.why}".strip())
        return self

    def why_not(self, problem: Problem, learns: bool = True, chains: int = 1) -> str | None:
        """Why the recipe does not exist for a problem; None where it does.

        Args:
            problem: of a task.
            learns: whether the task has a training split.
            chains: of each of its proteins.
        """
        if chains > 1 and (why := self._why_not_chains(chains)) is not None:
            return why
        if self.calibration != "none" and problem.kind == "regression":
            return f"calibration: {self.calibration} needs probabilities, and a regression has none"
        if self.baseline is not None:
            defined = baselines_for(problem)
            if self.baseline not in defined:
                return f"of baselines it has {', '.join(defined)}"
            return _NO_TRAINING_SPLIT if self.learns and not learns else None
        if problem.level.may_train and self.learns:
            if self.adaptation != "probe" or self.head.solver != "gradient":
                return "of what is trained it has a probe alone, by gradient"
            if not learns:
                return _NO_TRAINING_SPLIT
        elif problem.level.trained != (self.adaptation != "zero-shot"):
            return "it needs training" if problem.level.trained else "nothing is trained in it"
        if self.scoring is not None and problem.level.name not in SCORINGS[self.scoring]:
            return f"scoring: {self.scoring} is for a {' or '.join(SCORINGS[self.scoring])}"
        if problem.level is not PROTEIN and self.head.pooling != "mean":
            return "head.pooling is for per-protein tasks"
        if self.head.solver == "ridge" and problem.kind != "regression":
            return "head.solver: ridge is for regression"
        level, head = problem.level, self.head.what
        if (level.trained or (level is RESIDUE_PAIR and self.learns)) and level.name not in head.levels:
            return f"head.kind: {self.head.kind} is for a {' or '.join(head.levels)}, not for a {level.name}"
        return None

    def _why_not_chains(self, chains: int) -> str | None:
        """Why it does not read proteins of several chains: of each what lies inside, and of all the mean."""
        if self.baseline is not None:
            return None
        if self.head.kind == "native":
            return "a protein of several chains is read in a row each, and head.kind: native reads one. Use bench"
        if not self.head.what.pools or self.head.pooling != "mean":
            return "of a protein of several chains the mean over all residues is read. Use head.kind: bench, head.pooling: mean"
        if self.window.train_windows < chains:
            return f"window.train_windows: {self.window.train_windows} would leave out chains. Use {chains} or more"
        return None

    @property
    def learns(self) -> bool:
        """Whether something is learnt from a training split."""
        return self.adaptation != "zero-shot" and self.baseline not in UNTRAINED_BASELINES

    @property
    def holds(self) -> bool:
        """Whether the weights of the frozen encoder's linear layers are held in bfloat16."""
        return self.frozen_weights == "bf16"

    @property
    def needs_checkpoint(self) -> bool:
        """Whether the recipe adapts a checkpoint (a baseline does not)."""
        return self.adaptation != "baseline"

    @property
    def hash(self) -> str:
        """sha256 of the fields that determine a result (not title and summary), and of the file of a package's head."""
        content = self.model_dump(mode="json", exclude={"title", "summary"}, exclude_defaults=True)
        if (code := code_digest(self.head.what.module)) is not None:
            content["head"]["code"] = code
        return digest(content)
