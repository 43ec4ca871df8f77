"""The block *Reproduce* of a card: its lines are whole, or what they lack is said before them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm_process
from hub_server import Hub
from sample_records import BASELINES, FULL, LOCALISATION, make_record
from tiny_checkpoints import write_checkpoint
from tiny_project import task_name, write_project

from hubtools.common.hashing import file_sha256
from hubtools.common.version import __version__
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.repeating import repeating
from hubtools.runs.store import read_record
from hubtools.specs.head_kinds import HEADS, HeadKind
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.record import RunRecord

TASK = task_name("sequence-classification")
# Of every run of these tests: bench is a checkout here, and the recipes leave the precision to the device.
ALWAYS = ("the code: commit ", "a device that computes in float32 where the recipe says `precision: auto`, as ")


def block(card: str) -> tuple[list[str], list[str]]:
    """What the block says is needed, and its lines."""
    section = card.split("\n## Reproduce\n")[1].split("\n## ")[0]
    (lines,) = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    return re.findall(r"^- (.*)$", section.split("```")[0], re.MULTILINE), lines.splitlines()


def missing(needs: list[str]) -> list[str]:
    """Without what is of every run here."""
    return [need for need in needs if not need.startswith(ALWAYS)]


def files_of(folder: Path) -> dict[str, bytes | str]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(folder: Path, hub: Hub, command: list[str]) -> Path:
    """A command in a process of its own in an empty folder; the folder of the run."""
    folder.mkdir(exist_ok=True)
    environment = {**hub.env, "PATH": "/usr/bin:/bin", "BENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    environment["BENCH_BASELINES"] = "0"
    done = warm_process.run([*command, "--device", "cpu"], cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    (record,) = (folder / "runs").glob("*/run.json")
    return record.parent


@pytest.mark.slow
def test_of_a_run_from_public_things_the_line_alone_makes_the_same_run(hub: Hub, tmp_path: Path) -> None:
    """A checkpoint and a task of the Hub and a recipe that ships, named without their commits and set otherwise."""
    hub.add_model("lab/esm", files_of(write_checkpoint(tmp_path / "esm", "esm")))
    hub.add_dataset("lab/task", files_of(write_project(tmp_path / "clone", "sequence-classification")))
    asked = ["run", "--checkpoint", "lab/esm", "--task", "hub://lab/task", "--recipe", "probe", "--seed", "3"]
    done = run(tmp_path / "first", hub, [*asked, "--set", "epochs=2", "--subset", "20", "--fraction", "0.5"])
    for published in (None, "me/model"):
        needs, (install, command) = block(build_card(done, repo_id=published).read_text())
        assert missing(needs) == [] and install == f"pip install plm-hubtools=={__version__}"
    # Later commits are another matter.
    for kind, repo in (("models", "lab/esm"), ("datasets", "lab/task")):
        hub.commit(hub.repos[kind, repo], {"README.md": "changed"})
    again = run(tmp_path / "second", hub, shlex.split(command)[1:])
    assert read_record(again).run_id == read_record(done).run_id


@pytest.mark.slow
def test_what_only_the_author_has_is_named_with_its_checksum(hub: Hub, tmp_path: Path) -> None:
    project = write_project(tmp_path / "mine", "sequence-classification")
    write_checkpoint(project / "our-esm", "esm")
    (project / "own.yaml").write_text("name: own\nadaptation: probe\nepochs: 2\n")
    asked = ["run", "--checkpoint", "./our-esm", "--task", f"tasks/{TASK}.yaml", "--recipe", "./own.yaml"]
    done = run(project, hub, asked)
    record = read_record(done)
    identity = record.identity
    assert identity.checkpoint is not None
    for published in (None, "me/model"):
        needs, (_, command) = block(build_card(done, repo_id=published).read_text())
        assert missing(needs) == [
            f"the task file `{TASK}.yaml` (version 1, hash `{identity.task.hash[:12]}`; all of it is in `run.json`, under `task`)",
            "the data file `sequence-classification.csv`, beside the task file, sha256 "
            f"`{file_sha256(project / 'tasks' / 'sequence-classification.csv')}`",
            f"the recipe file `own.yaml` (hash `{identity.recipe.hash[:12]}`; all of it is in `run.json`, under `recipe`)",
            f"the checkpoint folder `our-esm`, sha256 of its files together `{identity.checkpoint.sha256}`",
        ]
        assert command == f"bench run --checkpoint our-esm --task {TASK}.yaml --recipe own.yaml --seed 1"
    # With what is named, beside one another, the line makes the same run.
    other = tmp_path / "other"
    other.mkdir()
    for path in (project / "our-esm", project / "own.yaml", *(project / "tasks").iterdir()):
        (other / path.name).symlink_to(path)
    assert read_record(run(other, hub, shlex.split(command)[1:])).run_id == record.run_id


@pytest.mark.slow
def test_a_name_that_leads_to_a_file_of_the_authors_is_no_name_for_others(hub: Hub, tmp_path: Path) -> None:
    """tasks/ and benchmarks/recipes/ of the folder: the command names no file, and is no one else's all the same."""
    project = write_project(tmp_path / "mine", "sequence-classification")
    (project / "benchmarks" / "recipes").mkdir(parents=True)
    # Hides the recipe that ships.
    (project / "benchmarks" / "recipes" / "probe.yaml").write_text("name: probe\nadaptation: probe\nepochs: 2\n")
    done = run(project, hub, ["run", "--checkpoint", "embedded", "--task", TASK, "--recipe", "probe"])
    needs, (_, command) = block(build_card(done).read_text())
    said = [need.split(" (")[0] for need in missing(needs) if "data file" not in need]
    assert said == [
        f"the task file `{TASK}.yaml`, in `tasks/`",
        "the recipe file `probe.yaml`, in `benchmarks/recipes/`",
    ]
    assert command == f"bench run --checkpoint embedded --task {TASK} --recipe probe --seed 1"


