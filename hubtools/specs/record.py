"""The run record, ``run.json``: what was run on what, by which code, and what came out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hubtools.specs.hashing import digest

SCHEMA_VERSION = 1
# Raised when a change of code changes results for the same specs, so that old runs are not taken for new ones.
PROTOCOL_VERSION = 3


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class CheckpointIdentity(_Part):
    """Which weights. A Hub checkpoint is its commit; a folder is the sha256 of its files."""

    name: str = Field(description="Hub id, or the folder's name.")
    source: Literal["hub", "local"]
    commit: str | None = None
    sha256: str | None = Field(default=None, description="Of weights, config and tokenizer files of a folder.")
    trust_remote_code: bool = False


class TaskIdentity(_Part):
    """Which question."""

    name: str
    version: int
    hash: str


class RecipeIdentity(_Part):
    """Which procedure."""

    name: str
    hash: str


class Identity(_Part):
    """Everything that determines a result, and nothing else. Its hash is the run's id."""

    protocol: int = PROTOCOL_VERSION
    checkpoint: CheckpointIdentity | None = Field(description="None for baselines without one.")
    task: TaskIdentity
    data: str = Field(description="Digest of the source files, package version or data set commit.")
    subset: int | None = Field(
        default=None, description="At most this many proteins (pairs, in pair tasks) of each split were used."
    )
    fraction: float | None = Field(
        default=None, description="Share of the training proteins (or pairs) that was learnt from, where not all."
    )
    recipe: RecipeIdentity
    seed: int

    @property
    def run_id(self) -> str:
        """Twelve hex digits that name the run."""
        content = self.model_dump(mode="json")
        # A folder is what is in it, wherever it lies; a Hub checkpoint is its name at a commit.
        if content["checkpoint"] and content["checkpoint"]["source"] == "local":
            del content["checkpoint"]["name"]
        # Came after the first runs, whose ids stay.
        if content["fraction"] is None:
            del content["fraction"]
        return digest(content)[:12]


class SourceFile(_Part):
    """One source file as used."""

    name: str
    location: str
    sha256: str | None = None


class SplitFacts(_Part):
    """What one split holds."""

    proteins: int = Field(description="Distinct ones, in pair tasks.")
    residues: int
    labelled: int = Field(
        description="Labels that count: residues, pairs or variants where these have them, else proteins."
    )
    clusters: int | None = None
    rows_sha256: str = Field(description="Digest of id, sequence and label of every row, in order.")
    label_counts: dict[str, int] = {}
    longest: int = 0


class SplitOverlap(_Part):
    """What two splits have in common, after what bench removes was removed."""

    first: str
    second: str
    identical: int = Field(description="Proteins of the second whose very sequence is in the first.")
    similar: dict[str, int | None] = Field(
        default={},
        description="Identity threshold -> proteins of the second that have a relative of at least that identity in "
        "the first; None where this machine could not tell.",
    )
    shared_clusters: int | None = Field(default=None, description="Clusters that have proteins in both.")


class DataFacts(_Part):
    """The data as used."""

    source: str
    files: list[SourceFile]
    package: str | None = None
    dataset: str | None = None
    revision: str | None = None
    splits: dict[str, SplitFacts]
    validation: str = Field(description="Where the validation split came from.")
    split_sha256: str | None = Field(
        default=None, description="Who is in which split, where bench drew it: what data.split.sha256 pins."
    )
    clusters: str | None = Field(default=None, description="What a cluster is.")
    removed: dict[str, int] = Field(default={}, description="Rows left out, by reason.")
    changed: dict[str, int] = Field(default={}, description="Sequences altered, by reason (upper-cased, ...).")
    findings: list[str] = []
    audit: list[SplitOverlap] = Field(default=[], description="What splits have in common, pair by pair.")
    audit_method: str | None = Field(default=None, description="How similar sequences were looked for.")
    release: str | None = Field(default=None, description="UniProt release.")


class CheckpointFacts(_Part):
    """The checkpoint as loaded."""

    family: str
    model_type: str
    architecture: str
    parameters: int
    hidden_size: int
    layers: int | None = None
    licence: str | None = None
    weights: Literal["pretrained", "random"] = "pretrained"


