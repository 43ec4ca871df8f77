"""Run bad inputs, and say what came of each: ``python tests/bad_inputs/outcomes.py`` writes ``outcomes.csv``, worst first.

Each case has a copy of a small project with trained runs, and a process of its own that is forked from one that has imported
bench, with bounds on time and memory. What a command does there is one of :data:`CLASSES`.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]
if TYPE_CHECKING:
    from bad_cases import Arguments, Case

TABLE = Path(__file__).with_name("outcomes.csv")
COLUMNS = ("class", "exit", "kind", "command", "place", "first line", "id")
# The worst first. What is at the end is as it should be.
CLASSES = (
    "hang",
    "traceback",
    "wrong success",
    "unclear",
    "another result, rightly",
    "passed over, which is said",
    "the same result",
    "one clear line",
)
GOOD = CLASSES[4:]
SECONDS = 60
# Of address space, more than the process has when it starts.
MEMORY = 6 << 30
_NET = "error: this should not have happened"
# What a message of a library looks like.
_LIBRARY = re.compile(
    r"\b(?:[A-Z]\w*)?(?:Error|Exception|Warning)\b|Errno|NoneType|<class|object at 0x|site-packages|\bpydantic\b|ufunc|dtype\('"
    r"|while (?:scanning|parsing)|could not (?:convert|determine)|codec can't|invalid literal|unhashable|unsupported operand"
    r"|not subscriptable|has no attribute|must be str|positional argument|index out of range|Input should be|not iterable"
)
_TIME = re.compile(r"\d[\d,.]* ?(?:ms|s|min|h|hours?|seconds?|minutes?)\b|\d\d:\d\d(?::\d\d)?|\b\d+ (?=bytes|kB|MB)")


@dataclass(frozen=True)
class Outcome:
    """What came of a case."""

    code: int
    out: str
    err: str
    seconds: float = 0.0
    hung: bool = False

    @property
    def first_line(self) -> str:
        """The line that says what is wrong, or the first that is printed."""
        lines = [line.strip() for line in (self.err + "\n" + self.out).splitlines() if line.strip()]
        said = [line for line in lines if line.startswith(("error:", _NET))]
        last = (
            [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)]
            if "Traceback" in self.err
            else []
        )
        return next(iter([*last[-1:], *said, *lines]), "")


def build(folder: Path) -> Path:
    """A project with a task in each format, a checkpoint, runs of it, a baseline, a submission; in ``here``, beside ``cache``."""
    import gzip
    import json
    import zipfile

    import pyarrow as pa
    import pyarrow.parquet as pq
    import yaml
    from bad_cases import FULL, TASK
    from tiny_checkpoints import write_checkpoint
    from tiny_project import tiny_rows, write_task

    here = folder / "here"
    here.mkdir(parents=True)
    task = yaml.safe_load(write_task(here, "sequence-classification").read_text())
    rows = tiny_rows("sequence-classification")
    text = (here / "tasks" / "sequence-classification.csv").read_bytes()
    formats = {"parquet": "rows.parquet", "zip": "rows.zip", "gzip": "rows.csv.gz", "jsonl": "rows.jsonl"}
    pq.write_table(pa.Table.from_pylist(rows), here / "tasks" / formats["parquet"])
    (here / "tasks" / formats["gzip"]).write_bytes(gzip.compress(text, mtime=0))
    (here / "tasks" / formats["jsonl"]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    with zipfile.ZipFile(here / "tasks" / formats["zip"], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("rows.csv"), text, zipfile.ZIP_DEFLATED)
    for name, path in formats.items():
        file = {"path": path} | ({"member": "rows.csv"} if name == "zip" else {})
        values = task | {"name": f"of-{name}", "data": task["data"] | {"files": [file]}}
        (here / "tasks" / f"of-{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    recipe = {"name": "mine", "adaptation": "full", "epochs": 1, "learning_rate": 0.001, "batch_size": 8}
    suite = {
        "name": "mine",
        "title": "Mine",
        "tasks": [TASK],
        "recipe": "probe",
        "seeds": [1],
        "checkpoints": ["./esm"],
    }
    (here / "benchmarks" / "recipes").mkdir(parents=True)
    (here / "benchmarks" / "recipes" / "mine.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    (here / "benchmarks" / "mine.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))
    write_checkpoint(here / "esm", "esm")
    (here / "proteins.fasta").write_text(">a\nMKTAYIAKQR\n>b\nMKVLLLAGGW\n>c\nGGGSTNQ\n")
    (here / "proteins.csv").write_text(
        "id,sequence,label,set\n" + "".join(f"p{i},MKTAYIAKQR{'G' * i},0,train\n" for i in range(4))
    )
    seeds = ("--seed", "1", "--seed", "2", "--set", "epochs=1", "--device", "cpu")
    for arguments in (
        ("run", "--checkpoint", "./esm", "--task", TASK, "--recipe", "full", "--recipe", "probe", *seeds),
        (
            "run",
            "--checkpoint",
            "./esm",
            "--task",
            TASK,
            "--recipe",
            "probe",
            "--fraction",
            "0.5,1",
            "--runs",
            "shares",
            *seeds,
        ),
        ("baseline", "create", "main", "--runs", "runs"),
        ("submissions", "add", FULL, "--to", "submissions"),
    ):
        outcome = run(arguments, here)
        assert outcome.code == 0, outcome.err + outcome.out
    return folder


def run(
    arguments: Arguments, here: Path, env: dict[str, str] | None = None, before: str = "", stdin: bytes = b""
) -> Outcome:
    """Call the command in a process of its own."""
    import warm_process

    settings = {"OMP_NUM_THREADS": "1", "BENCH_ENERGY": "estimate", "BENCH_CACHE": str(here.parent / "cache")}
    settings |= {
        "PYTHONPATH": str(ROOT),
        "HOME": str(here.parent),
        "PATH": os.environ["PATH"],
        # A case means its run, and no baselines beside it.
        "BENCH_BASELINES": "0",
        "HF_HUB_OFFLINE": "1",
        **(env or {}),
    }
    bounds = (
        "import os, resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({MEMORY} + int(open('/proc/self/statm').read().split()[0]) * 4096, -1))\n"
        f"{before}\n"
        "from hubtools.cli.main import main\nsys.argv[0] = 'bench'\nmain()\n"
    )
    found = [part if "*" not in part or "--s1--" not in part else _found(part, here) for part in arguments]
    started = time.monotonic()
    process = warm_process.start(found, cwd=here, env=settings, code=bounds, stdin=stdin, bench=True)
    try:
        out, err = _said(process)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(30)
        return Outcome(-9, "", "", time.monotonic() - started, hung=True)
    assert process.returncode is not None
    return Outcome(process.returncode, out, err, time.monotonic() - started)


def _said(process: object) -> tuple[str, str]:
    process.wait(SECONDS)  # type: ignore[attr-defined]
    texts = []
    for stream in process._streams:  # type: ignore[attr-defined]
        stream.seek(0)
        # Names of files may be no text.
        texts.append(stream.read().decode(errors="replace"))
    return texts[0], texts[1]


def _found(pattern: str, here: Path) -> str:
    return next(iter(sorted(str(path.relative_to(here)) for path in here.glob(pattern))), pattern)


def plain(text: str, here: Path) -> str:
    """A text without what differs from machine to machine and from time to time."""
    text = text.replace(str(here), "HERE").replace(str(here.parent), "THERE")
    # Records of the project name the folder in which it was made.
    return _TIME.sub("T", re.sub(rf"{re.escape(tempfile.gettempdir())}/\w+/world/here\b", "MADE", text))


class Judge:
    """Runs cases in copies of one world, and compares with what the right command gives there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.world = folder, build(folder / "world")
        self._right: dict[tuple[Arguments, bytes], Outcome] = {}
        self._count = 0

    def outcome(self, case: Case) -> Outcome:
        """What comes of it, in a world of its own."""
        from bad_cases import copied

        self._count += 1
        place = self.folder / f"c{self._count % 1000}"
        here = copied(self.world, place)
        try:
            case.prepare(here)
            found = run(case.arguments, here, dict(case.env), case.before, case.stdin)
            return Outcome(found.code, plain(found.out, here), plain(found.err, here), found.seconds, found.hung)
        finally:
            shutil.rmtree(os.fsencode(place), ignore_errors=True)

    def right(self, case: Case) -> Outcome:
        """What the same command gives where nothing is bad."""
        from bad_cases import Case

        key = case.arguments, b">a\nMKTAYIAKQR\n>b\nMKVLLLA\n" if case.stdin or case.place == "standard input" else b""
        if key not in self._right:
            self._right[key] = self.outcome(Case("right", "nowhere", case.arguments, stdin=key[1]))
        return self._right[key]

    def class_of(self, case: Case, found: Outcome) -> str:
        """One of :data:`CLASSES`."""
        from expected import rightly

        if found.hung:
            return "hang"
        if (
            "Traceback (most recent" in found.err + found.out
            or _NET in found.err
            or (found.code < 0 and found.code != -13)
        ):
            return "traceback"
        right = self.right(case)
        if found.code == 0:
            if case.place in {"streams", "environment", "current folder"} or shape(case, found) == shape(case, right):
                return "the same result"
            if any(_NAMES.search(line) for line in set(found.err.splitlines()) - set(right.err.splitlines())):
                return "passed over, which is said"
            return "another result, rightly" if rightly(case, found) else "wrong success"
        if found.code == right.code and (found.out, found.err) == (right.out, right.err):
            return "the same result"
        if case.place == "streams" and case.kind.startswith("stdout to"):
            # What is under way may be said on the other stream.
            quiet = not re.search(r"^error|^Traceback|^Exception", found.err, re.MULTILINE)
            return "the same result" if found.code in (0, 141) and quiet else "unclear"
        if case.place == "streams" and case.kind.startswith("stderr"):
            # What is wrong has nowhere to be said; 120 is Python's own, where what is left cannot be written at its end.
            return "the same result" if found.code in (1, 2, 120, 141) else "unclear"
        if case.place == "streams" and "closed" in case.kind:
            return "one clear line" if found.code in (1, 2) else "unclear"
        return "one clear line" if clear(found) or rightly(case, found) else "unclear"


