"""The bad inputs, generated: kind × command × place, from a seed.

A **place** is where something bad can stand: a file of a project (:data:`PLACES`), an option, a variable of the environment,
the current folder, a stream. Each has the commands that read it, as they would be right but for it, and the kinds that can be
there. All pairs of a place's kinds and commands are listed and shuffled, and some of each place are taken, so that every kind
and every command of it comes up before any comes twice.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import click
from damaged_content import ANY, GZIP, JSON, LONG, PARQUET, SAFETENSORS, TEXT, YAML, ZIP, Make
from damaged_rows import CSV, FASTA, JSON_LINES

from hubtools.cli.main import COMMANDS

SEED = 17
TASK = "tiny-sequence-classification"
# Runs of the world; what is behind the last dash depends on the versions of libraries.
FULL, PROBE = f"runs/{TASK}--esm--full--s1--*", f"runs/{TASK}--esm--probe--s1--*"
Arguments = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """One bad input.

    Attributes:
        kind: of what is bad.
        place: where it is.
        arguments: of the command that meets it; a ``*`` stands for what a run's name ends with.
        prepare: puts it into a copy of the world.
        env: variables of the environment that are set.
        before: Python that runs in the process before the command.
        stdin: what can be read.
    """

    kind: str
    place: str
    arguments: Arguments
    prepare: Callable[[Path], object] = lambda here: None
    env: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    stdin: bytes = b""

    @property
    def command(self) -> str:
        """The command without its arguments."""
        groups = {"baseline", "submissions", "tasks", "data", "cache", "recipes", "suites"}
        return " ".join(self.arguments[: 2 if self.arguments[0] in groups else 1])


RUN = ("run", "--task", TASK, "--device", "cpu", "--runs", "made")
TRAINED = (*RUN, "--checkpoint", "./esm", "--recipe", "probe", "--set", "epochs=1", "--seed", "1")
MAJORITY = (*RUN, "--recipe", "majority", "--seed", "1")
ESTIMATE = ("estimate", "--task", TASK, "--checkpoint", "./esm", "--recipe", "probe", "--device", "cpu")
SWEEP = ("sweep", "--task", TASK, "--checkpoint", "./esm", "--recipe", "mine", "--over", "learning_rate=0.1,0.01", "--device", "cpu", "--dry-run")  # fmt: skip
BOARD = ("board", "--runs", "runs")
COMPARE = ("compare", "runs:recipe=full", "runs:recipe=probe", "--replicates", "200")
CHECK = ("check", "--baseline", "main", "--candidate", "runs", "--cost", "ignore", "--replicates", "200")
CARD = ("card", FULL)
PUBLISH = ("publish", FULL, "--repo", "me/x", "--dry-run", "--licence", "mit")
CURVE = ("curve", "--task", TASK, "--runs", "shares")
REPRODUCE = ("reproduce", PROBE, "--device", "cpu", "--runs", "made")
CREATE = ("baseline", "create", "other", "--runs", "runs", "--to", "frozen")
SHOW, UPDATE = ("baseline", "show", "main"), ("baseline", "update", "main", "--runs", "runs", "--dry-run")
ADD = ("submissions", "add", FULL, "--to", "handed")
HANDED = ("submissions", "check", "submissions")
PREDICT = ("predict", FULL, "proteins.fasta", "--device", "cpu")
DEMO = ("demo", FULL, "--no-browser", "--port", "0")
TASKS_CHECK, TASKS_SHOW, TASKS_AUDIT = ("tasks", "check", TASK), ("tasks", "show", TASK), ("tasks", "audit", TASK)
TASKS_LIST, FETCH, FREEZE = ("tasks", "list"), ("data", "fetch", TASK), ("data", "freeze", TASK)
NEW = (
    "tasks",
    "new",
    f"tasks/{TASK.removeprefix('tiny-')}.csv",
    "--name",
    "new",
    "--split-column",
    "set",
    "--label",
    "label",
)
CACHE_LS, CACHE_RM, DATA_LS = ("cache", "ls"), ("cache", "rm", "--all"), ("data", "ls")
DATA_RM = ("data", "rm", "--all")
RECIPES, RECIPE, SUITES, SUITE = (
    ("recipes", "list"),
    ("recipes", "show", "mine"),
    ("suites", "list"),
    ("suites", "show", "mine"),
)
# One of each command, as it is right.
RIGHT: list[Arguments] = [
    MAJORITY, ESTIMATE, BOARD, COMPARE, CHECK, SHOW, UPDATE, CREATE, (*REPRODUCE, "--dry-run"), SWEEP, CURVE, CARD, PUBLISH, ADD, HANDED,
    PREDICT, TASKS_LIST, TASKS_SHOW, NEW, TASKS_CHECK, TASKS_AUDIT, FETCH, FREEZE, DATA_LS, DATA_RM, CACHE_LS, CACHE_RM,
    RECIPES, RECIPE, SUITES, SUITE,
]  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A file of the world, the commands that read it and how many cases are taken."""

    name: str
    pattern: str
    kinds: Mapping[str, Make]
    commands: Sequence[Arguments]
    count: int