class AlignmentFacts(_Part):
    """The proof that token i is residue i."""

    proteins: int
    residues: int
    aligned: int
    replaced: dict[str, int] = Field(
        default={}, description="Residues the vocabulary lacks, shown as X: letter -> count."
    )
    method: str = Field(
        description="How tokens were made: table lookup proven equal to the tokenizer, or the tokenizer."
    )
    rendering: str = Field(
        default="", description="How residues are written for the tokenizer: plain, spaced, pieces, prostt5, saprot."
    )
    letters: str = Field(default="", description="Letters that have a token of their own; the others are read as X.")
    special: list[int] = Field(
        default=[], description="How many special tokens stand before the residues, and after them."
    )

    def __str__(self) -> str:
        return f"{self.aligned:,} of {self.residues:,} residues aligned"


class TokenFacts(_Part):
    """The tokens that all splits were read as, special ones not counted."""

    total: int
    unknown: int = Field(description="The tokenizer's unknown token: what stands there, the checkpoint cannot see.")


class WindowFacts(_Part):
    """Proteins longer than the model's window."""

    residues_per_window: int
    overlap: int
    proteins_cut: int
    windows: int
    residues_scored: int
    residues_total: int


class EmbeddingFacts(_Part):
    """Proteins whose embeddings a probe read: distinct ones of each split, added up."""

    computed: int = Field(description="That the encoder read in this run.")
    cached: int = Field(description="That an earlier run had left in the embedding cache: they took no time.")


class TrainingFacts(_Part):
    """What training did. Everything chosen was chosen on validation."""

    parameters_trained: int
    epochs_run: int
    best_epoch: int | None
    steps: int
    tokens: int = Field(
        default=0,
        description="Tokens trained on, special tokens included, padding not; of a probe, those that the encoder read, "
        "which are fewer where embeddings were cached.",
    )
    embeddings: EmbeddingFacts | None = Field(default=None, description="Of probes.")
    selected_by: str
    choices: dict[str, Any] = Field(
        default={}, description="Values chosen on validation: threshold, regularisation, ..."
    )
    class_weights: list[float] | None = None
    seeds_together: int = Field(
        default=1,
        description="Seeds whose heads were trained in one computation, this one's among them; cost.train_seconds is then "
        "this run's share, and wall_seconds of the first such run holds the work for all.",
    )


class SweepFacts(_Part):
    """How the recipe's fields were chosen, where a sweep chose them. No trial ever saw a test split."""

    trials: int
    fields: dict[str, str] = Field(description="Field -> the range or the choices that were searched.")
    chosen: dict[str, Any]
    validation: float = Field(description="The primary metric of the best trial.")
    seed: int
    sampler: str


class Score(_Part):
    """One metric on one split, with its 95 % interval."""

    value: float | None = Field(description="None where the metric is not defined, for example one class only.")
    low: float | None = None
    high: float | None = None
    higher_is_better: bool = True


class Calibration(_Part):
    """Whether probabilities mean what they say (:mod:`hubtools.evaluation.reliability`). Lists have one entry a bin."""

    of: str = Field(description="Whose probability: the likeliest class, each label, or the class to be detected.")
    ece: float = Field(description="Expected calibration error, 15 bins of equal width.")
    low: float | None = Field(default=None, description="Of the ECE, 95 % interval.")
    high: float | None = None
    noise: float | None = Field(
        default=None, description="A perfectly calibrated model would show at most this much here, 95 times of 100."
    )
    adaptive: float = Field(description="ECE in bins of equal numbers of rows.")
    brier: float
    log_loss: float
    counts: list[int] = Field(description="Probabilities in each bin; multi-label: those of all labels.")
    confidence: list[float | None] = Field(description="Their mean.")
    observed: list[float | None] = Field(description="How often it was so.")
    observed_low: list[float | None] = Field(
        description="95 % interval of that; None where a bin is too small for one."
    )
    observed_high: list[float | None]


class Stratum(_Part):
    """The proteins of a split that are alike in one respect, and the primary metric on them alone."""

    name: str = Field(description="For example: at least 50 % identity to train, or 100 to 250 residues.")
    n_proteins: int
    n_labelled: int
    score: Score | None = Field(description="None where there are too few to say anything.")


