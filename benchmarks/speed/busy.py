#!/usr/bin/env python3
"""What other work on the machine does to fine-tuning: seconds by number of threads and of busy processes beside.

usage: python benchmarks/speed/busy.py [--threads MOST] [--beside 0 1 2] [--shape 8M] [--proteins 16] [--rounds 3] [--out FILE]

Threads that share the work of an operation wait for the slowest. What is compared is one thread with more of them, beside the
same number of processes that do nothing but compute. The last column is the number that bench would choose there. Run it on
a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import torch
from measuring import Timing, interleaved, options, report
from training import bench
from workload import Work, shape_options

from hubtools.training.compute.machine import cores
from hubtools.training.compute.threads import chosen

# A process that wants one core, always.
SPIN = "while True: pass"
# Seconds until the system shows it as running.
SETTLE = 1.0


@contextlib.contextmanager
def beside(number: int) -> Iterator[None]:
    """So many busy processes run inside."""
    others = [subprocess.Popen([sys.executable, "-I", "-S", "-c", SPIN]) for _ in range(number)]
    try:
        time.sleep(SETTLE)
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def name_of(threads: int) -> str:
    """As the table shows it."""
    return f"{threads} thread{'s'[: threads > 1]}"


def measure(work: Work, most: int, rounds: int) -> dict[str, Timing]:
    """One short fit with each number of threads, in turn."""
    fit = bench(work, "float32", True)

    def with_threads(number: int) -> object:
        torch.set_num_threads(number)
        return fit()

    numbers = sorted({1, *(2**power for power in range(1, 12) if 2**power <= most), most})
    return interleaved({name_of(n): lambda n=n: with_threads(n) for n in numbers}, rounds, name_of(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options(parser)
    parser.set_defaults(rounds=3, threads=cores())
    shape_options(parser, 16)
    parser.add_argument("--beside", type=int, nargs="+", default=[0, 1, 2], help="busy processes (default 0 1 2)")
    given = parser.parse_args()
    usual = torch.get_num_threads()
    work = Work.of(given.shape, given.proteins)
    rows, figures = [], {}
    for number in given.beside:
        with beside(number):
            choice = chosen(None, usual)
            timings = measure(work, given.threads, given.rounds)
        for name, timing in timings.items():
            span = f"{timing.ratio:.2f} ({timing.ratio_low:.2f} – {timing.ratio_high:.2f})"
            mark = "chosen" if name == name_of(choice.number) else ""
            rows.append((str(number), name, f"{timing.median:.2f}", span, mark))
        figures[f"{number} beside"] = timings
    columns = ("busy processes", "bench with", "seconds", "times as fast as one thread", "bench's own choice")
    report("Fine-tuning beside other work", columns, rows, given, figures)


if __name__ == "__main__":
    main()
