#!/usr/bin/env python3
"""A GPU, in eight minutes: is what it computes true, how fast is it, and is it kept waiting?

    python benchmarks/gpu.py [--out gpu.json]         on a machine with a card of NVIDIA's: no network, no data but what is made here
    python benchmarks/gpu.py --smoke                  tiny shapes on the processor, in less than a minute: that all of it runs

Three parts. Correctness: the proofs of every run on tiny checkpoints of all families, in float32 and bfloat16, against the
processor; the variable-length kernel; compiled layers; fits packed and padded, stopped and gone on, and short of memory,
which must end alike; weights divided among a group of one; four bits; a published model asked again. Speed: embedding,
probe, LoRA and full fine-tuning with the shapes of ESM-2 and ESM C, random weights and the lengths of real proteins, beside
the notebook recipe and plain transformers. Waiting: synchronisations within an epoch, and the share of time that the card computes.

Every check has its time: one that does not fit into what is left is left out, and the table says so. A check is right, wrong,
measured, missed (slower than the goal, which is no error), or left out. The exit code is 1 where one is wrong, else 0.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import sys
import time
from pathlib import Path

# This folder is first already: a script's own.
sys.path.insert(1, str(Path(__file__).resolve().parent / "speed"))
sys.path.insert(2, str(Path(__file__).resolve().parents[1]))
# Of what libraries say, nothing is about the figures.
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from measuring import machine as about_machine
from on_gpu import correctness, throughput, waiting
from on_gpu.checking import Check, Finding, run_checks
from on_gpu.making import Machine
from transformers.utils.logging import disable_progress_bar

from hubtools.common.files import write_atomic
from hubtools.training.compute.device import Execution

PARTS = {"correctness": correctness.checks, "waiting": waiting.checks, "speed": throughput.checks}
MINUTES = 8.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny shapes on the processor")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="only these")
    parser.add_argument("--only", metavar="TEXT", help="only checks whose name holds this")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"for everything (default {MINUTES:g})")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the findings as JSON")
    given = parser.parse_args()
    started = time.monotonic()
    if not given.smoke and not torch.cuda.is_available():
        print("error: there is no GPU of NVIDIA's here; --smoke runs tiny shapes on the processor", file=sys.stderr)
        return 2
    logging.disable(logging.WARNING)
    disable_progress_bar()
    # A card that hangs cannot be interrupted: the process ends, with a code that is not 0.
    faulthandler.dump_traceback_later(60 * given.minutes + 60, exit=True)
    device = torch.device("cpu" if given.smoke else "cuda")
    machine = Machine(device, given.smoke)
    checks = [check for part in given.parts for check in PARTS[part](machine)]
    if given.only:
        checks = [check for check in checks if given.only.lower() in check.name.lower()]

    def told(check: Check, finding: Finding) -> None:
        print(
            f"| {check.part} | {check.name} | {finding.verdict} | {finding.said} | {finding.seconds:.1f} |", flush=True
        )

    name = Execution(device, 1).device_name
    print(f"{name}, torch {torch.__version__}{', smoke test' * given.smoke}\n")
    print("| part | check | verdict | what was found | seconds |\n| --- | --- | --- | --- | --- |")
    found = run_checks(checks, 60 * given.minutes, device, told)
    verdicts = [finding.verdict for _, finding in found]
    tally = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in dict.fromkeys(verdicts))
    print(f"\n{tally or 'nothing was looked at'}; {time.monotonic() - started:.0f} s")
    if given.out is not None:
        rows = [{"part": check.part, "check": check.name, **vars(finding)} for check, finding in found]
        whole = {"device": name, "smoke": given.smoke, "machine": about_machine(), "checks": rows}
        write_atomic(given.out, json.dumps(whole, indent=2, default=str) + "\n")
    return 1 if "wrong" in verdicts or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
