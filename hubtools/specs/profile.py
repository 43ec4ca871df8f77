"""The profile: how an engine of a cluster is to be asked: partition, time, GPUs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hubtools.specs.base import Spec
from hubtools.specs.names import Name


class Profile(Spec):
    """One profile file."""

    name: Name
    title: str
    summary: str = ""
    engine: Name = Field(description="Engine that it is for: slurm, ray, or one that a package brings.")
    options: dict[str, Any] = Field(default={}, description="What that engine takes.")
