"""What a command may rightly do with a bad input, besides refusing it or giving what it would have given without it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bad_cases import Case
    from outcomes import Outcome

# By kind, command and place, patterns of their whole names: why another result is right.
RIGHT = {
    ("gone|a link to nothing|a link to itself", ".*", "run.json"): "a folder without a record is no run",
    ("gone|.*", "card|publish", "training.jsonl"): "a card shows the curve of training where there is one, and says nothing of another",
    (".*", "data fetch", "data file, .*"): "what is fetched is not looked into, but for its checksum where the task file pins one",
    (".*", "data freeze", "data file, .*"): "the file is pinned as it is: its checksum is what is frozen",
    ("a row less|rows twice|rows turned round|cut|.*", "tasks (new|check|audit)", "no such place"): "",
    ("a row less|rows turned round", ".*", "data file, .*"): "another table, and as good a one",
    ("a formula|an id of .*|a sequence (of DNA|with a star inside|with spaces|with gaps)", ".*", "(data file, CSV|proteins, CSV)"): "an id or a sequence like others",
    ("a split that is unknown|a number for a split|a list for a split|no values", ".*", "data file, .*"): "rows in no split are counted and said",
    ("a line too long|an id of 300|cut|DNA|numbered lines|digits|gaps|a star inside|an empty record|more behind", "predict", "(proteins, .*|standard input)"): "what is there is predicted, or said to be left out",
    ("a column of 300|columns in capitals|spaces in the header|a label .*|a split .*|an id .*", "predict", "proteins, CSV"): "a table of proteins needs a sequence alone",
    (".*", "tasks list", "task file"): "the list says which file cannot be read",
    (".*", "(recipes|suites) list", "(recipe|suite)"): "the list says which file cannot be read",
}  # fmt: skip


def rightly(case: Case, found: Outcome) -> bool:
    """Whether this result is right, with the reason in :data:`RIGHT`."""
    asked = case.kind, case.command, case.place
    return any(
        all(re.fullmatch(pattern, text) for pattern, text in zip(patterns, asked, strict=True)) for patterns in RIGHT
    )
