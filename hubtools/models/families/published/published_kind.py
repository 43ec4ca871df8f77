"""What authors say of checkpoints that they published, and what bench does with them: a row of docs/checkpoints.md each."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

# What can be done with a checkpoint, in the order of the page. Tests hold each row against what its checkpoint is seen to do.
PER_RESIDUE, PROBE, FULL, LORA, IA3, ZERO_SHOT = "per residue", "probe", "full", "LoRA", "IA3", "zero-shot"
EVERYTHING = (PER_RESIDUE, PROBE, FULL, LORA, IA3, ZERO_SHOT)
WITHOUT_ADAPTERS = (PER_RESIDUE, PROBE, FULL, ZERO_SHOT)

# How a row was tried, the strongest first.
REAL_WEIGHTS, REAL_VOCABULARY, INTERFACE, NOT_TRIED = "real weights", "real vocabulary", "interface only", "not tried"


@dataclass(frozen=True)
class Pretraining:
    """What checkpoints were pre-trained on, where their authors say it.

    Attributes:
        data: in the words of the field, with the release where it is told.
        until: the last day, month or year of which something may be in the data (2021-11-17, 2021-11 or 2021); empty
            where no source says it.
        source: who says so.
    """

    data: str
    until: str = ""
    source: str = ""


@dataclass(frozen=True)
class Published:
    """A kind of checkpoint that people use.

    Attributes:
        key: by which tests know its tiny checkpoint (``tests/kinds_of_checkpoints.py``).
        title: what people call it.
        names: on the Hub; a star stands for any text.
        model_type: of its config.json.
        works: what bench does with it.
        tried: with what that was seen.
        tokens: how many its published vocabulary has, where that was tried.
        protocol, ending: tokens that bench writes before every protein and behind it, because its authors do and its tokenizer does not.
        remote_code: its architecture is code in its own repository, which runs with ``--trust-remote-code`` alone.
        refused: the line that comes where bench does not read it.
        licence: that its authors state ("none stated" where they state none); empty where nobody looked.
        pretraining: None where nothing is known.
        notes: what else a user should know.
    """

    key: str
    title: str
    names: tuple[str, ...]
    model_type: str
    works: tuple[str, ...] = ()
    tried: str = NOT_TRIED
    tokens: int | None = None
    protocol: tuple[str, ...] = ()
    ending: tuple[str, ...] = ()
    remote_code: bool = False
    refused: str = ""
    licence: str = ""
    pretraining: Pretraining | None = None
    notes: str = ""

    def matches(self, name: str) -> bool:
        """Whether a checkpoint of this name on the Hub is one of them; what others trained on is not."""
        return any(fnmatchcase(name.lower(), known.lower()) for known in self.names)
