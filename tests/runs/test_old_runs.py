"""Runs of every protocol, as the bench of that time wrote them: read, shown, compared and renewed as docs/records.md says.

``old_runs/protocol-N`` holds what the last commit before protocol N+1 wrote for one small task (a probe of the embedded
checkpoint): the record and its predictions. Left out of the records are the name of the processor, the number of its cores, the
text on energy and, of what the run wrote, all but the predictions; paths of protocol 1 are below ``/home/ann``. Whoever raises the protocol adds the
folder of the one that ends, and its row to the table of docs/records.md.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_records import relisted

from hubtools.common.errors import UserError
from hubtools.data import DataCache
from hubtools.findings.arms import Arm, arms_of, mismatches
from hubtools.findings.board.leaderboard import build_board
from hubtools.findings.verification import check_submission
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.public_record import public_record
from hubtools.runs.store import PREDICTIONS, OpenRun, find_records, open_run
from hubtools.specs.lookup.trusted import TrustedSpecs
from hubtools.specs.record import PROTOCOL_VERSION

ROOT = Path(__file__).resolve().parents[2]
OLD = Path(__file__).parent / "old_runs"
PROTOCOLS = sorted(int(path.name.removeprefix("protocol-")) for path in OLD.iterdir())
# The first with today's hash of a task.
SAME_HASH_SINCE = 2
Bench = Callable[..., tuple[int, str, str]]


def old(protocol: int) -> OpenRun:
    return open_run(OLD / f"protocol-{protocol}")


def rows() -> dict[int, list[str]]:
    """The table of protocols: protocol -> its cells."""
    text = (ROOT / "docs" / "records.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| (\d+) \|(.*)\|$", text, flags=re.MULTILINE)
    return {int(number): [cell.strip() for cell in cells.split(" | ")] for number, cells in found}


def test_the_table_has_a_row_for_each_protocol_and_there_is_a_run_of_each_that_ended() -> None:
    assert list(rows()) == list(range(1, PROTOCOL_VERSION + 1))
    assert set(range(1, PROTOCOL_VERSION)) <= set(PROTOCOLS)
    assert all(len(cells) == 4 for cells in rows().values())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_it_is_read_and_its_predictions_are_those_it_wrote(protocol: int) -> None:
    run = old(protocol)
    record = run.record
    assert record.identity.protocol == protocol and record.run_id == record.identity.run_id
    assert (run.task.metrics.primary, run.recipe.adaptation) == ("accuracy", "probe")
    predictions, score = run.predictions["test"], record.score()
    assert score is not None and score.value is not None
    # 24 peptides; the score of the record is that of its predictions.
    assert len(predictions) == 24
    assert (predictions.scores.argmax(axis=1) == predictions.truth).mean() == pytest.approx(score.value)


def test_on_a_board_each_protocol_stands_alone() -> None:
    found, problems = find_records([OLD])
    board = build_board(found)
    assert not problems and not board.notes and len(board.tables) == len(PROTOCOLS)
    for protocol, table in zip(PROTOCOLS, sorted(board.tables, key=lambda table: table.question.protocol), strict=True):
        assert table.question.protocol == protocol and f"protocol {protocol}" in table.remarks
        (row,) = table.rows
        found_score = row.scores[table.primary]
        # Whatever interval the record has: it is computed as today.
        assert found_score.value == pytest.approx(13 / 24)
        assert found_score.low == pytest.approx(0.334, abs=2e-3) and found_score.high == pytest.approx(0.736, abs=2e-3)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_it_is_compared_with_later_ones_where_the_task_has_the_hash_of_today(protocol: int) -> None:
    (before,), (after,) = arms_of([old(protocol)]), arms_of([old(PROTOCOLS[-1])])
    why_not = mismatches(before, after)
    if protocol >= SAME_HASH_SINCE:
        assert why_not == [] and "those of protocol 1" not in rows()[protocol][2]
    else:
        assert [line.partition(":")[0] for line in why_not] == ["task file"]
        assert rows()[protocol][2].startswith(f"those of protocol {protocol}:")


@pytest.mark.parametrize("protocol", PROTOCOLS[:-1])
def test_compare_says_so(protocol: int, bench: Bench) -> None:
    code, out, err = bench("compare", OLD / f"protocol-{protocol}", OLD / f"protocol-{PROTOCOLS[-1]}")
    if protocol < SAME_HASH_SINCE:
        assert code == 2 and "these cannot be compared" in err and "task file" in err
    else:
        assert code == 0 and "the same predictions" in out


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_it_can_be_renewed_as_the_table_says(protocol: int) -> None:
    record, how = old(protocol).record, rows()[protocol][3]
    task, recipe = record.exact_task(), record.exact_recipe()
    if "reproduce" in how or "current" in how:
        assert task.hash == record.identity.task.hash
        # A recipe that is hashed otherwise by now is another one than what is held under its name.
        assert (recipe.hash != record.identity.recipe.hash) == ("--as-recorded" in how)
    else:
        assert task.hash != record.identity.task.hash and "bench run" in how
        assert record.command.startswith("bench run --checkpoint embedded --task ")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_board_of_others_takes_the_current_protocol_alone(protocol: int, tmp_path: Path) -> None:
    folder = shutil.copytree(OLD / f"protocol-{protocol}", tmp_path / old(protocol).record.run_id)
    verdict = check_submission(folder, DataCache(tmp_path / "cache"), TrustedSpecs())
    said = {part.title: part for part in verdict.findings}
    assert said["record"].holds == (protocol == PROTOCOL_VERSION)
    if protocol != PROTOCOL_VERSION:
        assert f"protocol {protocol}; this board compares protocol {PROTOCOL_VERSION}" in said["record"].detail


def test_the_folders_that_old_records_name_are_not_passed_on() -> None:
    record = old(1).record
    assert "/home/ann" in record.model_dump_json()
    public = public_record(record)
    assert "/home/ann" not in public.model_dump_json()
    assert (
        public.command == "bench run --checkpoint embedded --task peptides.yaml --recipe probe --seed 1 --set epochs=2"
    )


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_it_gets_a_card(protocol: int, tmp_path: Path, blank_figures: None) -> None:
    folder = shutil.copytree(OLD / f"protocol-{protocol}", tmp_path / "run")
    text = build_card(folder).read_text(encoding="utf-8")
    assert "Aromatic peptides" in text and "0.542" in text and "/home/ann" not in text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_bytes_are_not_its_predictions(protocol: int, tmp_path: Path) -> None:
    folder = shutil.copytree(OLD / f"protocol-{protocol}", tmp_path / "run")
    path = folder / PREDICTIONS
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"changed after the run {old(protocol).record.run_id}"):
        Arm((open_run(folder),)).predictions()
    # A record without checksums says nothing of its files.
    shutil.copyfile(OLD / f"protocol-{protocol}" / PREDICTIONS, path)
    run = open_run(relisted(folder))
    run.record.outputs = []
    assert len(run.predictions["test"]) == 24