# What a line names that says of something bad that it is passed over.
_NAMES = re.compile(r"^(?:note|warning): .*|.*\b(?:left out|passed over|not read|ignored|skipped)\b")


_SHAPES: dict[str, Callable[[str], object]] = {
    "estimate": lambda out: re.findall(r"^\S+ · .*seed \d+|^error.*|epochs", out, re.MULTILINE),
    "run": lambda out: re.findall(r"test \w+ -?[\d.]+ \[.*?\]|^.* planned:$|^  \S.*seed \d+$", out, re.MULTILINE),
    "reproduce": lambda out: out.split("\n")[:1],
    "cache ls": lambda out: "",
    "cache rm": lambda out: "",
}


def shape(case: Case, found: Outcome) -> object:
    """What a command says, without what differs from one call to the next: times, and what an estimate measures."""
    return _SHAPES.get(case.command, str)(found.out)


def clear(found: Outcome) -> bool:
    """Whether one line says what is wrong in the user's words."""
    lines = [line for line in found.err.splitlines() if line.strip()]
    errors = [at for at, line in enumerate(lines) if line.startswith("error:")]
    if found.code == 1 and not errors:
        # A finding, on standard output, and not a mistake.
        return bool(found.out.strip()) and not _LIBRARY.search(found.out)
    return (
        len(errors) == 1
        and errors[0] == len(lines) - 1
        and found.code == 2
        and not _LIBRARY.search(lines[-1])
        and len(lines[-1]) > 25
    )


