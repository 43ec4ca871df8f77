"""What a record says of a run: its data, what was trained, what came out, where it was computed and what it took."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, model_serializer

from hubtools.specs.names import InnerPath, SplitName
from hubtools.specs.record.identities import Line, OpenPart, RecordPart


class SourceFile(RecordPart):
    """One source file as used."""

    name: Line
    location: Line
    sha256: Line | None = None


class SplitFacts(RecordPart):
    """What one split holds."""

    proteins: int = Field(description="Distinct ones, in pair tasks.")
    residues: int
    labelled: int = Field(
        description="Labels that count: residues, pairs or variants where these have them, else proteins."
    )
    clusters: int | None = None
    rows_sha256: Line = Field(description="Digest of id, sequence and label of every row, in order.")
    label_counts: dict[Line, int] = {}
    longest: int = 0


class SplitOverlap(RecordPart):
    """What two splits have in common, after what bench removes was removed."""

    first: Line
    second: Line
    identical: int = Field(description="Proteins of the second whose very sequence is in the first.")
    similar: dict[Line, int | None] = Field(
        default={},
        description="Identity threshold -> proteins of the second that have a relative of at least that identity in "
        "the first; None where this machine could not tell.",
    )
    shared_clusters: int | None = Field(default=None, description="Clusters that have proteins in both.")


class StructureFacts(RecordPart):
    """Structure beside the sequences: where it is from, and how much of it there is."""

    source: Line = Field(description="Where 3Di letters are from; `none` where every residue was read without.")
    proteins: int = Field(description="Distinct sequences.")
    without: int = Field(description="Those of which no residue has a 3Di letter.")
    residues: int
    unknown: int = Field(description="Residues that have no 3Di letter, and are read as #.")

    def __str__(self) -> str:
        if self.source == "none":
            return f"none: each of {self.residues:,} residues is read with # in place of its 3Di letter"
        known = f"{self.residues - self.unknown:,} of {self.residues:,} residues"
        said = f"3Di letters of {known} ({self.source})"
        return f"{said}; the others are read as #" if self.unknown else said


class DataFacts(RecordPart):
    """The data as used."""

    source: Line
    files: list[SourceFile]
    package: Line | None = None
    dataset: Line | None = None
    revision: Line | None = None
    splits: dict[SplitName, SplitFacts]
    validation: Line = Field(description="Where the validation split came from.")
    split_sha256: Line | None = Field(
        default=None, description="Who is in which split, where bench drew it: what data.split.sha256 pins."
    )
    clusters: Line | None = Field(default=None, description="What a cluster is.")
    removed: dict[Line, int] = Field(default={}, description="Rows left out, by reason.")
    changed: dict[Line, int] = Field(default={}, description="Sequences altered, by reason (upper-cased, ...).")
    findings: list[Line] = []
    audit: list[SplitOverlap] = Field(default=[], description="What splits have in common, pair by pair.")
    audit_method: Line | None = Field(default=None, description="How similar sequences were looked for.")
    release: Line | None = Field(default=None, description="UniProt release.")
    structures: StructureFacts | None = Field(
        default=None, description="Of tasks with structures, over the splits together."
    )


class CheckpointFacts(RecordPart):
    """The checkpoint as loaded."""

    family: Line
    model_type: Line
    architecture: Line
    parameters: int
    hidden_size: int
    layers: int | None = None
    licence: Line | None = None
    weights: Literal["pretrained", "random"] = "pretrained"


class PretrainingFacts(RecordPart):
    """What the checkpoint was pre-trained on, as its authors say, beside the dates of a task's proteins."""

    data: Line | None = Field(default=None, description="None where nothing is known of it.")
    until: Line | None = Field(
        default=None, description="The last day, month or year of which something may be in it; None: not known."
    )
    source: Line | None = Field(default=None, description="Who says so.")
    newer: dict[SplitName, int | None] = Field(
        description="Proteins of a scored split that became public after that; None where that is not known."
    )
    undated: dict[SplitName, int] = Field(description="Proteins of a scored split of which no day is known.")