def _told(name: str) -> Arguments:
    """A task whose table has another format."""
    return ("tasks", "check", name)


def _new(file: str) -> Arguments:
    return ("tasks", "new", file, "--name", "new", "--split-column", "set", "--label", "label")


def _predict(file: str) -> Arguments:
    return ("predict", FULL, file, "--device", "cpu")


ALL = ANY | TEXT
PLACES = [
    Place("task file", f"tasks/{TASK}.yaml", ALL | YAML, [MAJORITY, ESTIMATE, TASKS_CHECK, TASKS_SHOW, TASKS_AUDIT, TASKS_LIST, FETCH, FREEZE, SWEEP, CHECK, REPRODUCE], 45),
    Place("data file, CSV", "tasks/sequence-classification.csv", ALL | CSV, [MAJORITY, ESTIMATE, TASKS_CHECK, TASKS_AUDIT, NEW, FETCH, REPRODUCE], 36),
    Place("data file, Parquet", "tasks/rows.parquet", ANY | PARQUET, [_told("of-parquet"), _new("tasks/rows.parquet"), (*MAJORITY[:2], "of-parquet", *MAJORITY[3:])], 36),
    Place("data file, zip", "tasks/rows.zip", ANY | ZIP, [_told("of-zip"), _new("tasks/rows.zip"), _predict("tasks/rows.zip")], 27),
    Place("data file, gzip", "tasks/rows.csv.gz", ANY | GZIP, [_told("of-gzip"), _new("tasks/rows.csv.gz"), _predict("tasks/rows.csv.gz")], 24),
    Place("data file, JSON lines", "tasks/rows.jsonl", ALL | JSON_LINES, [_told("of-jsonl"), _new("tasks/rows.jsonl")], 27),
    Place("recipe", "benchmarks/recipes/mine.yaml", ALL | YAML, [("run", "--dry-run", *TRAINED[1:8], "--recipe", "mine"), (*ESTIMATE[:6], "mine", *ESTIMATE[7:]), RECIPE, RECIPES, SWEEP], 27),
    Place("suite", "benchmarks/mine.yaml", ALL | YAML, [("run", "--suite", "mine", "--dry-run"), ("estimate", "--suite", "mine", "--device", "cpu"), SUITE, SUITES, (*CHECK, "--suite", "mine"), (*CREATE, "--suite", "mine")], 27),
    Place("checkpoint, config.json", "esm/config.json", ANY | JSON, [TRAINED, ESTIMATE, (*TASKS_CHECK, "--checkpoint", "./esm"), REPRODUCE], 24),
    Place("checkpoint, weights", "esm/model.safetensors", ANY | SAFETENSORS, [TRAINED, ESTIMATE, (*TASKS_CHECK, "--checkpoint", "./esm"), REPRODUCE], 24),
    Place("checkpoint, tokenizer", "esm/tokenizer_config.json", ANY | JSON, [TRAINED, ESTIMATE, (*TASKS_CHECK, "--checkpoint", "./esm")], 15),
    Place("checkpoint, vocabulary", "esm/vocab.txt", ALL, [TRAINED, ESTIMATE, (*TASKS_CHECK, "--checkpoint", "./esm")], 9),
    Place("run.json", f"{FULL}/run.json", ANY | JSON, [BOARD, COMPARE, CHECK, CREATE, UPDATE, CARD, PUBLISH, ADD, PREDICT, DEMO, (*BOARD, "--html", "b.html"), ("reproduce", FULL, "--dry-run")], 45),
    Place("run.json of a share", "shares/*/run.json", ANY | JSON, [CURVE], 12),
    Place("run.json handed in", "submissions/*/run.json", ANY | JSON, [HANDED], 15),
    Place("predictions.parquet", f"{FULL}/predictions.parquet", ANY | PARQUET, [COMPARE, CHECK, CREATE, CARD, PUBLISH, ADD, (*BOARD, "--html", "board.html")], 36),
    Place("predictions handed in", "submissions/*/predictions.parquet", ANY | PARQUET, [HANDED], 15),
    Place("replicates", f"{FULL}/replicates.safetensors", ANY | SAFETENSORS, [BOARD, COMPARE, CHECK, CREATE, CARD], 21),
    Place("training.jsonl", f"{FULL}/training.jsonl", ALL, [CARD, PUBLISH, BOARD], 8),
    Place("model, config.json", f"{FULL}/model/config.json", ANY | JSON, [PREDICT, PUBLISH, DEMO], 21),
    Place("model, weights", f"{FULL}/model/model.safetensors", ANY | SAFETENSORS, [PREDICT, PUBLISH, DEMO], 21),
    Place("model, tokenizer", f"{FULL}/model/tokenizer_config.json", ANY | JSON, [PREDICT], 12),
    Place("model, vocabulary", f"{FULL}/model/vocab.txt", ALL, [PREDICT], 8),
    Place("baseline file", "benchmarks/baselines/main/baseline.yaml", ALL | YAML, [CHECK, SHOW, UPDATE], 30),
    Place("embeddings in the cache", "../cache/embeddings/*/*.safetensors", ANY | SAFETENSORS, [TRAINED, CACHE_LS, CACHE_RM], 15),
    Place("arrays in the cache", "../cache/arrays/*.npy", ANY, [MAJORITY, TRAINED, TASKS_AUDIT], 8),
    Place("proteins, FASTA", "proteins.fasta", ALL | FASTA, [PREDICT], 22),
    Place("proteins, CSV", "proteins.csv", ALL | CSV, [_predict("proteins.csv")], 18),
]  # fmt: skip


