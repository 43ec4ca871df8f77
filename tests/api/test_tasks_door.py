"""A task of a table, checked, audited, described; what is kept on this machine."""

from __future__ import annotations

import hashlib
import random
from datetime import timedelta
from pathlib import Path

import pytest

import hubtools

GOLDEN = Path(__file__).resolve().parents[2] / "benchmarks" / "golden" / "tasks" / "golden-class.yaml"


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """accession, sequence, membrane, set; in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    draw, sets = random.Random(0), ("train", "train", "valid", "test")
    sequences = ["".join(draw.choices("ACDEFGHIKLMNPQRSTVWY", k=30)) for _ in range(40)]
    rows = [f"p{i},{s},{('no', 'yes')[i % 5 == 0]},{sets[i % 4]}" for i, s in enumerate(sequences)]
    path = tmp_path / "proteins.csv"
    path.write_text("\n".join(["accession,sequence,membrane,set", *rows]) + "\n")
    return path


# A task from a table


def test_a_proposal_says_what_was_guessed_and_writes_nothing(table: Path, capfd: pytest.CaptureFixture[str]) -> None:
    proposed = hubtools.new_task(table, licence="MIT")
    guessed = {guess.argument: guess.value for guess in proposed.guesses}
    assert guessed == {
        "name": "proteins", "sequence": "sequence", "id": "accession", "split_column": "set", "label": "membrane",
        "problem": "sequence-classification", "primary": "mcc", "citation": "unpublished", "clusters": "yes",
    }  # fmt: skip
    assert all(guess.why for guess in proposed.guesses) and not proposed.path.exists()
    html = proposed._repr_html_()
    assert "the largest class is 80% of the labels" in html and "a test on 10 proteins" in html
    assert capfd.readouterr() == ("", "")
    assert hubtools.load_task(proposed.write()).hash == proposed.task.hash
    assert hubtools.check_task("proteins").splits()[0]["proteins"] == 20
    with pytest.raises(hubtools.UserError, match="there already"):
        hubtools.new_task(table)
    assert hubtools.new_task(table, licence="MIT", force=True).text == proposed.text


def test_questions_are_answered_by_a_callback(table: Path) -> None:
    asked: list[hubtools.TaskQuestion] = []

    def ask(question: hubtools.TaskQuestion) -> str | None:
        asked.append(question)
        return {"positive": "yes", "name": "membrane"}.get(question.argument, question.proposal)

    proposed = hubtools.new_task(table, ask=ask, split="80/20")
    assert (proposed.task.name, proposed.task.metrics.positive) == ("membrane", "yes")
    assert proposed.task.data.split is not None and "name" not in {guess.argument for guess in proposed.guesses}
    assert [question.argument for question in asked if question.optional] == ["positive"]


def test_what_the_table_does_not_say_is_asked_for(table: Path) -> None:
    numbers = [line.rsplit(",", 2)[0] + f",{i % 15}" for i, line in enumerate(table.read_text().splitlines()[1:])]
    table.write_text("\n".join(["accession,sequence,count", *numbers]) + "\n")
    with pytest.raises(hubtools.UserError, match=r"problem: nobody says which. Give problem \(sequence-class"):
        hubtools.new_task(table)
    with pytest.raises(hubtools.UserError, match="no problem 'sequence'"):
        hubtools.new_task(table, problem="sequence")
    with pytest.raises(hubtools.UserError, match=r"no column 'Count'\. Did you mean count"):
        hubtools.new_task(table, label="Count")


# Check, audit, describe


def test_a_checkpoint_is_proven_after_the_data_are_told_of() -> None:
    told: list[object] = []
    checked = hubtools.check_task(GOLDEN, "embedded", on_data=told.append, on_proof=told.append)
    assert isinstance(told[0], hubtools.TaskContents) and tuple(told[1:]) == checked.proofs and len(checked.proofs) >= 2
    assert [*checked.to_pandas()["split"]] == ["train", "validation", "test"]
    counts = {row["label"]: row["train"] for row in checked.labels()}
    assert list(counts) == checked.task.label_names and sum(counts.values()) == checked.splits()[0]["scored"]
    assert len(checked.labels(1)) == 1 and checked.remarks[0].startswith("validation: ")
    assert "Proven" in checked._repr_html_()


def test_a_task_that_was_loaded_is_as_good_as_its_name(tmp_path: Path) -> None:
    task = hubtools.load_task(GOLDEN)
    assert hubtools.check_task(task).splits() == hubtools.check_task(GOLDEN).splits()
    audited = hubtools.audit(task)
    assert audited.found == hubtools.audit_all([GOLDEN])[0].found and audited.verdict in {"ok", "look", "problem"}
    assert len(audited.to_pandas()) == len(audited.found.findings)
    assert audited.html(tmp_path / "audit.html").stat().st_size > 1000 and '"verdict"' in audited.json()
    assert hubtools.describe_task(task).facts == hubtools.describe_task(GOLDEN).facts
    with pytest.raises(hubtools.UserError, match="no identity"):
        hubtools.audit(task, identities=[90])


def test_a_mistake_has_its_line(table: Path) -> None:
    path = hubtools.new_task(table, "t").write()
    path.write_text(path.read_text().replace("label: membrane", "label: membrain"))
    with pytest.raises(hubtools.UserError, match=r"tasks/t\.yaml:11, .*Did you mean membrane"):
        hubtools.check_task("t")


# What is kept on this machine


def test_data_are_fetched_and_copied(table: Path, tmp_path: Path) -> None:
    hubtools.new_task(table, "t").write()
    sha256 = hashlib.sha256(table.read_bytes()).hexdigest()
    frozen = hubtools.freeze_data("t")
    assert frozen.said == ("t: everything is pinned already",) and not frozen.lines
    copied: list[Path] = []
    (fetched,) = hubtools.fetch_data("t", to=tmp_path / "mirror", on_file=copied.append)
    assert copied == [tmp_path / "mirror" / sha256] == frozen.copy(tmp_path / "mirror")
    assert repr(fetched).startswith("t: 1 file, ") and sha256 in fetched._repr_html_()
    with pytest.raises(hubtools.UserError, match="comes with bench"):
        hubtools.freeze_data("localisation")


def test_data_are_listed_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    (tmp_path / "files").mkdir()
    for size in (1, 2, 3):
        (tmp_path / "files" / (f"{size}" * 64)).write_bytes(b"x" * size)
    kept = hubtools.kept_data()
    assert [file.bytes for file in kept] == [3, 2, 1] and repr(kept) == f"3 files, 6 B in {tmp_path}"
    assert kept.to_pandas()["sha256"][0] == "3" * 64 and kept._repr_html_().count("<tr>") == 4
    with pytest.raises(hubtools.UserError, match="nothing of '444444'"):
        hubtools.remove_data("333333", "444444")
    assert repr(hubtools.remove_data("333333")) == "removed 1 file, 3 B"
    assert hubtools.remove_data(everything=True).bytes == 3 and not hubtools.kept_data()
    with pytest.raises(hubtools.UserError, match="nothing is named"):
        hubtools.remove_data()


def test_embeddings_are_listed_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from hubtools.training.frozen.embedding_store import EmbeddingStore, Space

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    space = Space("ann/esm", "c0ffee", "pretrained", "mean", 6, "float32", "cpu", "torch 1")
    EmbeddingStore.beside(tmp_path).add(space, {bytes(32): np.ones((1, 8), np.float32)})
    kept = hubtools.kept_embeddings()
    assert kept.to_pandas()["checkpoint"].tolist() == ["ann/esm"] and "just now" in kept._repr_html_()
    assert not hubtools.remove_embeddings(older_than=timedelta(hours=1)).files
    with pytest.raises(hubtools.UserError, match="not an age"):
        hubtools.remove_embeddings(older_than="soon")
    assert hubtools.remove_embeddings("esm").bytes == kept.bytes and not hubtools.kept_embeddings()