class AlignmentFacts(RecordPart):
    """The proof that token i is residue i."""

    proteins: int
    residues: int
    aligned: int
    replaced: dict[Line, int] = Field(
        default={},
        description="Residues read as X, which the vocabulary lacks or its family never trained: letter -> count.",
    )
    method: Line = Field(
        description="How tokens were made: table lookup proven equal to the tokenizer, or the tokenizer."
    )
    rendering: Line = Field(
        default="",
        description="How residues are written for the tokenizer: plain, spaced, pieces, saprot, or by a name of the "
        "family's; prostt5 in records of before protocols had a field.",
    )
    letters: Line = Field(
        default="", description="Letters that are read by a token of their own; the others are read as X."
    )
    special: list[int] = Field(
        default=[], description="How many special tokens stand before the residues, and after them."
    )

    def __str__(self) -> str:
        return f"{self.aligned:,} of {self.residues:,} residues aligned"


class TokenFacts(RecordPart):
    """The tokens that all splits were read as, special ones not counted."""

    total: int
    rendering: Line = Field(
        default="",
        description="How a protein is written where tokens are not residues: fasta, in lines; else as it is.",
    )
    unknown: int = Field(description="The tokenizer's unknown token: what stands there, the checkpoint cannot see.")
    protocol: list[Line] = Field(
        default=[],
        description="Tokens that were put before every protein because the checkpoint's authors do; its tokenizer adds none.",
    )
    protocol_after: list[Line] = Field(default=[], description="Those that were put behind every protein.")

    @model_serializer(mode="wrap")
    def _leave_out(self, dump: Any) -> dict[str, Any]:
        """Nothing of what few checkpoints have."""
        values: dict[str, Any] = dump(self)
        return {key: value for key, value in values.items() if key != "protocol_after" or value}


class ContextFacts(RecordPart):
    """What of its protein the state of a residue depends on, measured with the weights of the run before training."""

    follows: bool = Field(
        description="Whether a residue sees what follows it: False of a decoder, whose states depend on what came before alone."
    )
    precedes: bool = Field(description="Whether a residue sees what comes before it.")
    change: float | None = Field(
        description="How much the states before it change when the last residue is another: the largest change as a share of the "
        "largest value."
    )
    read: list[Literal["forward", "backward"]] = Field(
        default=[],
        description="Of log-likelihoods: the directions in which every protein was read; the score is the mean over them.",
    )
    first_scored: bool | None = Field(
        default=None,
        description="Of log-likelihoods: whether a token stands before the first residue, so that it is told, too.",
    )

    def __str__(self) -> str:
        if self.follows and self.precedes:
            return "a residue sees all of its protein"
        if self.follows or self.precedes:
            seen, not_seen = ("follows", "comes before it") if self.follows else ("comes before it", "follows")
            return f"a residue sees what {seen}, and nothing of what {not_seen}"
        return "a residue sees no other residue"


class TogetherFacts(RecordPart):
    """The proof, before training, that a protein in a batch is read as it is alone, whatever lies beside it."""

    proteins: int = Field(description="Real ones, of the data, their lengths spread from the shortest to the window.")
    shortest: int = Field(description="Residues.")
    longest: int
    widths: list[int] = Field(description="Tokens of the longest row of each batch that was read.")
    layout: Line = Field(description="How batches were laid out, as in the run: padded, packed or grouped.")
    attention: Line | None = None
    difference: float | None = Field(
        description="Of the farthest residue in float32, root mean square over the width, as a share of the usual size."
    )
    rounded: float | None = Field(
        default=None, description="Of runs in bfloat16: how far a protein in a batch is from float32, by its farthest."
    )
    rounded_alone: float | None = Field(default=None, description="And how far a protein alone is, by rounding.")
    why: Line = Field(default="", description="Why batches are not laid out faster, where they might have been.")
    held: float | None = Field(
        default=None,
        description="Of a frozen encoder whose linear layers are held in bfloat16: how far it is from autocast with float32 weights.",
    )

    def __str__(self) -> str:
        how = {"grouped": "in groups of equal length", "packed": "packed"}.get(self.layout, "padded")
        far = f"{self.difference:.1e} of the usual size in float32" if self.difference is not None else "NaN"
        if self.rounded is not None:
            far += f", {self.rounded:.1e} in bfloat16 (alone {self.rounded_alone:.1e})"
        held = (
            "" if self.held is None else f"; weights held in bfloat16, {self.held:.1e} from float32 ones under autocast"
        )
        return f"{self.proteins} proteins of {self.shortest:,} to {self.longest:,} residues {how}: at most {far} from the same alone{held}"