@pytest.mark.slow
def test_access_to_what_not_everybody_can_read_is_named(hub: Hub, tmp_path: Path) -> None:
    hub.add_model("me/esm", files_of(write_checkpoint(tmp_path / "esm", "esm")), gated=True)
    clone = write_project(tmp_path / "clone", "sequence-classification")
    hub.add_dataset("me/task", files_of(clone), private=True)
    asked = ["run", "--checkpoint", "me/esm", "--task", "hub://me/task", "--recipe", "probe", "--set", "epochs=2"]
    done = run(tmp_path / "first", hub, asked)
    assert read_record(done).closed == {"me/esm": "gated", "me/task": "private"}
    needs, _ = block(build_card(done).read_text())
    assert missing(needs) == [
        "access to `me/esm` on the Hub, which is gated",
        "access to `me/task` on the Hub, which is private",
    ]


def recorded(**changes: Any) -> RunRecord:
    """A record of a task and a recipe that ship, of a release, of a device that is part of the recipe."""
    record = make_record(LOCALISATION, FULL, 0.5, checkpoint="facebook/esm2_t6_8M_UR50D")
    task, recipe = load_task("localisation"), load_recipe("full", {"precision": "float32"})
    record.task, record.recipe = task.model_dump(mode="json"), recipe.model_dump(mode="json")
    record.overrides = {"precision": "float32"}
    record.identity.task.hash, record.identity.task.version = task.hash, task.version
    record.identity.recipe.hash = recipe.hash
    record.environment.git_commit = record.environment.git_dirty = None
    for name, value in changes.items():
        setattr(record, name, value)
    return record


def test_of_a_release_and_what_ships_nothing_is_needed() -> None:
    assert repeating(recorded()).needs == ()
    # A file of the author's with the very same content is what ships.
    copied = recorded(command="bench run --checkpoint x --task ./l/localisation.yaml --recipe ./f/full.yaml --seed 1")
    assert "--task localisation --recipe full " in repeating(copied).command and repeating(copied).needs == ()


def changed(record: RunRecord, change: Callable[[RunRecord], None]) -> RunRecord:
    change(record)
    return record


def set_environment(**values: Any) -> Callable[[RunRecord], None]:
    return lambda record: [setattr(record.environment, name, value) for name, value in values.items()] and None


def set_identity(**values: Any) -> Callable[[RunRecord], None]:
    return lambda record: [setattr(record.identity, name, value) for name, value in values.items()] and None


