"""Identifiers: each becomes a part of a path, of an address or of a command somewhere, so none can leave its place.

What is a file's or a folder's name holds the one rule of :mod:`hubtools.common.inside`, and most are narrower than it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from hubtools.common.inside import stays_inside


def _one(name: str) -> str:
    return stays_inside(name, 1)


# The parts of a run's folder are three of them and a checkpoint's: together they must be the name of a folder.
LONGEST_NAME = 80
# Of a task, recipe, suite or baseline.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=LONGEST_NAME), AfterValidator(_one)]
SplitName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=LONGEST_NAME), AfterValidator(_one)]
RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A name that stays inside the folder it is looked up in: the file may come from a stranger.
FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"), AfterValidator(_one)]
# Of a file inside a folder, with slashes, as bench writes them.
InnerPath = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*$"), AfterValidator(stays_inside)
]
# Of a file that somebody else named, inside a package or an archive: any letters.
AnyInnerPath = Annotated[str, AfterValidator(stays_inside)]
# A Hub id; a commit may be written behind it.
HUB_ID = r"[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*"
HubId = Annotated[str, Field(pattern=rf"^{HUB_ID}(@[0-9a-f]{{40}})?$", max_length=140)]
