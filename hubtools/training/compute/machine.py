"""What this machine gives to this process: cores and main memory, by its affinity and its control groups. No torch."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath

# How many workers there are, where this process is one of several: said on record, since what is measured is measured beside them.
COMPANY = "BENCH_WORKER_OF"


def cores() -> int:
    """Cores that this process may use: by its affinity, and by the quota of its control groups."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = quota()
    return own if limit is None else max(1, min(own, int(limit)))


def quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that control groups of version 1 or 2 give this process; None where they set no limit.

    Args:
        root: of the file system.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        top = root / "sys/fs/cgroup"
        if controllers:
            if "cpu" not in controllers.split(","):
                continue
            top = top / controllers if (top / controllers).is_dir() else top / "cpu"
        # A group may use no more than those that it is in; in a container, they may not be shown.
        own = PurePosixPath(path.lstrip("/"))
        found += [limit for inner in (own, *own.parents) if (limit := _limit(top / inner)) is not None]
    return min(found, default=None)


def _limit(group: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        # Version 2: "max 100000" or "150000 100000".
        granted, period = (group / "cpu.max").read_text().split()
        return None if granted == "max" else int(granted) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        # Version 1: -1 is no limit.
        granted = (group / "cpu.cfs_quota_us").read_text()
        return int(granted) / int((group / "cpu.cfs_period_us").read_text()) if int(granted) > 0 else None
    return None


def free_memory() -> int | None:
    """Bytes of main memory that are free; None where the system does not say."""
    known = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                known.append(int(line.split()[1]) * 1024)
    # A container may have less than its machine; where it has no limit of its own the file says "max".
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        known.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return min(known) if known else None
