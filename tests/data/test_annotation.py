"""Labels from annotation: what a rule makes of cells and entries, against expectations written by hand."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_files import load

from hubtools.common.errors import UserError
from hubtools.data.rows.annotation import Annotator, Feature, UniProtEntry, entry_of_row, features_of_cell, statements
from hubtools.data.sources.swissprot import read_entries
from hubtools.specs.data_sources import LocalFile
from hubtools.specs.lookup.content import shipped_root
from hubtools.specs.lookup.spec_files import load_task
from hubtools.specs.task import Task

REAL = shipped_root().parent / "shared" / "data" / "swissprot_entries"
needs_entries = pytest.mark.skipif(not REAL.is_dir(), reason="the Swiss-Prot entries are not here")


def annotator(
    annotation: dict[str, Any], problem: str = "residue-classification", labels: Any = ("-", "a", "b")
) -> Annotator:
    task = {
        "name": "t",
        "version": 1,
        "title": "T",
        "problem": problem,
        "summary": "s",
        "data": {
            "source": "uniprot",
            "query": "x",
            "annotation": annotation,
            "split": {"fractions": {"train": 0.5, "test": 0.5}},
        },
        "labels": list(labels),
        "metrics": {"primary": "macro_f1"},
        "licence": "CC-BY-4.0",
        "citation": "none",
    }
    return Annotator(Task.model_validate(task))


def residues(cell: str, length: int = 10, field: str = "ft_mod_res", **annotation: Any) -> tuple[str, Annotator]:
    """The labels as text, ``.`` where not scored, for a rule that calls the feature ``a``."""
    rules = {"features": [{"label": "a", "field": field}], "otherwise": "-", **annotation}
    reader = annotator(rules)
    row = {"accession": "P1", "sequence": "M" * length, **dict.fromkeys(reader.rules.fields, cell)}
    labels = reader.label(entry_of_row(row, reader.rules.fields, "t"))
    return "".join(
        {0: "-", 1: "a", 2: "b", -100: "."}[i] for i in labels.tolist()
    ) if labels is not None else "left out", reader


@pytest.mark.parametrize(
    ("cell", "field", "expected"),
    [
        ('MOD_RES 3; /note="Phosphoserine"; /evidence="ECO:0000269|PubMed:1"', "ft_mod_res", "--a-------"),
        # Without note and evidence, with and without a semicolon at the end: the notebook's pattern misses the first.
        ("MOD_RES 1; MOD_RES 10", "ft_mod_res", "a--------a"),
        ("HELIX 2..4; HELIX 8;", "ft_helix", "-aaa---a--"),
        # A note may hold anything, doubled quotes and what looks like a feature included.
        ('MOD_RES 3; /note="by ""x""; MOD_RES 7;"; MOD_RES 5', "ft_mod_res", "--a-a-----"),
        # A bond joins two residues; what lies between them is not part of it.
        ('DISULFID 2..9; /evidence="ECO:0000269"; DISULFID 5; /note="Interchain"', "ft_disulfid", "-a--a---a-"),
        ("CROSSLNK 4..6", "ft_crosslnk", "---a-a----"),
    ],
)
def test_positions_count_from_one_and_include_both_ends(cell: str, field: str, expected: str) -> None:
    assert residues(cell, field=field)[0] == expected


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("MOD_RES <1..3; MOD_RES 5", "uncertain position"),
        ("MOD_RES ?..3; MOD_RES 5", "uncertain position"),
        ("MOD_RES 2..>4; MOD_RES 5", "uncertain position"),
        ("MOD_RES ?2..3; MOD_RES 5", "uncertain position"),
        ("MOD_RES P1-2:3; MOD_RES 5", "positions of another isoform"),
    ],
)
def test_what_is_not_sure_is_not_used_and_counted(cell: str, reason: str) -> None:
    labels, reader = residues(cell)
    assert labels == "----a-----"
    assert reader.findings() == [f"1 annotations not used: {reason}"]


@pytest.mark.parametrize("cell", ["MOD_RES 11", "MOD_RES 0", "MOD_RES 8..12", "MOD_RES 6..5"])
def test_a_feature_beyond_the_sequence_is_refused_with_its_row(cell: str) -> None:
    with pytest.raises(UserError, match=r"task t, P1: ft_mod_res .* is not within the sequence of 10 residues"):
        residues(cell)


@pytest.mark.parametrize("cell", ["HELIX 3", "MOD_RES", "MOD_RES x", "MOD_RES 3 Phosphoserine", "nonsense"])
def test_a_cell_of_another_form_is_refused(cell: str) -> None:
    with pytest.raises(UserError, match="t, P1: cannot read"):
        features_of_cell(cell, "ft_mod_res", "t, P1")


def test_the_later_rule_holds_and_a_note_starts_with_the_text() -> None:
    rules = [
        {"label": "a", "field": "ft_mod_res", "note": "Phospho"},
        {"label": "b", "field": "ft_mod_res", "note": "Phosphoserine"},
    ]
    cell = 'MOD_RES 1; /note="Phosphoserine; by PKA"; MOD_RES 2; /note="Phosphotyrosine"; MOD_RES 3; /note="Other"'
    assert residues(cell, features=rules)[0] == "ba--------"


def test_proteins_without_the_feature_are_left_out_unless_told() -> None:
    labels, reader = residues("")
    assert labels == "left out" and reader.removed == {"no feature of the kinds asked for": 1}
    assert residues("", require="none")[0] == "----------"


def test_annotation_of_other_evidence_is_neither_positive_nor_negative() -> None:
    cell = 'MOD_RES 3; /evidence="ECO:0000269|PubMed:1, ECO:0000305"; MOD_RES 5; /evidence="ECO:0000250"; MOD_RES 7'
    labels, reader = residues(cell, evidence=["ECO:0000269"])
    assert labels == "--a-.-.---"
    assert reader.unused == {"evidence is not ECO:0000269": 2}
    # Certain is what has another code beside those of doubt, or none at all.
    assert residues(cell, only_certain=True)[0] == "--a-.-a---"


def test_absence_is_only_known_near_a_feature_where_a_gap_is_given() -> None:
    assert residues("HELIX 3..4; HELIX 7; HELIX 12", 14, "ft_helix", longest_gap=2)[0] == "..aa--a....a.."


def test_several_labels_of_a_residue_are_all_kept() -> None:
    rules = [{"label": "x", "field": "ft_mod_res", "note": "Acetyl"}, {"label": "y", "field": "ft_crosslnk"}]
    reader = annotator({"features": rules, "evidence": ["ECO:1234567"]}, "residue-multilabel", ("x", "y"))
    entry = UniProtEntry(
        "P1",
        "MKK",
        features={
            "ft_mod_res": [Feature(2, 2, "Acetyl", frozenset({"ECO:1234567"})), Feature(3, 3, "Acetyl")],
            "ft_crosslnk": [Feature(2, 2, "", frozenset({"ECO:1234567"}))],
        },
    )
    labels = reader.label(entry)
    assert labels.dtype == np.int8 and labels.tolist() == [[0, 0], [1, 1], [-100, 0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"otherwise": None}, "residues without a feature need a label"),
        ({"otherwise": None, "longest_gap": 3}, "Add otherwise, or remove it"),
        ({"features": []}, "give either comment"),
        ({"otherwise": "c"}, "'c' is not a label"),
    ],
)
def test_rules_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        annotator({"features": [{"label": "a", "field": "ft_helix"}], "otherwise": "-", **changes})


def test_several_labels_are_not_for_a_task_of_one_label() -> None:
    with pytest.raises(ValueError, match="a protein has one label here"):
        annotator({**RULES, "several": "keep"}, "sequence-classification", ("a", "b"))


# Comments of proteins, as UniProt writes them.
CELL = (
    "SUBCELLULAR LOCATION: [Isoform 1]: Cell membrane {ECO:0000269|PubMed:1.2, ECO:0000305}; Single-pass type I membrane "
    "protein {ECO:0000255}. Nucleus. Note=Not in the cytoplasm. Never {ECO:0000250}.; SUBCELLULAR LOCATION: [Isoform 2]: "
    "Secreted {ECO:0000269}."
)


def test_a_comment_falls_into_statements_with_their_evidence() -> None:
    assert statements(CELL) == [
        "[Isoform 1]: Cell membrane {ECO:0000269|PubMed:1.2, ECO:0000305};",
        "Single-pass type I membrane protein {ECO:0000255}.",
        "Nucleus.",
        "Note=Not in the cytoplasm. Never {ECO:0000250}.;",
        "[Isoform 2]: Secreted {ECO:0000269}.",
    ]


RULES: dict[str, Any] = {
    "field": "cc_subcellular_location",
    "comment": {
        "a": {"contains": ["Cytoplasm", "cytoplasm"]},
        "b": {"contains": ["membrane"], "without": ["Secreted"]},
    },
}


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        ("Cytoplasm.", {}, "a"),
        ("CYTOPLASM.", {}, "no label applies"),
        ("", {}, "no cc_subcellular_location"),
        ("Cell membrane. Cytoplasm.", {}, "several labels apply"),
        ("Cell membrane. Secreted.", {}, "no label applies"),
        ("Cell membrane. Note=Not in the cytoplasm.", {}, "several labels apply"),
        ("Cell membrane. Note=Not in the cytoplasm.", {"without_notes": True}, "b"),
        ("Cell membrane {ECO:0000269|PubMed:1}. Cytoplasm {ECO:0000250}.", {"evidence": ["ECO:0000269"]}, "b"),
        ("Cell membrane {ECO:0000269|PubMed:1}. Cytoplasm {ECO:0000250}.", {"only_certain": True}, "b"),
        ("Cell membrane. Cytoplasm (By similarity).", {"only_certain": True}, "b"),
        ("Cytoplasm (Probable).", {"only_certain": True}, "no label applies"),
    ],
)
def test_rules_for_comments(text: str, changes: dict[str, Any], expected: str) -> None:
    reader = annotator({**RULES, **changes}, "sequence-classification", ("a", "b"))
    comment = f"SUBCELLULAR LOCATION: {text}" if text else ""
    label = reader.label(UniProtEntry("P1", "MK", comments={"cc_subcellular_location": comment}))
    assert label == expected or (label is None and reader.removed == {expected: 1})


def test_several_labels_of_a_protein_are_kept_where_asked() -> None:
    reader = annotator({**RULES, "several": "keep"}, "sequence-multilabel", ("a", "b"))
    entry = UniProtEntry("P1", "MK", comments={"cc_subcellular_location": "Cell membrane. Cytoplasm."})
    assert reader.label(entry) == ["a", "b"]


def test_the_notebooks_rule_is_as_published() -> None:
    """Against the conditions of the notebook, written out with pandas, on texts that tell them apart."""
    import pandas as pd

    texts = [
        "Cytoplasm.", "Membrane.", "Cell membrane.", "Cytoplasm. Membrane.", "Cytosol.", "Nucleus.", "cytoplasm.",
        "Cytoplasmic vesicle membrane.", "Endoplasmic reticulum membrane.", "Membrane. Secreted. Note=In the Cytosol.",
    ]  # fmt: skip
    column = pd.Series(texts)
    cytosolic = column.str.contains("Cytosol") | column.str.contains("Cytoplasm")
    membrane = column.str.contains("Membrane") | column.str.contains("Cell membrane")
    expected = [
        "cytosolic" if c and not m else "membrane" if m and not c else None
        for c, m in zip(cytosolic, membrane, strict=True)
    ]
    reader = Annotator(load_task(str(shipped_root() / "tasks" / "notebook-localisation.yaml")))
    field = "cc_subcellular_location"
    assert [reader.label(UniProtEntry("P", "M", comments={field: text})) for text in texts] == expected
    corrected = Annotator(load_task(str(shipped_root() / "tasks" / "notebook-localisation-corrected.yaml")))
    assert [corrected.label(UniProtEntry("P", "M", comments={field: text})) for text in texts] == [
        "cytosolic", "membrane", "membrane", None, "cytosolic", None, None, "membrane", "membrane", None,
    ]  # fmt: skip


# Swiss-Prot flat files: the same entry in the two forms.
NEW = """\
ID   A_HUMAN                 Reviewed;          12 AA.
AC   P00001; Q00002;
OX   NCBI_TaxID=9606;
CC   -!- FUNCTION: Does membrane things.
CC   -!- SUBCELLULAR LOCATION: Cell membrane {ECO:0000269|PubMed:1,
CC       ECO:0000305}; Single-
CC       pass membrane protein.
CC   ---------------------------------------------------------------------------
CC   Copyrighted by the UniProt Consortium, Cytoplasm is not meant.
CC   ---------------------------------------------------------------------------
FT   MOD_RES         3
FT                   /note="Phosphoserine; by
FT                   PKA"
FT                   /evidence="ECO:0000269|PubMed:1,
FT                   ECO:0000305"
FT   HELIX           5..8
FT   STRAND          <9..10
FT   CHAIN           1..12
FT                   /id="PRO_0000000001"
SQ   SEQUENCE   12 AA;  1 MW;  0 CRC64;
     MKSTAAAAWW GG
