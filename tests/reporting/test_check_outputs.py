"""What a check says to people and to CI: read back by independent readers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from check_cases import read_github_output, write_arm
from rich.console import Console

from hubtools.evaluation.statistics.cost import CostComparison, Ratio
from hubtools.evaluation.statistics.difference import Difference, Question
from hubtools.evaluation.statistics.verdicts import Judgement, Verdict
from hubtools.findings.arm_comparison import Comparison
from hubtools.findings.arms import Arm, arms_of
from hubtools.findings.changes import Change
from hubtools.findings.gate import Check, Terms
from hubtools.reporting.comparison.check_report import Sides, as_json, bar, cost_lines, headline, markdown, print_check
from hubtools.reporting.comparison.ci_outputs import (
    LARGEST_SUMMARY,
    MOST_ANNOTATIONS,
    WorkflowAnnotation,
    annotate,
    append_outputs,
    append_summary,
    cut_to,
)
from hubtools.reporting.comparison.junit import junit
from hubtools.runs.store import find_records

SIDES = Sides("main", "runs")
NASTY = 'a/<b> & "c" | `d` *e* ]]> \x00\x1b\ud800 é\n::error::x, y: 100 %'


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Arm:
    root = tmp_path_factory.mktemp("runs")
    write_arm(root)
    return arms_of(find_records([root])[0])[0]


def renamed(arm: Arm, task: str, checkpoint: str = "a/b") -> Arm:
    runs = []
    for folder, record in arm.runs:
        identity = record.identity.model_copy(deep=True)
        identity.task.name = task
        assert identity.checkpoint is not None
        identity.checkpoint.name = checkpoint
        runs.append((folder, record.model_copy(update={"identity": identity})))
    return Arm(tuple(runs))


def item(
    arm: Arm, verdict: str = "no loss beyond the margin", value: float = -0.03, half: float = 0.01, **more: Any
) -> Comparison:
    found = Difference(
        metric="spearman",
        question=Question.RECIPE,
        baseline=0.7,
        candidate=0.7 + value,
        value=value,
        low=value - half,
        high=value + half,
        standard_error=half / 2,
        degrees=float("inf"),
        p_value=0.01,
        superiority=0.005,
        detectable=0.015,
        shared=0.0,
        of_seeds=0.0,
        seeds=(3, 3),
        identical=False,
        units="400 proteins",
    )
    values: dict[str, Any] = {
        "baseline": arm,
        "candidate": arm,
        "split": "test",
        "margin": 0.01,
        "values": ((0.7,), (0.7 + value,)),
        "difference": found,
        "others": (),
        "apart": 0.3,
        "same": False,
        "judgement": Judgement(Verdict(verdict), f"because {verdict}", 0.02),
        "cost": CostComparison(),
        "changed": (),
    }
    return Comparison(**values | more)


def check(*items: Comparison, problems: tuple[str, ...] = (), **terms: Any) -> Check:
    return Check(list(items), list(problems), [], Terms(**terms), "test")


OVER = CostComparison((Ratio("tokens_per_second", 100.0, 40.0, 2.5, 1.5),))


@pytest.mark.parametrize(
    ("verdicts", "over", "terms", "outcome", "code"),
    [
        ([], False, {}, "pass", 0),
        (["better", "no loss beyond the margin"], False, {}, "pass", 0),
        (["better", "cannot tell"], False, {}, "cannot tell", 3),
        (["better", "cannot tell"], False, {"cannot_tell": "warn"}, "cannot tell", 0),
        (["worse", "cannot tell"], False, {"cannot_tell": "warn"}, "worse", 1),
        (["better"], True, {}, "over budget", 1),
        (["worse, within the margin"], True, {"cost": "warn"}, "pass", 0),
        (["cannot tell"], True, {"cost": "warn"}, "cannot tell", 3),
    ],
)
def test_the_worst_verdict_is_that_of_all(arm: Arm, verdicts, over, terms, outcome, code) -> None:
    cost = OVER if over else CostComparison()
    done = check(*(item(arm, verdict, cost=cost) for verdict in verdicts), **terms)
    assert (done.outcome, done.exit_code) == (outcome, code)
    assert headline(done).startswith(outcome)
    problem = replace(done, problems=["x: there is nothing"])
    assert (problem.outcome, problem.exit_code) == ("error", 2)


def test_junit_is_well_formed_with_any_characters(arm: Arm) -> None:
    nasty = renamed(arm, "task", NASTY)
    done = check(item(nasty, "worse", cost=OVER), item(nasty, "cannot tell"), item(arm, "better"), cannot_tell="warn")
    root = ET.fromstring(junit(done, Sides(NASTY, "runs")))
    suite = root.find("testsuite")
    assert suite is not None
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "2",
        "errors": "0",
        "skipped": "1",
    }
    first = suite.findall("testcase")[0]
    assert first.get("classname") == "task"
    # What XML cannot hold is marked, all else is there as it was.
    kept = NASTY.replace("\x00\x1b\ud800", "\ufffd" * 3)
    assert str(first.get("name")) == f"{kept} · full · spearman"
    failure = first.find("failure")
    assert failure is not None and failure.get("type") == "worse"
    assert "−0.030 (−0.040 to −0.020)" in str(failure.text) and "because worse" in str(failure.text)
    values = {one.get("name"): one.get("value") for one in first.findall("properties/property")}
    assert float(str(values["low"])) == pytest.approx(-0.04) and values["verdict"] == "worse"
    about = {one.get("name"): one.get("value") for one in suite.findall("properties/property")}
    assert about["baseline"] == kept and about["question"] == "recipe"


def test_junit_says_what_did_not_compare_as_errors() -> None:
    root = ET.fromstring(junit(check(problems=("task, a/b · full: data: 1 and 2", "other: no run")), SIDES))
    cases = root.findall("testsuite/testcase")
    assert [case.get("classname") for case in cases] == ["task", "other"]
    assert all(case.find("error") is not None for case in cases) and root.get("errors") == "2"


def test_outputs_of_any_characters_are_read_back(tmp_path: Path) -> None:
    values = {"verdict": "pass", "report": "a\nverdict=regression\nend_0\n", "odd": "x<<EOF", "n": 3, "empty": ""}
    append_outputs(tmp_path / "out", values)
    append_outputs(tmp_path / "out", {"more": "é=%"})
    read = read_github_output(tmp_path / "out")
    assert read == {name: str(value) for name, value in values.items()} | {"more": "é=%"}


def test_annotations_are_escaped_and_read_back() -> None:
    text = "100 % sure,\r\nreally: yes"
    line = str(WorkflowAnnotation("warning", text, text, "tasks/a,b:c.yaml", 3))
    assert "\n" not in line and "\r" not in line
    found = re.fullmatch(r"::warning file=([^,:]*),line=3,title=([^,:]*)::(.*)", line)
    assert found is not None

    def unescaped(value: str) -> str:
        for code, letter in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            value = value.replace(code, letter)
        return value

    assert [unescaped(part) for part in found.groups()] == ["tasks/a,b:c.yaml", text, text]


def test_at_most_ten_annotations_worst_first(arm: Arm, tmp_path: Path) -> None:
    unclear = [item(renamed(arm, f"unclear-{n}"), "cannot tell") for n in range(9)]
    worse = [item(renamed(arm, f"worse-{n}"), "worse") for n in range(4)]
    costly = [item(renamed(arm, "costly"), "better", cost=OVER)]
    found = annotate(check(*worse, *unclear, *costly, cannot_tell="warn"), tmp_path)
    assert len(found) == MOST_ANNOTATIONS
    assert [one.level for one in found[:5]] == ["error"] * 5 and found[4].title == "cost: costly"
    assert found[-1].message == "and 5 more: see the summary of this step"
    assert [one.level for one in annotate(check(item(arm)), tmp_path)] == ["notice"]
    assert all(one.level == "error" for one in annotate(check(*unclear), tmp_path))


def test_an_annotation_lies_at_the_task_in_the_checkout(
    arm: Arm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    Path("tasks/mine.yaml").write_text("name: mine\nversion: 1\nmargin: 0.02\n")
    Path("tasks/plain.yaml").write_text("version: 1\nname: plain\n")
    tasks = ["mine", "plain", "secondary-structure", "not-there"]
    found = annotate(check(*(item(renamed(arm, task), "worse") for task in tasks)), tmp_path)
    # A task that bench ships lies elsewhere, and one that nobody has nowhere.
    places = [("tasks/mine.yaml", 3), ("tasks/plain.yaml", 2), (None, None), (None, None)]
    assert [(one.file, one.line) for one in found] == places


def test_markdown_says_the_verdict_first_and_folds_the_rest(arm: Arm) -> None:
    changed = [Change("package: torch", "1", "2")]
    done = check(item(arm, "worse", changed=changed, cost=OVER), item(arm, "better", 0.005, changed=changed))
    text = markdown(done, SIDES)
    assert text.startswith(
        "## bench check: worse: 2 comparisons, 1 worse, 1 over the budget of cost; largest loss: gb1-fitness, loss of 0.030"
    )
    assert text.count("<details>") == text.count("</details>") == 2
    assert text.index("because worse") < text.index("<details>") < text.index("| package: torch | 1 | 2 | all |")
    assert "slower: 2.5 x (tolerance 1.5 x)" in text
    rows = [line for line in text.splitlines() if line.startswith(("| **worse**", "| better"))]
    assert len(rows) == 2 and all(row.count(" | ") == 8 for row in rows)


def test_names_of_strangers_stay_text_in_markdown(arm: Arm) -> None:
    text = markdown(check(item(renamed(arm, "task", NASTY), "worse")), Sides(NASTY, "</details><img src=x>"))
    assert "<b>" not in text and "<img" not in text and "\n::error" not in text
    assert text.count("</details>") == text.count("<details>")
    (row,) = [line for line in text.splitlines() if line.startswith("| **worse**")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 10


def test_a_summary_stays_below_what_github_takes(arm: Arm, tmp_path: Path) -> None:
    many = check(*(item(renamed(arm, f"task-{n}", "a/" + "é" * 500), "worse") for n in range(800)))
    text = markdown(many, SIDES)
    assert len(text.encode()) > LARGEST_SUMMARY
    path = tmp_path / "summary"
    path.write_text("# What an earlier step wrote\n" * 100)
    append_summary(path, text)
    written = path.read_text()
    assert LARGEST_SUMMARY - 2000 < path.stat().st_size < LARGEST_SUMMARY
    assert "bench check: worse: 800 comparisons" in written and written.rstrip().endswith("wrote.*")
    append_summary(path, text)
    assert path.stat().st_size < LARGEST_SUMMARY


def test_what_is_cut_is_closed() -> None:
    text = "first\n<details>\n" + "x\n" * 500 + "</details>\n"
    cut = cut_to(text, 400)
    assert len(cut.encode()) <= 400 and cut.startswith("first\n") and "*Cut" in cut
    assert cut.count("<details>") == cut.count("</details>") == 1
    assert cut_to(text, 10_000) == text


def test_the_bar_shows_interval_margin_and_zero(arm: Arm) -> None:
    assert bar(item(arm, value=0.0, half=0.01)) == "·········───●───·········"
    assert bar(item(arm, value=-0.02, half=0.0)) == "······●··:··│············"
    # What lies beyond is at the edge.
    assert bar(item(arm, value=-9.0, half=1.0)).startswith("●")
    assert bar(item(arm, same=True)) == "·········:··│············"


def test_json_holds_everything_and_nothing_that_json_lacks(arm: Arm) -> None:
    done = check(item(arm, "worse", cost=OVER), item(arm, "better", same=True, values=((0.7,), (None,))))
    content = json.loads(as_json(done, SIDES), parse_constant=lambda name: pytest.fail(name))
    assert (content["verdict"], content["exit_code"]) == ("worse", 1)
    first, second = content["comparisons"]
    assert first["difference"]["low"] == pytest.approx(-0.04) and first["difference"]["degrees"] is None
    assert first["cost"]["over"] == ["tokens_per_second"]
    assert second["difference"] is None and second["candidate"]["score"] is None


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_fits_the_terminal(arm: Arm, width: int) -> None:
    long = renamed(arm, "subcellular-localisation-of-eukaryotes", "an-organisation/a-protein-language-model-650M")
    stream = StringIO()
    print_check(check(item(long, "cannot tell"), item(arm, "better", cost=OVER)), Console(file=stream, width=width))
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("over budget: 2 comparisons, 1 cannot be told") and max(map(len, lines)) <= width
    shown = [line for line in lines if "−0.030 (−0.040 to −0.020)" in line]
    assert len(shown) == 2 and shown[0].startswith("cannot tell")
    assert ("would detect" in stream.getvalue()) == (width == 160)


def test_what_was_not_compared_is_said_once_a_reason(arm: Arm) -> None:
    skipped = CostComparison(not_compared="other hardware (A, B)")
    done = check(*(item(arm, cost=skipped) for _ in range(3)), item(arm, cost=OVER), cost="warn")
    name = f"{item(arm).task_name}, {item(arm).name}"
    assert cost_lines(done) == [
        f"{name}: slower: 2.5 x (tolerance 1.5 x)",
        "3 of 4 comparisons: not compared: other hardware (A, B)",
    ]
    assert cost_lines(check(item(arm, cost=skipped), cost="ignore")) == []


def workflows() -> list[dict[str, Any]]:
    page = (Path(__file__).resolve().parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)]


def test_documented_workflows_are_pinned_and_run_no_strangers_text() -> None:
    found = [flow for flow in workflows() if "jobs" in flow]
    assert len(found) == 3 and len(workflows()) == 5
    for flow in found:
        # YAML reads the key on as true.
        assert "pull_request_target" not in flow[True]
        for job in flow["jobs"].values():
            for step in job["steps"]:
                assert "${{" not in step.get("run", "")
                if "uses" in step and not step["uses"].startswith("OWNER/"):
                    assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"])
        writes = [scope for scope, may in flow.get("permissions", {}).items() if may == "write"]
        assert writes == []
