"""Everything of bench that meets a network, against the real one: public data, original weights, published numbers, UniProt, publishing.

    python benchmarks/network                        # all of it, kept in ./network; stopped, the same command goes on
    python benchmarks/network --only uniprot hub     # some groups of steps
    python benchmarks/network --smoke                # the same steps against servers on this machine, with tiny random weights

The groups: ``data`` loads every task that ships from its public source, counts, and pins what is not pinned; ``checkpoints`` reads
original weights as users have them; ``published`` makes published numbers again, as the positive control; ``uniprot`` asks for the two
tasks of the Hugging Face notebook and compares with what that saw; ``hub`` publishes to private scratch repositories, reads back, and
deletes what it made. That one needs a token that may write (``hf auth login``, or HF_TOKEN).

A step that fails is one line, and the others go on. What passed is not done again, what failed is. Written to the folder:
``network.json`` (every step, with its time) and ``network.patch`` (pins and counts for ``git apply``). Exit code: 0 all passed, or was
not asked for; 1 something failed; 3 a published number could be neither confirmed nor refuted.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from catalogue import REAL, Catalogue
from journal import Journal
from round_trip import RoundTrip
from steps import Network

from hubtools.common.errors import UserError
from hubtools.common.files import make_folder, write_atomic
from hubtools.specs.lookup.content import shipped_root

GROUPS = ("data", "checkpoints", "published", "uniprot", "hub")


def show(journal: Journal, groups: Sequence[str], patch: str) -> None:
    """The table, the sums, the patch."""
    from hubtools.cli.shared.terminal import new_console, new_table
    from hubtools.findings.wording import duration, plural

    table = new_table("step", "state", "time", "what")
    table.columns[0].no_wrap = False
    for column in table.columns:
        column.overflow = "fold"
    shown = [one for one in journal.steps.values() if one.step.split()[0] in groups]
    for one in shown:
        table.add_row(one.step, one.state, duration(one.seconds), one.line)
    new_console().print(table)
    counted = ", ".join(f"{count} {state}" for state, count in journal.counted.items())
    total = duration(sum(one.seconds for one in shown))
    print(f"{plural(len(shown), 'step')} in {total}: {counted}. All of it: {journal.path}")
    if patch:
        print(
            f"\nPins and counts that the repository does not have yet: git apply {journal.path.parent}/network.patch\n"
        )
        print(patch, end="")


def try_network(catalogue: Catalogue, folder: Path, groups: Sequence[str]) -> int:
    """Do the steps, write what came of them, and give the exit code.

    Raises:
        UserError: the folder cannot be written, or holds what was asked of other servers.
    """
    from hubtools.data.sources.uniprot import address

    make_folder(folder)
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    # Servers of this machine have another port each time.
    asked = {name: re.sub(r"(?<=//127\.0\.0\.1):\d+", "", url) for name, url in (("hub", hub), ("uniprot", address()))}
    journal = Journal(folder, asked)
    network = Network(catalogue, folder, journal)
    # Nothing that an earlier command fetched, and no mirror, stands in for a public address.
    os.environ.pop("BENCH_DATA_MIRROR", None)
    os.environ["BENCH_CACHE"] = str(folder / "cache")
    work = dict(zip(GROUPS, (*network.groups, RoundTrip(network).run), strict=True))
    for group in groups:
        work[group]()
    patch = network.patch()
    if patch:
        write_atomic(folder / "network.patch", patch)
    show(journal, groups, patch)
    return journal.exit_code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("network"), help="where everything is kept, to go on with")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--smoke", action="store_true", help="against servers on this machine, which it starts")
    options = parser.parse_args()
    try:
        if not options.smoke:
            return try_network(REAL, options.folder.absolute(), options.only)
        tests = shipped_root() / "tests"
        if not tests.is_dir():
            raise UserError(
                "the servers are in tests/, which is not here", where="--smoke", fix="Clone the repository."
            )
        sys.path.insert(0, str(tests))
        from network_on_loopback import loopback

        with loopback(options.folder.absolute() / "servers") as values:
            return try_network(Catalogue(**values), options.folder.absolute(), options.only)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