def rows_of(cases: Iterable[Case], judge: Judge, say: bool = False) -> Iterator[dict[str, str]]:
    """A row of the table for each."""
    for number, case in enumerate(cases, 1):
        found = judge.outcome(case)
        row = {
            "class": judge.class_of(case, found),
            "exit": str(found.code),
            "kind": case.kind,
            "command": case.command,
            "place": case.place,
            "first line": _shortened(found.first_line),
            "id": f"{number:03d}",
        }
        if say:
            print(
                f"{number} {row['class']}: {case.kind} · {case.command} · {case.place} · {found.seconds:.1f} s · {'' if row['class'] in GOOD else row['first line']}",
                file=sys.stderr,
                flush=True,
            )
        yield row


def _shortened(text: str, most: int = 200) -> str:
    text = re.sub(r"(.)\1{40,}", lambda run: f"{run[1]}…({len(run[0])})", text)
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return text if len(text) <= most else f"{text[:most]}…"


def written(rows: Sequence[dict[str, str]], path: Path = TABLE) -> str:
    """Write the table, worst first; the summary."""
    rows = sorted(rows, key=lambda row: (CLASSES.index(row["class"]), row["place"], row["command"], row["kind"]))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    counts = Counter(row["class"] for row in rows)
    kinds, commands, places = (len({row[key] for row in rows}) for key in ("kind", "command", "place"))
    summary = ", ".join(f"{counts[name]} {name}" for name in CLASSES)
    return f"{len(rows)} bad inputs of {kinds} kinds, {commands} commands and {places} places: {summary}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--place", help="only places whose name holds this")
    parser.add_argument("--kind", help="only kinds whose name holds this")
    parser.add_argument("--command", help="only commands whose name holds this")
    parser.add_argument("--show", action="store_true", help="all that is printed, and no table")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    parser.add_argument("--part", default="0/1", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=TABLE)
    asked = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1", OMP_NUM_THREADS="1")
    from bad_cases import all_cases

    part, parts = map(int, asked.part.split("/"))
    if parts == 1 and asked.jobs > 1 and not asked.show:
        print(written(_side_by_side(asked.jobs), asked.out))
        return
    cases = all_cases()
    with tempfile.TemporaryDirectory() as folder:
        judge = Judge(Path(folder))
        numbered = [
            case
            for case in cases[part::parts]
            if (asked.place or "") in case.place
            and (asked.kind or "") in case.kind
            and (asked.command or "") in case.command
        ]
        for case in numbered if asked.show else ():
            show(case, judge)
        if asked.show:
            return
        numbers = {id(case): number for number, case in enumerate(cases, 1)}
        rows = [
            row | {"id": f"{numbers[id(case)]:03d}"}
            for case, row in zip(numbered, rows_of(numbered, judge, say=True), strict=True)
        ]
    print(written(rows, asked.out))


def show(case: Case, judge: Judge) -> None:
    """Print all that a case prints, and what the right command does."""
    found = judge.outcome(case)
    print(f"== {judge.class_of(case, found)}, {found.code}: {case.kind}, {case.place}, {dict(case.env)}")
    print(f"$ bench {' '.join(case.arguments)[:300]!a}\n{found.out[:1500]}\n--\n{found.err[-3500:]}")
    if not found.code:
        print(f"-- right:\n{judge.right(case).out[:1500]}")


def _side_by_side(jobs: int) -> list[dict[str, str]]:
    """The rows of all cases, each process with a part of them."""
    with tempfile.TemporaryDirectory() as folder:
        parts = [Path(folder) / f"{number}.csv" for number in range(jobs)]
        started = [
            subprocess.Popen(
                [sys.executable, __file__, *sys.argv[1:], "--part", f"{number}/{jobs}", "--out", str(path)],
                stdout=subprocess.DEVNULL,
            )
            for number, path in enumerate(parts)
        ]
        assert all(process.wait() == 0 for process in started)
        return [row for path in parts for row in csv.DictReader(path.open(encoding="utf-8"))]


if __name__ == "__main__":
    main()
