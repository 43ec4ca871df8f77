"""Leakage on the record, the audit, and draws that are pinned: on small hand-made tasks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from task_files import csv, load, write_task

from hubtools.cli.tasks.tasks_audit import audit
from hubtools.common.errors import UserError
from hubtools.data import DataCache
from hubtools.data.splits.split_audit import audit_task

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
A, B, C, D, E = ("".join(np.random.default_rng(seed).choice(LETTERS, 80)) for seed in range(5))
NEAR_A = "WW" + A[2:]
ROWS = [(A, "a", "train"), (B, "b", "train"), (C, "a", "validation"), (D, "b", "validation"), (NEAR_A, "a", "test")]
ROWS += [(E, "b", "test"), (E, "a", "test")]


def test_the_record_counts_relatives_pair_by_pair(tmp_path: Path) -> None:
    facts = load(tmp_path, {"d.csv": csv(ROWS)}).facts
    found = {(overlap.first, overlap.second): overlap for overlap in facts.audit}
    assert set(found) == {("train", "test"), ("validation", "test")}
    assert found["train", "test"].similar == {"0.9": 1, "0.5": 1}
    assert found["train", "test"].identical == 0
    assert found["validation", "test"].similar == {"0.9": 0, "0.5": 0}
    assert facts.audit_method and "local alignment" in facts.audit_method


def test_equal_test_sequences_that_bench_leaves_are_counted(tmp_path: Path) -> None:
    facts = load(tmp_path, {"d.csv": csv([*ROWS, (NEAR_A, "a", "train")])}).facts
    assert facts.removed == {"train: sequence is in test": 1}
    assert facts.audit[0].identical == 0


def test_the_audit_names_near_duplicates_and_conflicts(tmp_path: Path) -> None:
    trust = {"colour": "green", "reason": "because somebody said so"}
    data = load(tmp_path, {"d.csv": csv(ROWS)}, trust=trust)
    found = audit_task(data, [0.9, 0.5], DataCache(tmp_path / "cache"))
    assert found.verdict == "problem"
    lines = {(finding.about, finding.level): finding.text for finding in found.findings}
    assert "≥ 90%: 1" in lines["train → test", "problem"]
    assert lines["test", "look"] == "1 repeats of an earlier sequence, 1 sequences with different labels"
    assert "green" in lines["trust", "problem"]


def test_json_on_standard_output_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    path = write_task(tmp_path, {"d.csv": csv(ROWS)})
    result = CliRunner().invoke(audit, [str(path), "--json", "-"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert (found["schema_version"], found["task"], found["proteins"]["test"]) == (2, "t", 3)


def drawn(folder: Path, **split: object) -> dict[str, set[str]]:
    names = "abcdefghijkl"
    families = ["".join(np.random.default_rng(50 + n).choice(LETTERS, 60)) for n in range(len(names))]
    rows = [(start + protein[1:], "ab"[n % 2]) for n, protein in enumerate(families) for start in "ACDEF"]
    rule = {"fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}, **split}
    data = load(folder, {"d.csv": csv(rows, "sequence,label")}, split=rule)
    drawn.digest = data.facts.split_sha256  # type: ignore[attr-defined]
    return {name: {sequence[1:] for sequence in part["sequence"]} for name, part in data.splits.items()}


def test_clusters_by_identity_stay_on_one_side_and_sequences_do_not(tmp_path: Path) -> None:
    families = drawn(tmp_path, by="clusters", identity=0.7)
    assert sum(map(len, families.values())) == 12
    assert sum(map(len, drawn(tmp_path, by="sequences").values())) > 12


def test_a_draw_is_pinned(tmp_path: Path) -> None:
    first = drawn(tmp_path, by="clusters", identity=0.7)
    digest = drawn.digest  # type: ignore[attr-defined]
    assert drawn(tmp_path, by="clusters", identity=0.7, sha256=digest) == first
    with pytest.raises(UserError, match=rf"with (MMseqs2|bundled).*sha256 {digest}, the task file pins 0000"):
        drawn(tmp_path, by="clusters", identity=0.7, sha256="0" * 64)


def test_a_protein_in_train_and_test_is_found_and_shown_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    path = write_task(tmp_path, {"d.csv": csv([*ROWS, (NEAR_A, "a", "train")])})
    page = tmp_path / "audit.html"
    result = CliRunner().invoke(audit, [str(path), "--html", str(page)], catch_exceptions=False)
    assert "their sequence is in test (1 sequences)" in " ".join(result.output.split())
    text = page.read_text()
    assert "their sequence is in test (1 sequences)" in text and "train → test" in text
    assert "://" not in text and "<script" not in text


def test_near_identical_proteins_with_different_labels_are_counted(tmp_path: Path) -> None:
    data = load(tmp_path, {"d.csv": csv([*ROWS, (A[:-1] + "W", "b", "train")])})
    found = audit_task(data, [0.9], DataCache(tmp_path / "cache"))
    text = next(finding.text for finding in found.findings if finding.about == "labels")
    assert text == "3 pairs of proteins of at least 95% identity, 2 with different labels"


def test_variants_of_one_protein_are_alike_by_design(tmp_path: Path) -> None:
    variants = [A[:at] + "W" + A[at + 1 :] for at in range(12)]
    splits = ["train"] * 4 + ["validation"] * 4 + ["test"] * 4
    rows = [(sequence, "ab"[n % 2], split) for n, (sequence, split) in enumerate(zip(variants, splits, strict=True))]
    found = audit_task(load(tmp_path, {"d.csv": csv(rows)}), [0.9], DataCache(tmp_path / "cache"))
    lines = {finding.about: finding for finding in found.findings}
    assert lines["train → test"].text == "of 4 in test: 0 identical, ≥ 90%: 4, variants of one protein"
    assert lines["train → test"].level == "look" == found.verdict


def test_two_test_splits_may_overlap(tmp_path: Path) -> None:
    rows = [*ROWS, (D[::-1], "a", "test"), (D[::-1], "a", "other")]
    splits = {name: {"where": {"set": name}} for name in ("train", "validation", "test", "other")}
    found = audit_task(load(tmp_path, {"d.csv": csv(rows)}, splits=splits), [0.9], DataCache(tmp_path / "cache"))
    levels = {finding.about: finding.level for finding in found.findings}
    assert levels["test → other"] == "look"