class WindowFacts(RecordPart):
    """Proteins longer than the model's window."""

    residues_per_window: int
    overlap: int
    proteins_cut: int
    windows: int
    residues_scored: int
    residues_total: int


class EmbeddingFacts(RecordPart):
    """Proteins whose embeddings a probe read: distinct ones of each split, added up."""

    computed: int = Field(description="That the encoder read in this run.")
    cached: int = Field(description="That an earlier run had left in the embedding cache: they took no time.")


class TrainingFacts(OpenPart):
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
    selected_by: Line
    choices: dict[str, Any] = Field(
        default={}, description="Values chosen on validation: threshold, regularisation, ..."
    )
    class_weights: list[float] | None = None
    seeds_together: int = Field(
        default=1,
        description="Seeds whose heads were trained in one computation, this one's among them; cost.train_seconds is then "
        "this run's share, and wall_seconds of the first such run holds the work for all.",
    )


class SweepFacts(OpenPart):
    """How the recipe's fields were chosen, where a sweep chose them. No trial ever saw a test split."""

    trials: int
    fields: dict[Line, Line] = Field(description="Field -> the range or the choices that were searched.")
    chosen: dict[str, Any]
    validation: float = Field(description="The primary metric of the best trial.")
    seed: int
    sampler: Line
    budget: int | None = Field(
        default=None,
        description="Trials that a suite allows every checkpoint; None of a sweep that somebody made by itself.",
    )
    own_values: bool = Field(
        default=False, description="What was chosen is what the recipe says anyway: tuned and untuned are one run."
    )


class Score(RecordPart):
    """One metric on one split, with its 95 % interval."""

    value: float | None = Field(description="None where the metric is not defined, for example one class only.")
    low: float | None = None
    high: float | None = None
    higher_is_better: bool = True


class Calibration(RecordPart):
    """Whether probabilities mean what they say (:mod:`hubtools.evaluation.metrics.calibration_error`). Lists have one entry a bin."""

    of: Line = Field(description="Whose probability: the likeliest class, each label, or the class to be detected.")
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


class Stratum(RecordPart):
    """The proteins of a split that are alike in one respect, and the primary metric on them alone."""

    name: Line = Field(description="For example: at least 50 % identity to train, or 100 to 250 residues.")
    n_proteins: int
    n_labelled: int
    score: Score | None = Field(description="None where there are too few to say anything.")


class FoldResult(OpenPart):
    """One fold of a cross-validation: what its model learnt from, and its own scores."""

    name: Line
    rows: int = Field(description="Held out of this fit, and predicted by it.")
    train: int = Field(description="Rows that were trained on.")
    validation: int = Field(description="Rows of the other folds on which everything was chosen.")
    epochs_run: int
    best_epoch: int | None
    steps: int
    choices: dict[str, Any] = {}
    scores: dict[Line, float | None] = Field(description="On the rows of the fold alone.")


class LabelsNotListed(RecordPart):
    """Of thousands of labels ``per_class`` has those with most rows; this is about the others."""

    labels: int
    present: int = Field(description="That the split has at least one row of.")
    called: int = Field(description="That at least one row was called.")
    macro_f1: float | None = Field(description="Mean F1 of those that are present; None where none is.")


class UnseenLabels(RecordPart):
    """Labels of a split that no training row has: nothing can be learnt of them but what is above them."""

    labels: int
    of: int = Field(description="Labels that the split has.")
    rows: int = Field(description="Rows that have at least one of them.")
    only: int = Field(description="Rows that have no other label.")

    def __str__(self) -> str:
        rows = f"{self.rows:,} rows have one of them, {self.only:,} no other label"
        return f"{self.labels:,} of its {self.of:,} labels are not in train; {rows}"


