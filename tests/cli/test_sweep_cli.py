"""bench sweep and bench curve: what is said, what is written, and one clear line for what is wrong."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from test_run_cli import Bench, Said, bench, checkpoint, project  # noqa: F401

from hubtools.cli.sweep import parse_budget
from hubtools.common.errors import UserError
from hubtools.runs.store import find_records

pytest.importorskip("optuna")
TASK = "tiny-sequence-classification"
SWEEP = ("sweep", "--checkpoint", "esm", "--task", TASK, "--over", "learning_rate=1e-4..1e-1", "--set", "epochs=2")


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("30m", 1800), ("90s", 90), ("1h30m", 5400), ("1.5 h", 5400), ("5min", 300)]
)
def test_a_budget_is_a_time(text: str, seconds: float) -> None:
    assert parse_budget(None, None, text) == seconds  # type: ignore[arg-type]
    for wrong in ("2", "h", "2x", "-1h", "0s", "1h x"):
        with pytest.raises(UserError, match="is not a time"):
            parse_budget(None, None, wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_sweep_from_trials_to_a_run_on_the_board(project: Path, bench: Bench) -> None:  # noqa: F811
    said = bench(*SWEEP, "--over", "head.hidden=null,4", "--trials", 3, "--seeds", "1,2")
    assert said.code == 0, said.err
    trials = [line for line in said.err.splitlines() if line.startswith("[")]
    assert [line.split("]")[0] for line in trials] == ["[1/3", "[2/3", "[3/3"]
    assert trials[0].startswith("[1/3] learning_rate=0.001 head.hidden=null  validation 0."), "the recipe as it is"
    assert "3 trials, 0 failed; ranked by" in said.out and "ended: 3 trials are done" in said.err
    found, problems = find_records([project / "runs"])
    assert not problems and sorted(record.identity.seed for _, record in found) == [1, 2]
    (folder,) = (project / "runs" / "sweeps").iterdir()
    kept = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    best = max(kept, key=lambda trial: (trial["score"], -trial["number"]))
    for run, record in found:
        assert record.sweep is not None and record.sweep.trials == 3 and record.sweep.chosen == best["values"]
        assert record.overrides == {"epochs": 2, **best["values"]}
        assert f"again  {record.command}" in said.err
        assert "in a sweep of 3 trials" in (run / "card" / "README.md").read_text()
    assert (folder / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    assert f"wrote  runs/sweeps/{folder.name}/sweep.png" in said.err
    board = bench("board", "--format", "markdown")
    assert "best of 3 trials" in board.out
    again = bench(*SWEEP, "--over", "head.hidden=null,4", "--trials", 3, "--seeds", "1,2")
    assert "3 trials were done before" in again.err and "already done" in again.err and "[1/3]" not in again.err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--over", "head.hiden=1,2"), "error: --over head.hiden: head.hiden: unknown key. Did you mean hidden?"),
        (("--over", "epochs=1..4"), "error: --over epochs: it is set by --set. Say it once."),
        (("--recipe", "masked-marginals"), "nothing is trained in it, so there is no validation split to choose on"),
        (("--recipe", "onehot-window"), "the recipe onehot-window does not exist for sequence-classification"),
        (("--budget", "soon"), "error: --budget: 'soon' is not a time. For example --budget 2h, 30m or 1h30m."),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    project: Path,  # noqa: F811
    bench: Bench,  # noqa: F811
    changes: tuple[str, ...],
    message: str,
) -> None:
    said: Said = bench(*SWEEP, *changes)
    assert said.code == 2 and message in said.err and len(said.mistakes) == 1
    assert not (project / "runs").exists()


def test_without_optuna_it_says_what_to_install(
    project: Path,  # noqa: F811
    bench: Bench,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "optuna" else original(name, *a))
    assert bench(*SWEEP).err == "error: bench sweep needs Optuna. pip install 'plm-hubtools[sweep]'\n"


def test_a_dry_run_of_a_sweep_writes_nothing(project: Path, bench: Bench) -> None:  # noqa: F811
    said = bench(*SWEEP, "--dry-run", "--budget", "1h")
    assert said.err.splitlines() == [
        f"up to 20 trials or 3600 s of {TASK} · esm · probe · seed 1:",
        "  learning_rate in 0.0001..0.1 log",
        "nothing was run (--dry-run)",
    ]
    assert not (project / "runs").exists()


@pytest.mark.parametrize("wrong", ["0", "1.5", "-0.1", "10%", "nan"])
def test_a_share_is_above_0_and_at_most_1(project: Path, bench: Bench, wrong: str) -> None:  # noqa: F811
    said = bench("run", "--checkpoint", "esm", "--task", TASK, "--fraction", wrong, "--dry-run")
    assert said.code == 2 and f"--fraction: {wrong!r} is not a share of the training data" in said.err


@pytest.mark.slow
def test_a_learning_curve_from_runs_to_a_figure(project: Path, bench: Bench) -> None:  # noqa: F811
    options = ("--fractions", "0.2,1", "--seeds", "1,2", "--recipe", "probe", "--set", "epochs=2")
    said = bench("run", "--suite", "learning-curve", "--checkpoint", "esm", "--task", TASK, *options)
    assert said.code == 0, said.err
    assert "curve    bench curve" in said.err.splitlines()
    found, _ = find_records([project / "runs"])
    assert len(found) == 3 + 2 * 2 * 2
    learnt = {(r.identity.fraction, r.data.splits["train"].proteins) for _, r in found if r.data}
    assert learnt == {(0.2, 8), (None, 40)}
    said = bench("curve", "--out", "figures/curve.png")
    assert said.code == 0 and "as good as random with" in said.out and "majority, all data: " in said.out
    assert said.err.splitlines() == [f"wrote figures/curve.{form}" for form in ("png", "json", "tsv")]
    points = json.loads((project / "figures" / "curve.json").read_text())["points"]
    by_hand = [
        score.value
        for _, record in found
        if record.identity.fraction == 0.2 and record.recipe["weights"] == "pretrained" and (score := record.score())
    ]
    (point,) = (p for p in points if p["weights"] == "pretrained" and p["fraction"] == 0.2)
    assert point["n"] == 8 and point["value"] == pytest.approx(sum(v or 0 for v in by_hand) / 2)
    assert bench("curve", "--out", "curve.pdf").err.startswith("error: --out: curve.pdf does not end with .png")
