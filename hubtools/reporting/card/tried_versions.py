"""With which versions models as bench publishes them were loaded: what a card may claim, and what the trial installs."""

from __future__ import annotations

from hubtools.specs.record import RunRecord

# ``python tests/publishing/loads.py`` makes an environment of each, publishes a tiny model of each architecture, and has what
# its card says give the recorded predictions there. Nothing older was tried.
TRANSFORMERS_4 = {"transformers": "4.57.6", "peft": "0.18.0", "torch": "2.13.0"}
# The lower ends of what bench itself asks for, as in constraints-oldest.txt.
TRANSFORMERS_5 = {"transformers": "5.20.0", "peft": "0.18.0", "torch": "2.13.0"}
# docs/tensorflow.md.
KERAS = {"transformers": "4.57.6", "tensorflow": "2.21.0", "tf-keras": "2.21.0", "safetensors": "0.8.0"}

# By the encoder's architecture: transformers 4 does not know ESM C.
OLDEST = {
    "esm": TRANSFORMERS_4,
    "bert": TRANSFORMERS_4,
    "t5": TRANSFORMERS_4,
    "modernbert": TRANSFORMERS_4,
    "esmc": TRANSFORMERS_5,
}
IN_KERAS = ("esm", "bert", "t5")


def oldest_tried(record: RunRecord, *, peft: bool) -> str:
    """A sentence: the oldest versions that the model of a run, or models of its architecture, were loaded with.

    Of an architecture that is in no trial, or whose code or head is somebody else's, nothing is known but the versions that
    made the run.

    Args:
        record: of the run.
        peft: whether an adapter is published.
    """
    known = _tried(record)
    made_with = record.environment.packages if record.environment else {}
    versions = OLDEST[known] if known else made_with
    wanted = [name for name in TRANSFORMERS_4 if name in versions and (peft or name != "peft")]
    shown = ", ".join(f"{name} {versions[name]}" for name in wanted)
    if not shown:
        return ""
    if known:
        return (
            f"The oldest versions that models of this architecture, as bench publishes them, were loaded with: {shown}."
        )
    return f"It was made with {shown}; whether older versions load it was not tried."


def loads_in_keras(record: RunRecord) -> bool:
    """Whether docs/tensorflow.md has lines for the model of a run."""
    head = record.recipe_spec.head
    reads_mean = record.task_spec.problem.level.by_residue or head.kind == "native" or head.pooling == "mean"
    one_row = record.task_spec.problem.level.proteins == record.task_spec.chains == 1
    return _tried(record) in IN_KERAS and one_row and reads_mean


def _tried(record: RunRecord) -> str | None:
    """The architecture, where its models were loaded elsewhere."""
    checkpoint, identity = record.checkpoint, record.identity.checkpoint
    if checkpoint is None or identity is None or identity.trust_remote_code or checkpoint.model_type not in OLDEST:
        return None
    return checkpoint.model_type if record.recipe_spec.head.kind in {"bench", "native"} else None
