"""Identifiers: each becomes a part of a path, of an address or of a command somewhere, so none can leave its place."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

# Of a task, recipe, suite or baseline.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
SplitName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A name that stays inside the folder it is looked up in: the file may come from a stranger.
FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
# Of a file inside a folder, with slashes.
InnerPath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][\w.+-]*(/[A-Za-z0-9_][\w.+-]*)*$")]
# A Hub id; a commit may be written behind it.
HubId = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+(@[0-9a-f]{40})?$")]
