"""The paper that a checkpoint is cited by."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """The paper of a family of checkpoints, or of some of its checkpoints.

    Attributes:
        family: what people call them.
        pattern: regular expression that the name of a checkpoint on the Hub contains, whatever its case.
        bibtex: its entry.
    """

    family: str
    pattern: str
    bibtex: str

    def matches(self, name: str) -> bool:
        """Whether a checkpoint of this name is cited by it."""
        return re.search(self.pattern, name, re.IGNORECASE) is not None

    @property
    def key(self) -> str:
        """Of the entry; empty where there is none."""
        found = re.match(r"@\w+\{([^,\s]+),", self.bibtex)
        return found[1] if found else ""
