"""What a card says of leakage: one sentence from the audit of a run, and what the audit did not look for."""

from __future__ import annotations

from hubtools.findings.wording import newer_text, percent, plural, share
from hubtools.specs.record import RunRecord, SplitOverlap


def statement(record: RunRecord, split: str = "test") -> str:
    """How many proteins of a scored split resemble what was learnt from, in one sentence or two.

    Args:
        record: of a complete run.
        split: that was scored.
    """
    if not record.learns:
        return "Nothing was learnt here, so nothing can leak from a training set of the task."
    overlap = _with_train(record, split)
    if overlap is None or record.data is None or split not in record.data.splits:
        return f"Whether proteins of {split} resemble those of train was not recorded."
    total = record.data.splits[split].proteins
    proteins = f"{split} proteins" if split == "test" else f"proteins of {split}"
    told = {float(key): count for key, count in overlap.similar.items() if count is not None}
    same = (
        f" {plural(overlap.identical, 'sequence')} of {split} {'is' if overlap.identical == 1 else 'are'} also in train: "
        "read the score with that in mind."
        if overlap.identical
        else ""
    )
    if not told:
        none = "" if same else f" No sequence of {split} is also in train."
        return f"Whether {proteins} have relatives in train is not known: this was not looked for.{same or none}"
    lowest = min(told)
    if not told[lowest]:
        return (
            f"No protein of {split} (of {total:,}) has a relative of at least {share(lowest)} identity in train.{same}"
        )
    of_higher_identity = [
        f"{f'{count:,}' if count else 'none'} one of at least {share(identity)}"
        for identity, count in sorted(told.items())
        if identity > lowest
    ]
    more = f", {', '.join(of_higher_identity)}" if of_higher_identity else ""
    verb = "has" if told[lowest] == 1 else "have"
    return (
        f"{told[lowest]:,} of {total:,} {proteins} ({percent(told[lowest], total)}) {verb} a relative of at least "
        f"{share(lowest)} identity in train{more}.{same}"
    )


def pretraining(record: RunRecord, split: str = "test") -> str:
    """How many scored proteins are newer than what the checkpoint was pre-trained on; empty where the task has no dates.

    Args:
        record: of a complete run.
        split: that was scored.
    """
    facts = record.pretraining
    if facts is None or record.data is None or split not in facts.newer or split not in record.data.splits:
        return ""
    return newer_text(facts, split, record.data.splits[split].proteins)


def not_looked_for(record: RunRecord, split: str = "test") -> str:
    """What the audit of a run leaves open, in one sentence."""
    overlap = _with_train(record, split)
    told = [float(key) for key, count in overlap.similar.items() if count is not None] if overlap else []
    open_ = []
    if record.learns:
        open_.append(f"relatives of less than {share(min(told))} identity" if told else "relatives of any identity")
        open_.append("proteins of the same fold or function whose sequences do not align")
    checkpoint = record.identity.checkpoint
    if checkpoint is not None and not record.from_scratch:
        open_.append(f"what the checkpoint saw in pre-training, which may well hold proteins of {split}")
    return f"Not looked for: {'; '.join(open_)}." if open_ else ""


def _with_train(record: RunRecord, split: str) -> SplitOverlap | None:
    """What a split has in common with train, where that was recorded."""
    found = record.data.audit if record.data else []
    return next((overlap for overlap in found if (overlap.first, overlap.second) == ("train", split)), None)
