"""Where rivals are installed: virtual environments of their own, from the package index, kept from one run to the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True)
class Wanted:
    """What a rival is installed from.

    Attributes:
        packages: what pip is asked for.
        alone: whether it stands in an environment of its own, because it asks for another transformers than bench has.
        python: the oldest Python that it asks for.
        whatever_python: in an older Python, what is then installed without that question and without what it needs...
        needed: ...which is installed first, as new as that Python has it.
    """

    packages: tuple[str, ...]
    alone: bool = False
    python: tuple[int, int] = (3, 11)
    whatever_python: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()


_NEEDED_2 = (
    "accelerate", "appdirs", "blosum", "cyclopts", "datasets", "einops", "email-validator", "gpytorch", "h5py>=3.15", "llvmlite",
    "numpy>=2.4.1,<2.5", "onnx", "onnxscript", "pandas", "peft<0.23", "pydantic", "requests", "ruamel-yaml>=0.17.40,<0.18",
    "safetensors", "scikit-learn", "scipy", "sentencepiece", "tensorboard", "torchmetrics", "tqdm", "transformers>=5.17,<5.20",
    "umap-learn",
)  # fmt: skip
_BIOTRAINER_2 = ("biotrainer==2.1.1", "biotrainer-core==2.1.1")
RIVALS = {
    # biotrainer's command imports requests without asking for it.
    "biotrainer": Wanted(("biotrainer==1.4.0", "requests")),
    # With transformers from 5.17 to below 5.20. It asks for Python 3.12 and for a SciPy that needs it; in 3.11 its command runs all the same.
    "biotrainer-2": Wanted(
        (*_BIOTRAINER_2, "requests"),
        alone=True,
        python=(3, 12),
        whatever_python=(*_BIOTRAINER_2, "junban>=1.0.3,<1.1", "aaanalysis>=1.1.0,<1.2.0"),
        needed=_NEEDED_2,
    ),
    "dgeb": Wanted(("dgeb==0.2.0",)),
    "notebook": Wanted(("accelerate",)),
}


def environments(folder: Path, rivals: Sequence[str], torch: str) -> dict[str, Path]:
    """The Python of each rival, installed where its environment does not have it yet.

    Args:
        folder: holds the environments: ``together``, and one by its name for each rival that stands alone.
        rivals: names of :data:`RIVALS`.
        torch: what pip installs as torch, the same for all.
    """
    together = [name for name in rivals if not RIVALS[name].alone]
    pythons = {}
    if together:
        packages = [package for name in together for package in RIVALS[name].packages]
        python = _made(folder / "together")
        _install(python, [torch, f"transformers=={version('transformers')}", *packages])
        pythons = dict.fromkeys(together, python)
    for name in rivals:
        wanted = RIVALS[name]
        if not wanted.alone:
            continue
        python = pythons[name] = _made(folder / name)
        if sys.version_info[:2] >= wanted.python:
            _install(python, [torch, *wanted.packages])
        else:
            asked = ".".join(map(str, wanted.python))
            print(f"{name} asks for Python {asked}; this one is older, and it is not asked", file=sys.stderr)
            _install(python, [torch, *wanted.needed])
            _install(python, ["--no-deps", "--ignore-requires-python", *wanted.whatever_python])
    return pythons


def versions(python: Path) -> dict[str, str]:
    """Versions of what matters in an environment."""
    names = ["biotrainer", "dgeb", "torch", "transformers", "accelerate", "numpy", "h5py"]
    code = (
        "import importlib.metadata as m, json\n"
        f"names = {names!r}\n"
        "found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({n: found[n] for n in names if n in found}))"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _made(folder: Path) -> Path:
    """The Python of an environment, which is made where it is not there."""
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return python


def _install(python: Path, wanted: list[str]) -> None:
    print(f"installing {' '.join(wanted)} into {python.parents[1]}", file=sys.stderr)
    subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-warn-conflicts", *wanted], check=True)