def _damage(pattern: str, make: Make, seed: str, here: Path) -> None:
    random = Random(seed)
    for path in sorted(here.glob(pattern)) or [*here.parent.glob(pattern.removeprefix("../"))]:
        content = make(path.read_bytes(), random)
        path.unlink()
        path.write_bytes(content)


def _signed(damage: Callable[[Path], object], here: Path) -> None:
    """A model that is damaged, and its record says so: as a stranger may have made it."""
    damage(here)
    for record in here.glob(f"{FULL}/run.json"):
        values = json.loads(record.read_text())
        for output in values["outputs"]:
            path = record.parent / output["path"]
            if path.is_file():
                output |= {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        record.write_text(json.dumps(values))


def _replaced(pattern: str, how: str, here: Path) -> None:
    for path in sorted(here.glob(pattern)) or [*here.parent.glob(pattern.removeprefix("../"))]:
        path.unlink()
        if how == "a folder in its place":
            path.mkdir()
        elif how == "a link to itself":
            path.symlink_to(path.name)
        elif how == "a link to nothing":
            path.symlink_to("nowhere")
        elif how == "a link to a device":
            path.symlink_to("/dev/null")


REPLACED = ["a folder in its place", "a link to itself", "a link to nothing", "a link to a device", "gone"]


def of_files() -> Iterator[Case]:
    """What stands in files."""
    for place in PLACES:
        kinds = [*place.kinds.items(), *((how, None) for how in REPLACED)]
        for kind, make, arguments in _some(place.name, kinds, place.commands, place.count):
            if make is None:
                prepare = partial(_replaced, place.pattern, kind)
            else:
                prepare = partial(_damage, place.pattern, make, f"{SEED}/{place.name}/{kind}/{arguments}")
            if place.name.startswith("model, "):
                prepare = partial(_signed, prepare)
            yield Case(kind, place.name, arguments, prepare)


def _some(
    name: str, kinds: Sequence[tuple[str, Any]], commands: Sequence[Arguments], count: int
) -> Iterator[tuple[str, Any, Arguments]]:
    """Pairs of a kind and a command: every kind and every command as often as the others."""
    random = Random(f"{SEED}/{name}")
    kinds, commands = random.sample(list(kinds), len(kinds)), random.sample(list(commands), len(commands))
    for number in range(min(count, len(kinds) * len(commands))):
        turn, at = divmod(number, len(kinds))
        kind, value = kinds[at]
        yield kind, value, commands[(at + turn) % len(commands)]


# Values of options. What a shell cannot pass (a zero byte) is not among them.
VALUES = {
    "not a number": "nan", "infinity": "inf", "minus infinity": "-inf", "1e999": "1e999", "minus one": "-1", "zero": "0", "nothing": "",
    "a space": " ", "a name of 300": LONG, "digits": "9" * 400, "digits of another script": "３", "an underscore": "1_0",
    "a fraction": "1.5", "hexadecimal": "0x10", "bytes that are no text": "\udcff\udcfe", "an emoji": "😀", "up": "../../x", "a device": "/dev/null",
    "a home": "~nobody/x", "an equals sign": "=", "a comma": ",", "a colon": ":", "a lone bracket": "[", "a brace": "{", "a tab": "\t",
    "a file for a folder": "proteins.fasta", "a folder for a file": "runs", "a path below a file": "proteins.fasta/x",
    "a name of 5,000": "n" * 5000, "an address": "https://[::1/x", "an address of the Hub": "hub://", "a port too large": "hub://x:99999999/y",
    "an option": "--force", "YAML": "learning_rate=.nan", "YAML's infinity": "learning_rate=-.inf", "YAML that is cut": "epochs=[1,",
    "a range": "0..1e18", "a star": "*", "a link to itself": "loop",
}  # fmt: skip
_LOOP: dict[Arguments, Arguments] = {}


def _options() -> Iterator[tuple[str, Arguments]]:
    """Each option of each command that takes a value, with a command that is right but for it; and each argument."""
    for right in [*RIGHT, TRAINED, DEMO]:
        command: click.Command = _command(right)
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                if parameter.is_flag or parameter.is_eager or parameter.hidden:
                    continue
                name = max(parameter.opts, key=len)
                # An option that is there already and comes once is replaced.
                kept = list(right)
                if name in kept and not parameter.multiple:
                    at = kept.index(name)
                    del kept[at : at + 2]
                yield f"option {name}", (*kept, name, "@")
            else:
                skip = {"baseline", "submissions", "tasks", "data", "cache", "recipes", "suites"}
                first = 2 if right[0] in skip else 1
                named = [at for at in range(first, len(right)) if not right[at].startswith("--")]
                if named and named[0] == first:
                    yield f"argument {parameter.name}", (*right[:first], "@", *right[first + 1 :])


def _command(arguments: Arguments) -> click.Command:
    module, attribute = COMMANDS[arguments[0]][0].split(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    if isinstance(command, click.Group):
        found = command.get_command(click.Context(command), arguments[1])
        assert found is not None
        return found
    return command


def of_options(count: int = 140) -> Iterator[Case]:
    """What is given as a value of an option or an argument."""
    random = Random(f"{SEED}/options")
    places = list(dict.fromkeys(_options()))
    random.shuffle(places)
    kinds = random.sample(list(VALUES.items()), len(VALUES))
    for number in range(count):
        place, arguments = places[number % len(places)]
        kind, value = kinds[(number + number // len(places)) % len(kinds)]
        yield Case(kind, place, tuple(value if part == "@" else part for part in arguments), prepare=_link_to_itself)


def _link_to_itself(here: Path) -> None:
    (here / "loop").symlink_to("loop")


VARIABLES = {
    "WORLD_SIZE": ["two", "", "-1", "1e9"], "RANK": ["x"], "OMP_NUM_THREADS": ["many", "-3", "0"], "BENCH_CACHE": ["proteins.fasta", "/proc/nothing", LONG, "loop"],
    "BENCH_CACHE_LIMIT": ["nan", "inf GB", "-1 GB", "much"], "BENCH_DATA_MIRROR": ["nowhere", "proteins.fasta", LONG], "BENCH_TASKS": ["nowhere", "proteins.fasta", "loop", LONG],
    "BENCH_ENERGY": ["x", ""], "BENCH_CARBON_INTENSITY": ["nan", "inf", "-1", "much"], "BENCH_COUNTRY": ["Atlantis", LONG], "BENCH_FAMILIES": ["no.such", "os", ":"], "BENCH_UNIPROT": ["x", "https://[::1/"],
    "HOME": ["/nonexistent", ""], "TMPDIR": ["/nonexistent"], "COLUMNS": ["wide", "-1", "0", "1"], "TERM": ["", "none"], "GITHUB_OUTPUT": ["/nonexistent/x", "runs"],
    "GITHUB_STEP_SUMMARY": ["/nonexistent/x", "runs"], "HF_HOME": ["proteins.fasta"], "HF_ENDPOINT": ["no address", "https://[::1/"], "TZ": ["Nowhere/None"], "LOCAL_RANK": ["x"],
    "MASTER_PORT": ["x"], "CUDA_VISIBLE_DEVICES": ["x"], "NETRC": ["runs"], "PYTORCH_ALLOC_CONF": ["x"], "XDG_CACHE_HOME": ["proteins.fasta"], "MPLBACKEND": ["none"], "LC_ALL": ["xx_XX", "C"], "FORCE_COLOR": ["x"],
}  # fmt: skip
_READ = [MAJORITY, TRAINED, BOARD, CHECK, PREDICT, CARD, TASKS_LIST, TASKS_CHECK, FETCH, DATA_LS, CACHE_LS, ESTIMATE]


def of_variables(count: int = 64) -> Iterator[Case]:
    """What a variable of the environment says."""
    kinds = [(f"{name}={value[:20]}", (name, value)) for name, values in VARIABLES.items() for value in values]
    for kind, (name, value), arguments in _some("variables", kinds, _READ, count):
        env = {name: value}
        if name in {"WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT"}:
            env = {
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": "1",
                "WORLD_SIZE": "2",
                "RANK": "0",
                "LOCAL_RANK": "0",
                name: value,
            }
            arguments = TRAINED
        yield Case(kind, "environment", arguments, prepare=_link_to_itself, env=env)


FOLDERS = {
    "deleted": "import shutil; shutil.rmtree(os.getcwd())",
    "of a name that is no text": "os.rename(os.getcwd(), b'../\\xff\\xfe'); os.chdir(b'../\\xff\\xfe')",
    "of a name with a line break": "os.rename(os.getcwd(), '../a\\nb'); os.chdir('../a\\nb')",
    "of a name of 250": "os.rename(os.getcwd(), '../' + 'n' * 250); os.chdir('../' + 'n' * 250)",
    "of a name with spaces and a percent": "os.rename(os.getcwd(), '../a b %41 #?'); os.chdir('../a b %41 #?')",
}
# A pipe is opened anew, since the stream of the process was one of a file, which has positions.
_NOBODY = "r, w = os.pipe(); os.dup2(w, {n}); os.close(r); os.close(w); sys.{name} = open({n}, 'w', closefd=False)"
STREAMS = {
    "stdout closed": "os.close(1); sys.stdout = None",
    "stderr closed": "os.close(2); sys.stderr = None",
    "stdin closed": "os.close(0); sys.stdin = None",
    "stdout full": "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)",
    "stdout to | head -1": _NOBODY.format(n=1, name="stdout"),
    "stderr to | head -1": _NOBODY.format(n=2, name="stderr"),
    "stdout in ASCII": "sys.stdout.reconfigure(encoding='ascii', errors='strict'); sys.stderr.reconfigure(encoding='ascii')",
    "stdout in UTF-16": "sys.stdout.reconfigure(encoding='utf-16')",
    "stdout to nobody, line by line": _NOBODY.format(n=1, name="stdout")
    + "; sys.stdout.reconfigure(line_buffering=True)",
}


def of_surroundings(folders: int = 40, streams: int = 90) -> Iterator[Case]:
    """The current folder, and the streams."""
    for kind, before, arguments in _some("folders", list(FOLDERS.items()), RIGHT, folders):
        yield Case(kind, "current folder", arguments, before=before)
    for kind, before, arguments in _some("streams", list(STREAMS.items()), RIGHT, streams):
        yield Case(kind, "streams", arguments, before=before)


def of_standard_input() -> Iterator[Case]:
    """Proteins that come through standard input."""
    good = b">a\nMKTAYIAKQR\n>b\nMKVLLLA\n"
    random = Random(f"{SEED}/standard input")
    for kind, make in (ALL | FASTA).items():
        yield Case(
            kind, "standard input", ("predict", FULL, "-", "--device", "cpu"), stdin=make(good, random)[:1_500_000]
        )


ADDRESSES = [
    "https://", "https:///x.csv", "https://[::1/x.csv", "https://x:99999/x.csv", "https://x:port/x.csv", "http://x y/z.csv", "https://..%2f/x.csv", "https://\u202ex/x.csv",
    "https://xn--a/x.csv", f"https://{'a' * 300}.org/x.csv", f"https://example.org/{'a' * 5000}.csv", "https://-.example.org/x.csv", "https://1.2.3.4.5/x.csv", "ftp://x/x.csv", "//x/x.csv",
    "https://user:pw@example.org/x.csv", "https://example.org/x.csv#frag", "https://example.org/%zz.csv", "https://example.invalid/x.csv", "mailto:me", "javascript:1", "hub://a/b/c/d", "https://e\u0301xample\u3002org/x.csv",
]  # fmt: skip


def _addressed(address: str, here: Path) -> None:
    import yaml

    path = here / "tasks" / f"{TASK}.yaml"
    task = yaml.safe_load(path.read_text())
    task["data"] |= {"source": "url", "files": [{"url": address, "name": "rows", "format": "csv"}]}
    path.write_text(yaml.safe_dump(task))


def of_addresses() -> Iterator[Case]:
    """Addresses in a task file, and in place of names."""
    commands = [TASKS_CHECK, FETCH, FREEZE, MAJORITY]
    for number, address in enumerate(ADDRESSES):
        yield Case(f"the address {address[:40]}", "task file", commands[number % 4], partial(_addressed, address))
    named: list[Arguments] = [
        ("board",),
        ("tasks", "show"),
        ("predict",),
        ("submissions", "check"),
        ("card",),
        ("data", "fetch"),
    ]
    for number, address in enumerate(address for address in ADDRESSES if address.startswith("h")):
        address = address.replace("https://", "hub://") if number % 2 else address
        arguments = named[number % len(named)]
        yield Case(
            f"the address {address[:40]}",
            "a name",
            (*arguments, address, *(["proteins.fasta"] if arguments == ("predict",) else [])),
        )


def all_cases() -> list[Case]:
    """All of them; equal ones once."""
    made = [*of_files(), *of_options(), *of_variables(), *of_surroundings(), *of_standard_input(), *of_addresses()]
    return list({(case.kind, case.place, case.arguments): case for case in made}.values())


def some_cases(count: int = 100) -> list[Case]:
    """Some of them for CI: every group of places and every kind of group as often as the others, as the seed falls."""
    random = Random(f"{SEED}/some")
    cases = random.sample(made := all_cases(), len(made))
    taken: Counter[str] = Counter()
    order: dict[int, tuple[int, int]] = {}
    for number, case in enumerate(cases):
        group = case.place if not case.place.startswith(("option", "argument")) else "options"
        order[number] = taken[group], number
        taken[group] += 1
    return [cases[number] for number in sorted(order, key=order.__getitem__)[:count]]


def copied(world: Path, to: Path) -> Path:
    """A copy of the world; the folder where commands are called."""
    shutil.copytree(world, to, symlinks=True)
    return to / "here"
