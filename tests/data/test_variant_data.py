"""Variants of wild types: mutants applied, proven, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from task_files import csv, load

from hubtools.common.errors import UserError
from hubtools.data.rows.variants import substitutions

TEST = {"test": {"files": ["v"]}}
WILD = ">wt\nMKTAY\n"


def variants(folder: Path, rows: list[tuple[Any, ...]], header: str = "mutant,label", **options: Any) -> Any:
    """The data of a task of these rows on one wild type MKTAY, or on what ``files`` says."""
    columns = {"mutant": "mutant", **options.pop("columns", {})}
    files = {"v.csv": csv(rows, header), **options.pop("files", {"wt.fasta": WILD})}
    entries = {name: {"lookup": True} for name in files if name.endswith(".fasta")}
    subset = options.pop("subset", None)
    return load(
        folder,
        files,
        subset,
        problem="variant-effect",
        columns=columns,
        entries=entries,
        splits=TEST,
        metrics={"primary": "spearman"},
        **options,
    )


def test_several_at_once_by_colon_or_comma_in_order_of_position(tmp_path):
    data = variants(tmp_path, [("Y5W:M1L", 2), ('"K2R,A4G"', 1), ("WT", 0), ("", 0), ("A4A", 0.5)])
    assert list(data.splits) == ["test"], "nothing is trained, so there is nothing but the test split"
    rows = data.splits["test"]
    assert rows["sequence"][:] == ["LKTAW", "MRTGY", "MKTAY", "MKTAY", "MKTAY"]
    assert rows["mutations"][:] == ["M1L:Y5W", "K2R:A4G", "", "", ""]
    assert [str(change) for change in substitutions(rows["mutations"][0])] == ["M1L", "Y5W"]
    assert rows["label"][:] == [2, 1, 0, 0, 0.5]
    assert set(rows["group"]) == {"wt"}, "without a column the assay is the wild type"


def test_numbering_starts_at_first_residue(tmp_path):
    rows = variants(tmp_path, [("K25R", 1)], first_residue=24).splits["test"]
    assert (rows["sequence"][0], rows["mutations"][0]) == ("MRTAY", "K2R")


@pytest.mark.parametrize(
    ("mutant", "said"),
    [
        ("R2K", "R2K: the wild type has K at 2, not R"),
        ("K25R", "K25R: the wild type is residues 1 to 5"),
        ("K2*", "'K2*' is a stop codon"),
        ("K2del", "'K2del' is a deletion"),
        ("K2_T3insG", "'K2_T3insG' is an insertion"),
        ("p.Lys2Arg", "'p.Lys2Arg' is no substitution"),
        ("K2X", "'K2X' is no substitution"),
        ("K2R:K2A", "residue 2 is mutated twice"),
    ],
)
def test_what_cannot_be_applied_is_refused_in_one_line_with_its_row(tmp_path, mutant, said):
    with pytest.raises(UserError) as caught:
        variants(tmp_path, [("M1L", 1), (mutant, 2)])
    assert said in caught.value.what
    assert "v:2" in str(caught.value.where)
    assert "\n" not in str(caught.value)


def test_a_numbering_that_fits_all_mutants_is_proposed(tmp_path):
    with pytest.raises(UserError) as caught:
        variants(tmp_path, [("M24L", 1), ("K25R", 2), ("Y28W", 2)])
    assert "data.first_residue: 24" in str(caught.value.fix)


def test_a_sequence_beside_the_mutant_is_proven(tmp_path):
    header = "mutant,label,sequence"
    assert len(variants(tmp_path, [("K2R", 1, "MRTAY"), ("M1L", 1, "LKTAY")], header).splits["test"]) == 2
    with pytest.raises(UserError, match="has K at 2, the mutant applied to the wild type R"):
        variants(tmp_path, [("M1L", 1, "LKTAY"), ("K2R", 1, "MKTAY")], header)
    with pytest.raises(UserError, match="4 residues"):
        variants(tmp_path, [("K2R", 1, "MRTA")], header)


def test_wild_types_by_id_or_as_a_column_of_sequences(tmp_path):
    header, both = "mutant,label,of", {"wt.fasta": ">a\nMKTAY\n>b\nGGG\n"}
    rows = variants(
        tmp_path, [("K2R", 1, "a"), ("G1A", 2, "b")], header, files=both, columns={"reference": "of"}
    ).splits["test"]
    assert rows["sequence"][:] == ["MRTAY", "AGG"]
    with pytest.raises(UserError, match="no wild type 'c'"):
        variants(tmp_path, [("K2R", 1, "c")], header, files=both, columns={"reference": "of"})
    with pytest.raises(UserError, match="nothing says which"):
        variants(tmp_path, [("K2R", 1, "a")], header, files=both)
    rows = variants(
        tmp_path, [("K2R", 1, "MKTAY"), ("G1A", 2, "GGG")], header, files={}, columns={"reference": "of"}
    ).splits["test"]
    assert rows["wildtype"][:] == ["MKTAY", "GGG"]
    assert len(set(rows["group"])) == 2


def test_assays_proteins_categories_and_what_is_functional(tmp_path):
    columns = {"group": "a", "protein": "p", "category": "c", "active": "ok"}
    rows = [
        ("K2R", 1, "x", "P", "binding", 1),
        ("K2R", 3, "y", "P", "stability", 0),
        ("K2R", 2, "x", "P", "binding", 1),
    ]
    data = variants(tmp_path, rows, "mutant,label,a,p,c,ok", columns=columns)
    test = data.splits["test"]
    assert (test["group"][:], test["protein"][:]) == (["x", "y", "x"], ["P"] * 3)
    assert (test["category"][:], test["active"][:]) == (["binding", "stability", "binding"], [1, 0, 1])
    assert "1 rows repeat a variant of the same assay, 1 variants have different values" in data.facts.findings
    facts = data.facts.splits["test"]
    assert (facts.proteins, facts.labelled, facts.residues) == (1, 3, 5), "one wild type is read, three variants scored"
    with pytest.raises(UserError, match="'maybe' does not say"):
        variants(tmp_path, [("K2R", 1, "x", "P", "b", "maybe")], "mutant,label,a,p,c,ok", columns=columns)
    with pytest.raises(UserError, match="the assay x has 2 categories"):
        variants(
            tmp_path,
            [("K2R", 1, "x", "P", "b", 1), ("M1L", 1, "x", "P", "c", 1)],
            "mutant,label,a,p,c,ok",
            columns=columns,
        )


def test_a_subset_takes_variants(tmp_path):
    rows = [(f"K2{letter}", 1) for letter in "ACDEFGHILMNPQRSTVWY"]
    data = variants(tmp_path, rows, subset=7)
    assert len(data.splits["test"]) == 7
    assert "subset: at most 7 variants of each split" in data.facts.findings


def test_a_task_that_trains_has_no_place_here(tmp_path):
    with pytest.raises(UserError, match="nothing is trained in variant-effect"):
        load(
            tmp_path,
            {"v.csv": csv([("K2R", 1, "test")], "mutant,label,set"), "wt.fasta": WILD},
            problem="variant-effect",
            columns={"mutant": "mutant"},
            entries={"wt.fasta": {"lookup": True}},
        )


def with_facts(folder: Path, facts: list[tuple[Any, ...]], header: str = "assay,who,kind,label") -> Any:
    """Two assays of one wild type, and a file that says whose they are."""
    return load(
        folder,
        {
            "v.csv": csv([("K2R", "b", 1), ("M1L", "a", 2), ("A4G", "b", 3)], "mutant,assay,label"),
            "wt.fasta": WILD,
            "about.csv": csv(facts, header),
        },
        None,
        problem="variant-effect",
        columns={"mutant": "mutant", "group": "assay", "protein": "who", "category": "kind"},
        entries={"wt.fasta": {"lookup": True}, "about.csv": {"joins": "assay"}},
        splits=TEST,
        metrics={"primary": "spearman"},
    )


def test_what_another_file_says_of_assays_is_joined_and_overrides_nothing(tmp_path):
    rows = with_facts(tmp_path, [("a", "P1", "binding", 9), ("b", "P2", "growth", 9), ("c", "P3", "growth", 9)])
    rows = rows.splits["test"]
    assert rows["mutations"][:] == ["K2R", "M1L", "A4G"], "the file of facts has no rows of its own"
    assert list(rows["protein"]) == ["P2", "P1", "P2"]
    assert list(rows["category"]) == ["growth", "binding", "growth"]
    assert rows["label"][:] == [1, 2, 3], "a column that the rows have is theirs"


@pytest.mark.parametrize(
    ("facts", "header", "said"),
    [
        ([("a", "P1", "x")], "assay,who,kind", "it says nothing of 'b'"),
        ([("a", "P1", "x"), ("a", "P1", "x")], "assay,who,kind", "'a' has two rows"),
        ([("a", "P1", "x")], "name,who,kind", "there is no column 'assay' to join by (joins)"),
    ],
)
def test_facts_that_do_not_fit_the_rows_are_refused(tmp_path, facts, header, said):
    with pytest.raises(UserError) as caught:
        with_facts(tmp_path, facts, header)
    assert said in caught.value.what
    assert "about" in str(caught.value.where)