//
"""
OLD = """\
ID   A_HUMAN                 Reviewed;          12 AA.
AC   P00001; Q00002;
OX   NCBI_TaxID=9606;
CC   -!- SUBCELLULAR LOCATION: Cell membrane; Single-
CC       pass membrane protein (By similarity).
FT   MOD_RES       3      3       Phosphoserine; by
FT                                PKA (By similarity).
FT   HELIX         5      8
FT   STRAND       <9     10
FT   CHAIN         1     12       Protein A.
FT                                /FTId=PRO_0000000001.
SQ   SEQUENCE   12 AA;  1 MW;  0 CRC64;
     MKSTAAAAWW GG
//
"""
FIELDS = ["ft_mod_res", "ft_helix", "ft_strand", "cc_subcellular_location"]


def entries(folder: Path, text: str | bytes, name: str = "x.dat") -> list[UniProtEntry]:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_entries(LocalFile(path=folder / name), folder / name, FIELDS))


def test_the_two_forms_of_flat_files(tmp_path: Path) -> None:
    (new,), (old,) = entries(tmp_path, NEW), entries(tmp_path, OLD)
    assert (new.accession, new.name, new.organism_id, new.sequence) == ("P00001", "A_HUMAN", "9606", "MKSTAAAAWWGG")
    evidence = frozenset({"ECO:0000269", "ECO:0000305"})
    assert new.features["ft_mod_res"] == [Feature(3, 3, "Phosphoserine; by PKA", evidence)]
    assert old.features["ft_mod_res"] == [Feature(3, 3, "Phosphoserine; by PKA", hedged=True)]
    assert new.features["ft_helix"] == old.features["ft_helix"] == [Feature(5, 8)]
    assert new.features["ft_strand"] == old.features["ft_strand"] == [Feature(None, 10)]
    assert new.comments["cc_subcellular_location"] == (
        "SUBCELLULAR LOCATION: Cell membrane {ECO:0000269|PubMed:1, ECO:0000305}; Single-pass membrane protein."
    )
    assert old.comments["cc_subcellular_location"].endswith("Single-pass membrane protein (By similarity).")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NEW * 2 + NEW[:300], "the file ends within the entry A_HUMAN"),
        (
            NEW.replace("          12 AA.", "          13 AA."),
            r"x\.dat:\d+: P00001 is said to have 13 residues and has 12",
        ),
        (">p\nMKT\n", r"x\.dat:1: not a Swiss-Prot flat file"),
        (NEW.replace("AC   P", "XX   P"), "no line ID, AC or SQ"),
        (gzip.compress(NEW.encode(), mtime=0)[:-9], "not a complete gzip file"),
    ],
)
def test_a_damaged_flat_file_is_refused(tmp_path: Path, text: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        entries(tmp_path, text, "x.dat.gz" if isinstance(text, bytes) else "x.dat")


def flat_task(folder: Path, text: str, **options: Any) -> Any:
    annotation = {
        "features": [{"label": "a", "field": "ft_helix"}, {"label": "b", "field": "ft_mod_res"}],
        "otherwise": "-",
    }
    data = {"annotation": annotation, "split": {"fractions": {"train": 0.6, "test": 0.4}}, **options}
    return load(folder, {"x.dat": text}, problem="residue-classification", labels=["-", "a", "b"], **data)


def many(n: int = 12) -> str:
    letters = "ACDEFGHIKLMN"
    return "".join(NEW.replace("P00001", f"P{i:05}").replace("MKST", f"MKS{letters[i]}") for i in range(n))


def test_a_task_on_a_flat_file(tmp_path: Path) -> None:
    unlabelled = re.sub(r"FT   (HELIX|MOD_RES).*\n", "", NEW).replace("P00001", "Q11111")
    data = flat_task(tmp_path, many() + unlabelled)
    assert data.facts.removed == {"no feature of the kinds asked for": 1}
    assert sum(split.proteins for split in data.facts.splits.values()) == 12
    assert {tuple(row["label"]) for split in data.splits.values() for row in split} == {
        (0, 0, 2, 0, 1, 1, 1, 1, 0, 0, 0, 0)
    }


@pytest.mark.parametrize(
    ("shift", "expected"),
    [(1, (0, 2, 0, 1, 1, 1, 1, 0, 0, 0, 0, -100)), (-1, (-100, 0, 0, 2, 0, 1, 1, 1, 1, 0, 0, 0))],
)
def test_labels_are_shifted_where_told_and_the_record_says_so(
    tmp_path: Path, shift: int, expected: tuple[int, ...]
) -> None:
    data = flat_task(tmp_path, many(), label_shift=shift)
    assert {tuple(row["label"]) for split in data.splits.values() for row in split} == {expected}
    assert any(line.startswith("labels are shifted by one residue on purpose") for line in data.facts.findings)


def test_an_accession_that_is_repeated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 ids occur more than once, the first is 'P00001'"):
        flat_task(tmp_path, many(3) + NEW)


@needs_entries
@pytest.mark.parametrize("name", ["SWISS100.dat.gz", "emboss_swiss_seq.dat.gz"])
def test_real_entries(name: str) -> None:
    """Two hundred real entries, against a count of their lines."""
    text = gzip.decompress((REAL / name).read_bytes()).decode()
    read = list(read_entries(LocalFile(path=REAL / name), REAL / name, FIELDS))
    assert len(read) == text.count("\n//\n") == 100
    for kind in ("mod_res", "helix", "strand"):
        assert sum(len(entry.features.get(f"ft_{kind}", [])) for entry in read) == text.count(f"\nFT   {kind.upper()} ")
    commented = [entry.comments.get("cc_subcellular_location", "").count("SUBCELLULAR LOCATION: ") for entry in read]
    assert commented == [entry.count("-!- SUBCELLULAR LOCATION:") for entry in text.split("\n//\n")[:-1]]
    for entry in read:
        for found in entry.features.get("ft_mod_res", []):
            letter = entry.sequence[(found.start or 0) - 1]
            for word, expected in {"Phosphoserine": "S", "Phosphotyrosine": "Y", "N6-acetyllysine": "K"}.items():
                assert not found.note.startswith(word) or letter == expected, (entry.accession, found)


@needs_entries
def test_binding_sites_of_former_releases_are_binding_sites() -> None:
    path = REAL / "SWISS100.dat.gz"
    text = gzip.decompress(path.read_bytes()).decode()
    read = read_entries(LocalFile(path=path), path, ["ft_binding"])
    former = len(re.findall(r"^FT   (?:BINDING|METAL|NP_BIND|CA_BIND) ", text, re.M))
    assert sum(len(entry.features.get("ft_binding", [])) for entry in read) == former > 0


@needs_entries
@pytest.mark.parametrize("name", ["SWISS100.dat.gz", "emboss_swiss_seq.dat.gz"])
def test_helices_of_real_entries_against_the_columns_of_the_file(name: str) -> None:
    reader = annotator({"features": [{"label": "a", "field": "ft_helix"}], "otherwise": "-", "require": "none"})
    text = gzip.decompress((REAL / name).read_bytes()).decode()
    expected = []
    for entry in text.split("\n//\n")[:-1]:
        inside = {
            position
            for line in re.findall(r"^FT   HELIX.*$", entry, re.M)
            for position in range(int(line[14:20]), int(line[21:27]) + 1)
        }
        length = int(re.search(r"(\d+) AA\.", entry)[1])  # type: ignore[index]
        expected.append([int(position in inside) for position in range(1, length + 1)])
    read = read_entries(LocalFile(path=REAL / name), REAL / name, ["ft_helix"])
    assert [reader.label(entry).tolist() for entry in read] == expected
    assert any(map(any, expected))


@needs_entries
def test_an_entry_has_the_same_labels_in_either_form() -> None:
    """Real entries written as cells of UniProt's tables."""

    def cell(features: list[Feature], kind: str) -> str:
        parts = []
        for each in features:
            start, end = each.start or "?", each.end or "?"
            place = f"{start}" if start == end else f"{start}..{end}"
            note = f'; /note="{each.note}"'.replace('""', '"') if each.note else ""
            evidence = '; /evidence="ECO:0000250"' if each.hedged else ""
            parts.append(f"{kind} {place}{note}{evidence}")
        return "; ".join(parts)

    kinds = ["ft_helix", "ft_strand", "ft_mod_res"]
    rules: dict[str, Any] = {
        "features": [{"label": "a", "field": name} for name in kinds[:2]]
        + [{"label": "b", "field": "ft_mod_res", "note": "Phospho"}],
        "otherwise": "-",
        "only_certain": True,
    }
    path = REAL / "SWISS100.dat.gz"
    flat, rows = annotator(rules), annotator(rules)
    compared = 0
    for entry in read_entries(LocalFile(path=path), path, kinds):
        cells = {name: cell(entry.features.get(name, []), name[3:].upper()) for name in kinds}
        row = {"accession": entry.accession, "sequence": entry.sequence, **cells}
        one, other = flat.label(entry), rows.label(entry_of_row(row, kinds, "t"))
        assert np.array_equal(one, other) if one is not None else other is None
        compared += one is not None
    assert compared > 50 and flat.removed == rows.removed and flat.unused == rows.unused