class SplitResult(OpenPart):
    """The results on one split."""

    n_proteins: int
    n_labelled: int = Field(description="Labels that count: residues, variants, else proteins.")
    scores: dict[Line, Score]
    per_class: list[dict[str, Any]] = Field(
        default=[],
        description="One row a class: name, support, precision, recall, ...; of variant effects one row an assay.",
    )
    not_listed: LabelsNotListed | None = Field(
        default=None, description="What per_class leaves out, where a task has thousands of labels."
    )
    unseen_labels: UnseenLabels | None = Field(
        default=None, description="Several labels a protein: those that training never has, where the split has any."
    )
    confusion: list[list[int]] | None = Field(default=None, description="Rows true, columns predicted.")
    interval: Line = Field(default="", description="What was resampled, how often.")
    undefined_replicates: dict[Line, int] = {}
    calibration: Calibration | None = Field(
        default=None, description="Of classification and multi-label; records from before it was measured lack it."
    )
    strata: dict[Line, list[Stratum]] = Field(
        default={}, description="identity (to the nearest training protein) and length -> strata, in order."
    )
    folds: list[FoldResult] = Field(
        default=[],
        description="Of a cross-validation; the scores above are of all out-of-fold predictions together. Absent elsewhere.",
    )

    @model_serializer(mode="wrap")
    def _leave_out(self, dump: Any) -> dict[str, Any]:
        """No folds where there are none."""
        values: dict[str, Any] = dump(self)
        return {key: value for key, value in values.items() if key != "folds" or value}


class Environment(RecordPart):
    """Where and with what the run was made."""

    bench: Line
    git_commit: Line | None = None
    git_dirty: bool | None = None
    python: Line
    platform: Line
    packages: dict[Line, Line]
    device: Line
    device_name: Line
    cpu_count: int | None = None
    threads: int | None = None
    threads_by: Line = Field(default="", description="Why so many: what was asked for, or how many cores were free.")
    precision: Line = "float32"
    attention: Line | None = None
    layout: Literal["padded", "packed", "grouped"] = Field(
        default="padded",
        description="grouped: in groups of equal length, as padding changes what the encoder computes.",
    )
    compiled: bool = False
    token_budget: int | None = None
    gradient_checkpointing: bool = False
    processes: int = Field(default=1, description="That computed together, one a GPU.")
    sharded: bool = Field(default=False, description="Weights were divided among the processes (FSDP).")


class Energy(RecordPart):
    """Electricity and what its generation emitted: measured, or estimated and called so."""

    source: Literal["codecarbon", "estimate"]
    kwh: float
    co2_grams: float | None = Field(default=None, description="None where the carbon intensity is not known.")
    how: Line = Field(default="", description="What was measured or assumed, in words.")
    place: Line | None = Field(default=None, description="Whose electricity: a country or region.")


class Attempt(RecordPart):
    """One of the tries that a run took, from its start to its end."""

    started: datetime
    wall_seconds: float = Field(
        description="Of one that was killed: from its start to the last file that it wrote, so at least that long."
    )
    ended: Literal["complete", "failed", "interrupted", "killed"] = Field(
        description="killed: the process was gone without a word, and the next attempt found that out."
    )
    energy: Energy | None = Field(default=None, description="None where it is not known, as of one that was killed.")


class Cost(RecordPart):
    """What it took, all attempts together."""

    wall_seconds: float = Field(description="The sum over the attempts; a lower bound where one of them was killed.")
    train_seconds: float | None = Field(
        default=None,
        description="Of training that is in the result, whichever attempt did it; what was lost is left out.",
    )
    tokens_per_second: float | None = Field(default=None, description="training.tokens by train_seconds.")
    peak_memory_bytes: int | None = Field(
        default=None, description="The most of the attempts on the last one's device that told it."
    )
    energy: Energy | None = Field(default=None, description="The sum over the attempts of which it is known.")
    attempts: list[Attempt] = Field(
        default=[], description="In order, the last included; records from before they were counted have none."
    )

    @property
    def killed(self) -> int:
        """Attempts that lasted at least as long as is recorded."""
        return sum(attempt.ended == "killed" for attempt in self.attempts)


class OutputFile(RecordPart):
    """A file of the run folder."""

    path: InnerPath
    bytes: int
    sha256: Line


class Failure(RecordPart):
    """Why a run did not finish."""

    kind: Line
    message: Line