class SplitResult(_Part):
    """The results on one split."""

    n_proteins: int
    n_labelled: int = Field(description="Labels that count: residues, variants, else proteins.")
    scores: dict[str, Score]
    per_class: list[dict[str, Any]] = Field(
        default=[],
        description="One row a class: name, support, precision, recall, ...; of variant effects one row an assay.",
    )
    confusion: list[list[int]] | None = Field(default=None, description="Rows true, columns predicted.")
    interval: str = Field(default="", description="What was resampled, how often.")
    undefined_replicates: dict[str, int] = {}
    calibration: Calibration | None = Field(
        default=None, description="Of classification and multi-label; records from before it was measured lack it."
    )
    strata: dict[str, list[Stratum]] = Field(
        default={}, description="identity (to the nearest training protein) and length -> strata, in order."
    )


class Environment(_Part):
    """Where and with what the run was made."""

    bench: str
    git_commit: str | None = None
    git_dirty: bool | None = None
    python: str
    platform: str
    packages: dict[str, str]
    device: str
    device_name: str
    cpu_count: int | None = None
    threads: int | None = None
    precision: str = "float32"
    attention: str | None = None
    layout: Literal["padded", "packed"] = "padded"
    compiled: bool = False
    token_budget: int | None = None
    gradient_checkpointing: bool = False
    processes: int = Field(default=1, description="That computed together, one a GPU.")
    sharded: bool = Field(default=False, description="Weights were divided among the processes (FSDP).")


class Energy(_Part):
    """Electricity and what its generation emitted: measured, or estimated and called so."""

    source: Literal["codecarbon", "estimate"]
    kwh: float
    co2_grams: float | None = Field(default=None, description="None where the carbon intensity is not known.")
    how: str = Field(default="", description="What was measured or assumed, in words.")
    place: str | None = Field(default=None, description="Whose electricity: a country or region.")


class Cost(_Part):
    """What it took."""

    wall_seconds: float
    train_seconds: float | None = None
    tokens_per_second: float | None = None
    peak_memory_bytes: int | None = None
    energy: Energy | None = None


class OutputFile(_Part):
    """A file of the run folder."""

    path: str
    bytes: int
    sha256: str


class Failure(_Part):
    """Why a run did not finish."""

    kind: str
    message: str


class RunRecord(_Part):
    """One run. Written at the start, and again at the end, whatever the end was."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    status: Literal["running", "complete", "failed", "interrupted"]
    identity: Identity
    task: dict[str, Any] = Field(description="The task file as used.")
    recipe: dict[str, Any] = Field(description="The recipe after defaults and overrides.")
    overrides: dict[str, Any] = Field(default={}, description="Recipe fields set on the command line.")
    suite: str | None = None
    command: str = Field(description="The command that makes this run again.")
    started: datetime
    finished: datetime | None = None
    checkpoint: CheckpointFacts | None = None
    data: DataFacts | None = None
    alignment: AlignmentFacts | None = None
    tokens: TokenFacts | None = Field(
        default=None, description="Of runs of a checkpoint; records from before they were counted lack it."
    )
    windows: WindowFacts | None = None
    training: TrainingFacts | None = None
    sweep: SweepFacts | None = None
    results: dict[str, SplitResult] = Field(default={}, description="By split; validation is shown, never ranked on.")
    environment: Environment
    cost: Cost | None = None
    outputs: list[OutputFile] = []
    failure: Failure | None = None

    @property
    def primary_metric(self) -> str:
        """Name of the metric by which runs of this task are ranked."""
        return self.task["metrics"]["primary"]

    @property
    def test_splits(self) -> list[str]:
        """Splits with results on which nothing was chosen, in the order of the task."""
        return [name for name in self.results if name not in {"train", "validation"}]

    def score(self, split: str = "test", metric: str | None = None) -> Score | None:
        """One score, or None where the run has none."""
        result = self.results.get(split)
        return result.scores.get(metric or self.primary_metric) if result else None

    @property
    def subject(self) -> str:
        """What was measured, for tables: the checkpoint, or the baseline's name."""
        return self.identity.checkpoint.name if self.identity.checkpoint else self.identity.recipe.name
