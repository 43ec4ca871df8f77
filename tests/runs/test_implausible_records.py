"""A record that no run can have left is refused by the name of the field, and stands in nobody's way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_records import BASELINES, FITNESS, FULL, PEPTIDES, PROBE, make_record, write_runs

from hubtools.common.errors import UserError
from hubtools.findings.board.leaderboard import build_board
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.store import OpenRun, parse_record
from hubtools.specs.metric_names import METRICS
from hubtools.specs.record import SCHEMA_VERSION, RunRecord

Bench = Callable[..., tuple[int, str, str]]
Change = Callable[[dict[str, Any]], Any]
ESM = "facebook/esm2_t6_8M_UR50D"
# A place for a text that Python's json does not write.
HERE = "@here@"


def changed(change: Change, literal: str = "", record: RunRecord | None = None) -> str:
    """The text of a record in which something is otherwise."""
    content = (record or make_record(PEPTIDES, FULL, 0.8, checkpoint=ESM)).model_dump(mode="json")
    change(content)
    return json.dumps(content).replace(json.dumps(HERE), literal)


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        parse_record(text, "runs/x/run.json")
    line = str(caught.value)
    assert line.startswith("runs/x/run.json: ") and "\n" not in line and len(line) < 400
    return line


def test_one_that_nobody_changed_is_read() -> None:
    for record in (make_record(PEPTIDES, FULL, 0.8, checkpoint=ESM), make_record(FITNESS, PROBE, 0.5, checkpoint=ESM)):
        assert parse_record(record.model_dump_json(), "x") == record
        assert parse_record(changed(lambda content: None, record=record), "x") == record


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + 400 * "0"])
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("results.test.scores.mcc.value", lambda c: c["results"]["test"]["scores"]["mcc"].update(value=HERE)),
        ("results.test.scores.mcc.low", lambda c: c["results"]["test"]["scores"]["mcc"].update(low=HERE)),
        ("cost.wall_seconds", lambda c: c["cost"].update(wall_seconds=HERE)),
    ],
)
def test_a_number_that_is_not_finite(field: str, change: Change, literal: str) -> None:
    assert f"({field}: input should be a finite number" in refusal(changed(change, literal))


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-1e999"])
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("results.test.per_class[0].f1", lambda c: c["results"]["test"].update(per_class=[{"name": "a", "f1": HERE}])),
        ("training.choices.thresholds[1]", lambda c: c["training"]["choices"].update(thresholds=[0.5, HERE])),
        ("overrides.learning_rate", lambda c: c["overrides"].update(learning_rate=HERE)),
        ("recipe.learning_rate", lambda c: c["recipe"].update(learning_rate=HERE)),
        ("task.margin", lambda c: c["task"].update(margin=HERE)),
    ],
)
def test_nor_where_any_value_may_stand(field: str, change: Change, literal: str) -> None:
    assert f"({field}: it is not a finite number" in refusal(changed(change, literal))


def test_words_that_look_like_such_numbers_are_texts() -> None:
    text = changed(lambda c: c["task"].update(title="Infinite nanobodies of influenza: nan, inf"))
    assert parse_record(text, "x").title.startswith("Infinite")


def test_a_newer_schema_is_told_from_a_broken_record() -> None:
    said = f"a newer version of bench wrote it (schema 99; this one reads up to {SCHEMA_VERSION}). Upgrade bench"
    assert said in refusal(changed(lambda c: c.update(schema_version=99)))
    # Whatever else is otherwise in it.
    assert said in refusal(changed(lambda c: c.update(schema_version=99, results=[], more={"of": "it"})))
    assert "schema_version: expected at least 1" in refusal(changed(lambda c: c.update(schema_version=0)))
    assert "more: unknown key" in refusal(changed(lambda c: c.update(more=1)))


def test_a_metric_that_nobody_knows() -> None:
    line = refusal(changed(lambda c: c["results"]["test"]["scores"].update(acuracy={"value": 0.9})))
    assert "results.test.scores.acuracy: there is no metric 'acuracy'" in line and "Did you mean accuracy?" in line


@pytest.mark.parametrize(
    ("task", "name", "value", "said"),
    [
        (PEPTIDES, "accuracy", 1.7, "1.7 is no Accuracy, which is from 0 to 1"),
        (PEPTIDES, "accuracy", -0.1, "-0.1 is no Accuracy"),
        (PEPTIDES, "mcc", -1.01, "-1.01 is no MCC, which is from -1 to 1"),
        (FITNESS, "rmse", -0.5, "-0.5 is no RMSE, which is from 0 to inf"),
    ],
)
def test_a_score_that_its_metric_cannot_have(task: Any, name: str, value: float, said: str) -> None:
    record = make_record(task, FULL, 0.8, checkpoint=ESM)
    for which in ("value", "low", "high"):
        line = refusal(
            changed(lambda c, w=which: c["results"]["test"]["scores"][name].update({w: value}), record=record)
        )
        assert f"results.test.scores.{name}.{which}: {said}" in line


def test_what_rounding_adds_is_no_reason_and_some_metrics_have_no_bound() -> None:
    assert parse_record(changed(lambda c: c["results"]["test"]["scores"]["mcc"].update(value=1 + 1e-9)), "x")
    record = make_record(FITNESS, FULL, 0.8, checkpoint=ESM)
    assert parse_record(
        changed(lambda c: c["results"]["test"]["scores"]["r2"].update(value=-40, low=-50), record=record), "x"
    )


def test_the_direction_of_a_metric_is_not_the_records_to_choose() -> None:
    record = make_record(FITNESS, FULL, 0.8, checkpoint=ESM)
    line = refusal(
        changed(lambda c: c["results"]["test"]["scores"]["rmse"].update(higher_is_better=True), record=record)
    )
    assert "results.test.scores.rmse.higher_is_better: of RMSE the lower score is the better one" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c: c["task"].update(problem="folding"),
            "task: its problem is not what this version of bench knows",
        ),
        (lambda c: c["task"].pop("problem"), "task: its problem is not what this version of bench knows"),
        (lambda c: c.update(task={}), "task: its problem is not what this version of bench knows"),
        (lambda c: c["task"]["metrics"].pop("primary"), "task: its metrics is not what this version of bench knows"),
        (lambda c: c["task"]["data"].update(splits={}), "task.data: it has no splits"),
        (lambda c: c["data"]["splits"].pop("test"), "results.test: data.splits has no such split"),
        (lambda c: c["recipe"].update(adaptation=[]), "recipe.adaptation: expected text"),
    ],
)
def test_what_every_table_needs_must_be_there(change: Change, said: str) -> None:
    assert said in refusal(changed(change))


BROKEN: dict[str, Change] = {
    "nan": lambda c: c["results"]["test"]["scores"]["mcc"].update(value=float("nan")),
    "schema": lambda c: c.update(schema_version=99),
    "metric": lambda c: c["results"]["test"]["scores"].update(acuracy={"value": 0.9}),
    "range": lambda c: c["results"]["test"]["scores"]["accuracy"].update(value=1.7),
    "empty": lambda c: c.clear(),
    "no problem": lambda c: c["task"].pop("problem"),
    "a package's metric": lambda c: c["task"]["metrics"].update(primary="lab_score"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_board_leaves_it_out_with_one_line_and_shows_the_others(
    name: str, tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good = [OpenRun(Path(), make_record(PEPTIDES, recipe, 0.7)) for recipe in BASELINES.values()]
    written = write_runs(Path("runs"), good)
    (Path("runs") / "broken").mkdir()
    (Path("runs") / "broken" / "run.json").write_text(changed(BROKEN[name]))
    code, out, err = bench("board", "--format", "json")
    shown = [row for table in json.loads(out)["tables"] for row in table["rows"]]
    assert code == 0 and len(shown) == len(written)
    assert len([line for line in err.splitlines() if "broken/run.json" in line]) == 1


def test_a_metric_that_a_package_brings_is_named_where_it_is_not_installed() -> None:
    def scored_by_the_lab(content: dict[str, Any]) -> None:
        content["task"]["metrics"].update(primary="lab_score", also=["accuracy"])
        content["results"]["test"]["scores"]["lab_score"] = {"value": 17.0}

    assert "lab_score" not in METRICS
    # It is a record all the same: its model predicts.
    run = OpenRun(Path("runs/lab"), parse_record(changed(scored_by_the_lab), "x"))
    board = build_board([run])
    assert not board.tables
    assert board.notes == (
        "left out: runs/lab/run.json: its task antimicrobial-peptide is scored by 'lab_score', a metric that nothing here "
        "brings. Install the package that does.",
    )
    with pytest.raises(UserError, match="scored by 'lab_score', a metric that nothing here brings"):
        build_card(run)
