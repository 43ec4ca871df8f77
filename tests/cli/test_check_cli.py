"""``bench check`` as a job calls it: every exit code, and what it says and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml
from check_cases import ESM, read_github_output, write_arm
from click.testing import CliRunner, Result
from hub_server import Hub
from sample_records import BASELINES, FITNESS, FULL, PROBE

from hubtools.cli.main import cli
from hubtools.common.errors import UserError
from hubtools.evaluation.predictions import read_predictions, write_predictions
from hubtools.runs.store import PREDICTIONS
from hubtools.specs.lookup.spec_files import load_suite, load_task
from hubtools.specs.record import PROTOCOL_VERSION

SCRATCH = FULL.model_copy(update={"name": "scratch", "weights": "random"})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("base")
    write_arm(root)
    return root


def call(baseline: Path | str, candidate: Path, *arguments: str) -> Result:
    command = ["check", "--baseline", str(baseline), "--candidate", str(candidate), "--replicates", "400", *arguments]
    return CliRunner().invoke(cli, command, catch_exceptions=False)


def verdict(baseline: Path, candidate: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    result = call(baseline, candidate, "--format", "json", *arguments)
    content = json.loads(result.stdout)
    assert content["exit_code"] == result.exit_code
    return result.exit_code, content


def arm(root: Path, *arguments: Any, **more: Any) -> Path:
    write_arm(root, *arguments, **more)
    return root


@pytest.mark.parametrize(
    ("made", "options", "code", "outcome"),
    [
        ({}, (), 0, "pass"),
        ({"seeds": 1}, (), 0, "pass"),
        ({"rng": 1}, (), 0, "pass"),
        ({"rng": 1, "skill": 1.5}, (), 0, "pass"),
        ({"rng": 1, "skill": 0.4}, (), 1, "worse"),
        ({"rng": 1, "skill": 0.98}, ("--margin", "gb1-fitness=0.005"), 3, "cannot tell"),
        ({"rng": 1, "skill": 0.97}, ("--margin", "gb1-fitness=0.2"), 0, "pass"),
        ({"rng": 1, "skill": 0.4, "seeds": 1}, (), 3, "cannot tell"),
        ({"rng": 1, "skill": 0.4, "seeds": 1}, ("--cannot-tell", "warn"), 0, "cannot tell"),
        ({"rng": 1, "skill": 0.4, "seeds": 1}, ("--question", "weights"), 1, "worse"),
        ({"rng": 1, "skill": 0.4}, ("--tolerance", "10"), 0, "pass"),
        ({"recipe": PROBE, "rng": 1, "skill": 0.4}, (), 1, "worse"),
    ],
)
def test_the_verdict_is_the_exit_code(
    base: Path, tmp_path: Path, made: dict[str, Any], options: tuple[str, ...], code: int, outcome: str
) -> None:
    found = verdict(base, arm(tmp_path, **made), *options)
    assert (found[0], found[1]["verdict"]) == (code, outcome)


def test_the_same_predictions_pass_without_a_test(base: Path, tmp_path: Path) -> None:
    _, content = verdict(base, arm(tmp_path))
    (one,) = content["comparisons"]
    assert one["difference"] is None and one["largest_difference_of_predictions"] == 0
    assert one["reason"] == "the same predictions, apart by 0 at most"


def test_other_thresholds_are_not_the_same_predictions(tmp_path: Path) -> None:
    def threshold(value: float):
        return lambda record: record.training.choices.update(thresholds=[value])

    from hubtools.findings.arm_comparison import ComparisonRequest, compared
    from hubtools.findings.naming.named_runs import arms_at

    sides = [arms_at(str(arm(tmp_path / str(v), edit=threshold(v))))[0][0] for v in (0.5, 0.25)]
    before, after = sides
    few = ComparisonRequest(replicates=100)
    assert compared(before, before, request=few).apart == 0
    assert compared(before, after, request=few).apart == 0.25


def test_what_cannot_be_told_comes_with_what_would_tell(base: Path, tmp_path: Path) -> None:
    one_seed, margin = arm(tmp_path / "one", rng=1, skill=0.98, seeds=1), "gb1-fitness=0.005"

    def why(candidate: Path, *options: str) -> str:
        report = call(base, candidate, "--format", "markdown", *options).stdout
        (line,) = [line for line in report.splitlines() if line.startswith("- ") and ": cannot tell: " in line]
        return line.split(": cannot tell: ")[1]

    assert why(one_seed) == "needs at least 3 seeds an arm, there are 3 and 1; at least 3 seeds an arm would tell"
    three = arm(tmp_path / "three", rng=1, skill=0.98)
    reason = why(three, "--margin", margin)
    assert reason.startswith("neither a loss is shown, nor one of 0.005 or more excluded; ")
    assert reason.endswith(" shows a loss of 0.005 on this test set") or reason.endswith(" would show a loss of 0.005")
    assert " cannot be told on this test set" in why(three, "--margin", margin, "--question", "weights")


def test_a_regression_wins_over_what_cannot_be_told(base: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    for root, skill in ((both, 1.0), (tmp_path / "mine", 0.4)):
        write_arm(root, skill=skill, rng=1)
        write_arm(root, checkpoint="a/other", skill=skill, rng=2, seeds=1)
    code, content = verdict(both, tmp_path / "mine")
    assert code == 1
    assert [one["verdict"] for one in content["comparisons"]] == ["worse", "cannot tell"]


def test_three_seeds_are_asked_for_only_where_something_is_random(tmp_path: Path) -> None:
    ridge = PROBE.model_copy(update={"head": PROBE.head.model_copy(update={"solver": "ridge"})})
    for name, recipe, checkpoint, question in (
        ("ridge", ridge, ESM, "weights"),
        ("composition", BASELINES["composition"], None, "weights"),
        ("scratch", SCRATCH, ESM, "recipe"),
    ):
        sides = [
            arm(tmp_path / name / str(rng), seeds=1, rng=rng, recipe=recipe, checkpoint=checkpoint) for rng in (1, 2)
        ]
        code, content = verdict(*sides, "--margin", "gb1-fitness=0.1")
        assert content["comparisons"][0]["question"] == question
        assert code == (0 if question == "weights" else 3)


@pytest.mark.parametrize(
    ("made", "line"),
    [
        ({"subset": 100}, "subset: all and 100"),
        ({"fraction": 0.1}, "share of the training data: all and 10 %"),
        ({"edit": lambda record: setattr(record.identity, "data", "0" * 64)}, "data: "),
        ({"edit": lambda record: setattr(record.identity.task, "version", 2)}, "task version: 1 and 2"),
        ({"edit": lambda record: setattr(record.identity.task, "hash", "f" * 64)}, "task file: "),
        ({"rows": 399}, "prediction ids: 400 and 399 rows"),
        (
            {"edit": lambda record: setattr(record.identity.task, "name", "other")},
            "the candidate has no run of this task",
        ),
    ],
)
def test_what_does_not_compare_is_refused_and_named(
    base: Path, tmp_path: Path, made: dict[str, Any], line: str
) -> None:
    result = call(base, arm(tmp_path, **made))
    assert result.exit_code == 2 and result.stdout.startswith("not comparable: ")
    said = [text for text in result.stderr.splitlines() if text.startswith("error: ")]
    assert all(text.startswith("error: gb1-fitness") for text in said) and line in said[0]


def test_other_rows_of_the_same_number_are_refused(base: Path, tmp_path: Path) -> None:
    for folder in write_arm(tmp_path):
        splits = read_predictions(folder / PREDICTIONS)
        shuffled = np.random.default_rng(0).permutation(400)
        write_predictions(folder / PREDICTIONS, {name: split.rows(shuffled) for name, split in splits.items()})
    result = call(base, tmp_path)
    assert result.exit_code == 2 and "prediction ids: row 1 is P0000 and" in result.stderr


def test_a_suite_may_name_files_and_the_embedded_checkpoint(tmp_path: Path) -> None:
    suite = load_suite("golden")
    assert "embedded" in suite.checkpoints and any("/" in task for task in suite.tasks)
    files = [(name, load_task(name).name) for name in suite.tasks]
    for name, checkpoint in (("a", "bench/esm-mini"), ("b", "a/b")):
        for _, task in files:
            write_arm(tmp_path / name, FITNESS.model_copy(update={"name": task}), checkpoint=checkpoint)
    assert call(tmp_path / "a", tmp_path / "a", "--suite", "golden").exit_code == 0
    result = call(tmp_path / "a", tmp_path / "b", "--suite", "golden")
    assert result.exit_code == 2
    assert f"error: {files[0][1]}: the candidate has no run of embedded, which suite golden names" in result.stderr


def test_a_suite_says_what_must_be_there(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite = {"name": "mine", "title": "Mine", "tasks": ["gb1-fitness", "stability"], "recipe": "full"}
    Path("mine.yaml").write_text(yaml.safe_dump(suite))
    result = call(base, base, "--suite", "mine.yaml")
    assert result.exit_code == 2
    assert "error: stability: the candidate has no run of this task of suite mine" in result.stderr
    Path("mine.yaml").write_text(yaml.safe_dump(suite | {"tasks": ["gb1-fitness"], "checkpoints": [ESM, "a/b"]}))
    result = call(base, base, "--suite", "mine.yaml")
    assert result.exit_code == 2 and "gb1-fitness: the baseline has no run of a/b, which suite mine" in result.stderr
    Path("mine.yaml").write_text(yaml.safe_dump(suite | {"tasks": ["gb1-fitness"], "checkpoints": [ESM]}))
    assert call(base, base, "--suite", "mine.yaml").exit_code == 0


def test_a_suite_of_the_current_folder_is_none_of_the_check(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In CI that folder is what is proposed: a suite of few tasks under a shipped name would let everything pass."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "benchmarks").mkdir()
    easy = {"name": "core", "title": "Mine", "tasks": ["gb1-fitness"], "recipe": "full"}
    (tmp_path / "benchmarks" / "core.yaml").write_text(yaml.safe_dump(easy))
    assert load_suite("core").title == "Mine"
    result = call(base, base, "--suite", "core")
    assert result.exit_code == 2 and "the candidate has no run of this task of suite core" in result.stderr
    # Whoever names the folder, or the file, has said that it is right.
    assert call(base, base, "--suite", "core", "--project", ".").exit_code == 0
    assert call(base, base, "--suite", "benchmarks/core.yaml").exit_code == 0


def test_a_baseline_is_pinned_by_its_hash(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    invoke = CliRunner().invoke
    assert invoke(cli, ["baseline", "create", "main", "--runs", str(base)]).exit_code == 0
    pin = invoke(cli, ["baseline", "show", "main"]).stderr.split("--baseline-sha256 ")[1].split()[0]
    frozen = Path("benchmarks/baselines/main")
    assert call(frozen, base, "--baseline-sha256", pin).exit_code == 0
    # Somebody widens the margin beside the change that it would catch.
    file = frozen / "baseline.yaml"
    file.write_text(file.read_text().replace("name: main\n", "name: main\nmargins:\n  gb1-fitness: 0.9\n"))
    assert call(frozen, base).exit_code == 0
    with pytest.raises(UserError, match="this is another baseline"):
        call(frozen, base, "--baseline-sha256", pin)
    with pytest.raises(UserError, match=r"there is no baseline\.yaml"):
        call(base, base, "--baseline-sha256", pin)


def test_the_candidates_own_task_is_not_what_it_is_judged_by(base: Path, tmp_path: Path) -> None:
    """Its record says that the task is the same; the metric is the baseline's."""
    worse = arm(tmp_path / "worse", rng=1, skill=0.4)
    assert call(base, worse).exit_code == 1

    def easier(record: Any) -> None:
        record.task["metrics"]["primary"] = "mae"
        record.task["margin"] = 100.0

    assert call(base, arm(tmp_path / "edited", rng=1, skill=0.4, edit=easier)).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--margin", "gb1-fitness"), "'gb1-fitness' is not TASK=VALUE"),
        (("--margin", "gb1-fitness=-1"), "is not TASK=VALUE"),
        (("--margin", "gb1=0.1"), "the baseline has no task gb1"),
        (("--suite", "nothing"), "no suite 'nothing' is held here"),
        (("--split", "hpa"), "no run has results on a split hpa"),
    ],
)
def test_a_mistake_is_one_line(base: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call(base, base, *arguments)


@pytest.mark.parametrize(("cost", "code"), [("fail", 1), ("warn", 0), ("ignore", 0)])
def test_cost_is_a_verdict_of_its_own(base: Path, tmp_path: Path, cost: str, code: int) -> None:
    slower = arm(tmp_path, edit=lambda record: setattr(record.cost, "tokens_per_second", 91_000 / 2.1))
    result = call(base, slower, "--cost", cost)
    assert result.exit_code == code
    assert ("slower: 2.1 x (tolerance 1.5 x)" in result.stdout) == (cost != "ignore")
    assert "nothing is lost" in result.stdout or "largest loss" in result.stdout


def test_other_hardware_is_said_and_does_not_fail(base: Path, tmp_path: Path) -> None:
    def edit(record: Any) -> None:
        record.environment.device_name = "NVIDIA H100"
        record.cost.wall_seconds *= 100

    result = call(base, arm(tmp_path, edit=edit))
    assert result.exit_code == 0
    assert "not compared: other hardware (NVIDIA H100" in result.stdout
    assert "NVIDIA L4 (cuda)" in result.stdout.split("What else changed")[1]


def test_what_else_changed_is_shown(base: Path, tmp_path: Path) -> None:
    def edit(record: Any) -> None:
        record.environment.git_commit, record.environment.packages["torch"] = "b" * 40, "9.9"
        record.identity.protocol = 2

    lower = FULL.model_copy(update={"learning_rate": 2e-5})
    _, content = verdict(base, arm(tmp_path, recipe=lower, edit=edit))
    changed = {change["what"]: (change["before"], change["after"]) for change in content["comparisons"][0]["changed"]}
    assert changed == {
        "recipe: learning_rate": ("0.0001", "2e-05"),
        "protocol": (str(PROTOCOL_VERSION), "2"),
        "git commit": ("4f1c2d3e4f5a", "b" * 12),
        "package: torch": ("2.13.0", "9.9"),
    }


def test_runs_that_did_not_finish_are_named(base: Path, tmp_path: Path) -> None:
    write_arm(
        tmp_path, edit=lambda record: setattr(record, "status", "failed" if record.identity.seed == 3 else "complete")
    )
    assert "s3-" in call(base, tmp_path).stderr and "is failed" in call(base, tmp_path).stderr


def test_a_frozen_baseline_says_what_a_check_is_held_to(base: Path, tmp_path: Path) -> None:
    runner = CliRunner()

    def frozen(name: str, *arguments: str, **edits: Any) -> Path:
        command = ["baseline", "create", name, "--runs", str(base), "--to", str(tmp_path), *arguments]
        assert runner.invoke(cli, command, catch_exceptions=False).exit_code == 0
        path = tmp_path / name / "baseline.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | edits))
        return tmp_path / name

    mine = arm(tmp_path / "mine", rng=1, skill=0.97, seeds=1)
    code, content = verdict(frozen("a", "--question", "weights"), mine)
    assert content["question"] == "weights"
    code, content = verdict(frozen("b", "--question", "weights", margins={FITNESS.name: 0.5}), mine)
    assert (code, content["comparisons"][0]["margin"]) == (0, 0.5)
    # The command line goes before the file.
    assert verdict(tmp_path / "b", mine, "--question", "recipe")[0] == 3
    # A golden baseline asks for the predictions themselves, however good others are.
    golden = frozen("c", "--tolerance", "1e-3")
    assert verdict(golden, arm(tmp_path / "same"))[0] == 0
    code, content = verdict(golden, arm(tmp_path / "better", rng=1, skill=2.0))
    assert code == 1 and content["comparisons"][0]["reason"].startswith("predictions differ by up to")
    result = call(golden, arm(tmp_path / "more", seeds=4))
    assert result.exit_code == 2 and "seeds: 1, 2, 3 and 1, 2, 3, 4; where predictions must agree" in result.stderr
    # Budgets and tolerances are the owner's.
    tight = frozen("d", tolerances={"wall_seconds": 1.05})
    longer = arm(tmp_path / "longer", edit=lambda record: setattr(record.cost, "wall_seconds", 240 * 1.1))
    assert verdict(tight, longer)[0] == 1 and verdict(base, longer)[0] == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_baseline_on_the_hub_is_named_with_its_commit(base: Path, tmp_path: Path, hub: Hub) -> None:
    command = ["baseline", "create", "main", "--runs", str(base), "--to", str(tmp_path)]
    assert CliRunner().invoke(cli, command, catch_exceptions=False).exit_code == 0
    files = {
        path.relative_to(tmp_path / "main").as_posix(): path.read_bytes()
        for path in (tmp_path / "main").rglob("*")
        if path.is_file()
    }
    commit = hub.add_model("me/baseline", files)
    mine = arm(tmp_path / "mine", rng=1, skill=0.4)
    assert call(f"hub://me/baseline@{commit}", mine).exit_code == 1
    assert call(f"hub://me/baseline@{commit}", base).exit_code == 0


def test_files_and_github_are_written_only_where_asked_for(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    mine = arm(tmp_path / "mine", rng=1, skill=0.4)
    quiet = call(base, mine)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"] and "::" not in quiet.stderr
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    result = call(base, mine, "--junit", "j.xml", "--summary", "s.md", "--json", "c.json", "--format", "markdown")
    assert result.exit_code == 1
    assert result.stdout == Path("s.md").read_text()
    # What another step appends begins after a blank line.
    assert Path("summary").read_text() == result.stdout + "\n\n"
    assert json.loads(Path("c.json").read_text())["verdict"] == "worse"
    assert ET.parse("j.xml").getroot().get("failures") == "1"
    assert read_github_output(Path("output")) == {
        "verdict": "worse",
        "exit-code": "1",
        "n-worse": "1",
        "n-cannot-tell": "0",
        "n-passed": "0",
        "n-over-budget": "0",
        "report": "s.md",
        "json": "c.json",
        "junit": "j.xml",
    }
    (annotation,) = [line for line in result.stderr.splitlines() if line.startswith("::")]
    assert annotation.startswith("::error title=worse%3A gb1-fitness::facebook/esm2_t6_8M_UR50D · full: loss of")
