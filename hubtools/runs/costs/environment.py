"""With what a run was made: code, packages, hardware."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import subprocess
from functools import cache
from pathlib import Path

from hubtools.common.version import __version__
from hubtools.specs.record import Environment
from hubtools.training.compute import distributed, machine, threads
from hubtools.training.compute.device import Execution

PACKAGES = (
    "bitsandbytes",
    "datasets",
    "huggingface_hub",
    "numpy",
    "peft",
    "safetensors",
    "scikit-learn",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
)


def describe(execution: Execution, *, precision: str, attention: str | None) -> Environment:
    """The environment of a run, as recorded."""
    import torch

    commit, dirty = git_state()
    return Environment(
        bench=__version__,
        git_commit=commit,
        git_dirty=dirty,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=dict(_versions()),
        device=execution.device.type,
        device_name=execution.device_name,
        cpu_count=machine.cores(),
        threads=torch.get_num_threads(),
        threads_by=threads.why(),
        precision=precision,
        attention=attention,
        token_budget=execution.token_budget,
        gradient_checkpointing=execution.gradient_checkpointing,
        processes=distributed.size(),
        sharded=execution.shard and distributed.size() > 1,
    )


@cache
def _versions() -> dict[str, str]:
    """Of the packages that are installed."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


@cache
def git_state() -> tuple[str | None, bool | None]:
    """Commit of the checkout that bench runs from and whether it has changes; nothing for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None, None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit, bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()