def set_family(record: RunRecord) -> None:
    assert record.identity.checkpoint is not None
    record.identity.checkpoint.family = "slashed 0123456789ab"


def set_head(record: RunRecord) -> None:
    record.recipe["head"] = {"kind": "gated"}
    record.identity.recipe.hash = "0" * 64


def set_not_pinned(record: RunRecord) -> None:
    assert record.data is not None
    record.data.findings = ["not pinned: lab/data was at commit abc", "12 rows are in no split"]


def set_precision(record: RunRecord) -> None:
    record.recipe["precision"] = "auto"
    record.identity.precision = "bf16"


@pytest.mark.parametrize(
    ("change", "need"),
    [
        (
            set_environment(git_commit="c" * 40, git_dirty=True),
            f"the code: commit `{'c' * 40}` of bench, .* \\*\\*with changes that were not committed: the very code is not",
        ),
        (
            set_environment(git_commit="c" * 40, git_dirty=False),
            f"commit `{'c' * 40}` of bench, which need not be .* 0.1.0$",
        ),
        (set_family, r"the family of checkpoints `slashed`, digest `0123456789ab`: the package .* `BENCH_FAMILIES`$"),
        (set_head, r"the head `gated`: the package that brings it \(entry point `bench\.heads`\)$"),
        (set_not_pinned, "the data as they were, .*: lab/data was at commit abc$"),
        (set_precision, "a device that computes in bf16 where the recipe says `precision: auto`, as "),
        (
            set_identity(batches="2048 tokens, padded, processes: 4, cuda"),
            r"a cuda device, 4 processes of it \(`torchrun --nproc-per-node`\): with `encoder_dropout`",
        ),
    ],
)
def test_each_thing_that_is_not_in_the_lines_is_named(change: Callable[[RunRecord], None], need: str) -> None:
    assert [one for one in repeating(changed(recorded(), change)).needs if re.match(need, one) or re.search(need, one)]


def test_what_can_stand_in_the_lines_does() -> None:
    def command(change: Callable[[RunRecord], None]) -> str:
        return repeating(changed(recorded(), change)).command

    assert command(set_identity(batches="2048 tokens, padded, processes: 1, cpu")).endswith(
        " --token-budget 2048 --no-packing"
    )
    assert "packing" not in command(set_identity(batches="64 tokens, packed where it can be, processes: 1, cpu"))
    packaged, quantised = recorded(), recorded()
    assert packaged.data is not None
    packaged.data.package = "modlamp==4.3.3"
    quantised.recipe["adapter"] = {"kind": "qlora", "rank": 8}
    assert repeating(packaged).install == "pip install plm-hubtools==0.1.0 modlamp==4.3.3"
    assert repeating(quantised).install == "pip install 'plm-hubtools[qlora]==0.1.0'"


def test_a_head_that_a_script_registered_is_named_with_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the recipe has the same hash with the file that is here, it is the file of the run."""
    monkeypatch.setattr(HEADS, "_added", {})
    HEADS.register(HeadKind("block-head", "a head of this test", module=f"{__name__}:nothing"))
    recipe = load_recipe("full", {"head.kind": "block-head"})
    record = recorded(recipe=recipe.model_dump(mode="json"))
    assert f"sha256 of its file `{file_sha256(Path(__file__))}`" not in " ".join(repeating(record).needs)
    record.identity.recipe.hash = recipe.hash
    (need,) = (need for need in repeating(record).needs if need.startswith("the head"))
    assert need.endswith(f", sha256 of its file `{file_sha256(Path(__file__))}`")


def test_the_text_of_a_record_stays_text() -> None:
    record = recorded()
    assert record.identity.checkpoint is not None
    record.identity.checkpoint.source, record.identity.checkpoint.name = "local", "a`](x)<b>"
    # Character references: nothing begins a link or ends the code.
    assert "<code>a&#96;&#93;&#40;x&#41;&#60;b&#62;</code>" in " ".join(repeating(record).needs)


def test_a_baseline_needs_no_checkpoint() -> None:
    record = make_record(LOCALISATION, BASELINES["majority"], 0.1)
    assert not [need for need in repeating(record).needs if "checkpoint" in need or "device" in need]
