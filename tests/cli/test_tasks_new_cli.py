"""bench tasks new: what it makes of a user's table, and the common mistakes in one."""

from __future__ import annotations

import hashlib
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hubtools.cli.main import main
from hubtools.specs.lookup.spec_files import load_task

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
Rows = list[list[str]]
Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Bench:
    """``bench tasks new`` in an empty folder, without a terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["bench", "tasks", "new", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return int(exited.value.code or 0), out, err

    return call


def proteins(n: int = 40, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(LETTERS, k=draw.randint(20, 40))) for _ in range(n)]


def table(header: str, rows: Rows, separator: str = ",") -> str:
    return "\n".join([header.replace(",", separator), *(separator.join(row) for row in rows)]) + "\n"


def simple() -> Rows:
    """id, sequence, label, set."""
    sets = ("train", "train", "valid", "test")
    return [[f"p{i}", s, ("no", "yes")[i % 5 == 0], sets[i % 4]] for i, s in enumerate(proteins())]


HEADER = "accession,sequence,membrane,set"


def made(name: str = "t") -> dict:
    return yaml.safe_load(Path(f"tasks/{name}.yaml").read_text())


def test_what_the_table_says_is_proposed(bench: Bench) -> None:
    content = table(HEADER, simple())
    Path("proteins.csv").write_text(content)
    code, out, err = bench("proteins.csv", "--name", "t")
    assert (code, err) == (0, "")
    assert out.splitlines()[-2:] == [
        "written: tasks/t.yaml",
        "next:    bench run --checkpoint embedded --task t --recipe probe",
    ]
    assert [line.split()[1] for line in out.splitlines()[2:5]] == ["20", "10", "10"]
    assert made() == {
        "name": "t",
        "version": 1,
        "title": "T",
        "problem": "sequence-classification",
        "summary": "Predicts membrane of each protein.",
        "data": {
            "source": "file",
            "files": [{"path": "../proteins.csv", "sha256": hashlib.sha256(content.encode()).hexdigest()}],
            "columns": {"id": "accession", "sequence": "sequence", "label": "membrane"},
            "splits": {
                "train": {"where": {"set": "train"}},
                "validation": {"where": {"set": "valid"}},
                "test": {"where": {"set": "test"}},
            },
            "clusters": {"k": 5, "min_shared": 0.3},
        },
        "labels": {"no": "no", "yes": "yes"},
        "metrics": {"primary": "mcc", "also": ["balanced_accuracy", "macro_f1", "accuracy"]},
        "licence": "unknown",
        "citation": "unpublished",
    }
    assert load_task("tasks/t.yaml").data.files[0].path.is_file()  # type: ignore[union-attr]
    code, _, err = bench("proteins.csv", "--name", "t")
    assert (code, err) == (
        2,
        "error: tasks/t.yaml: this file is there already. Choose another --name, or use --force.\n",
    )
    assert bench("proteins.csv", "--name", "t", "--force", "--positive", "yes")[0] == 0
    assert made()["metrics"]["positive"] == "yes"


def test_what_the_test_set_could_show_is_said_beside_the_margin(bench: Bench) -> None:
    Path("x.csv").write_text(table(HEADER, simple()))
    code, out, _ = bench("x.csv", "--name", "t")
    (line,) = [line for line in out.splitlines() if line.startswith("power: ")]
    assert code == 0 and "with 3 seeds an arm a test on 10 proteins" in line and "in MCC" in line
    assert line.endswith("The margin of 0.01 is smaller than that: checks will often say cannot tell")
    assert "margin" not in made()


def problem_of(bench: Bench, rows: Rows, *options: str, header: str = "id,sequence,label") -> dict:
    Path("x.csv").write_text(table(header, rows))
    code, _, err = bench("x.csv", "--name", "t", "--force", "--no-clusters", *options)
    assert code == 0, err
    return made()


def test_the_problem_follows_from_the_labels(bench: Bench) -> None:
    numbers, kinds = random.Random(1), ["nucleus", "membrane", "nucleus;membrane"]
    rows = list(enumerate(proteins()))
    regression = problem_of(bench, [[f"p{i}", s, f"{numbers.random():.3f}"] for i, s in rows])
    assert (regression["problem"], regression["metrics"]["primary"]) == ("sequence-regression", "spearman")
    assert regression["data"]["split"] == {"fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}, "seed": 0}
    assert regression["data"]["stratified"] is True
    several = problem_of(bench, [[f"p{i}", s, kinds[i % 3]] for i, s in rows])
    assert (several["problem"], several["data"]["label_separator"]) == ("sequence-multilabel", ";")
    assert list(several["labels"]) == ["membrane", "nucleus"]
    residues = problem_of(bench, [[f"p{i}", s, "".join(numbers.choices("HEC", k=len(s)))] for i, s in rows])
    assert (residues["problem"], list(residues["labels"])) == ("residue-classification", ["C", "E", "H"])
    sites = problem_of(
        bench, [[f"p{i}", s, "01" * (len(s) // 2) + "0" * (len(s) % 2)] for i, s in rows], "--candidates", "ACDEFGHIKL"
    )
    assert (sites["data"]["candidates"], sites["labels"]) == ("ACDEFGHIKL", {"0": "0", "1": "1"})
    numbers_per_residue = [[f"p{i}", s, f'"{[j / 7 for j in range(len(s))]}"'] for i, s in rows]
    assert problem_of(bench, numbers_per_residue)["problem"] == "residue-regression"
    semicolons = [[f"p{i}", s, ";".join(f"{j / 7:.2f}" for j in range(len(s)))] for i, s in rows]
    assert problem_of(bench, semicolons)["problem"] == "residue-regression"
    vectors = [[f"p{i}", s, f'"{[[j % 2, j % 3 // 2] for j in range(len(s))]}"'] for i, s in rows]
    both = problem_of(bench, vectors)
    assert (both["problem"], both["labels"]) == ("residue-multilabel", {"1": "1", "2": "2"})
    graded = problem_of(bench, [[f"p{i}", s, str(i % 2)] for i, s in rows], header="id,sequence,soluble")
    assert graded["labels"] == {"0": "not soluble", "1": "soluble"}


def test_whole_numbers_that_come_back_are_classes_or_counts(bench: Bench) -> None:
    Path("x.csv").write_text(table("id,sequence,label", [[f"p{i}", s, str(i % 15)] for i, s in enumerate(proteins())]))
    code, _, err = bench("x.csv", "--name", "t")
    assert code == 2 and err.startswith("error: problem: give --problem (sequence-classification, ")
    assert bench("x.csv", "--name", "t", "--problem", "sequence-classification")[0] == 0
    assert list(made()["labels"]) == [str(i) for i in range(15)]


def test_a_value_that_stands_for_no_label_is_pointed_at(bench: Bench) -> None:
    rows = [
        [f"p{i}", s, ";".join(["999.0", *(f"{j / 7:.2f}" for j in range(1, len(s)))])] for i, s in enumerate(proteins())
    ]
    Path("x.csv").write_text(table("id,sequence,score", rows))
    code, _, err = bench("x.csv", "--name", "t")
    said = "x.csv: the value 999 is far from all others. If it stands for no label: --masked-value 999\n"
    assert (code, err) == (0, said)
    code, _, err = bench("x.csv", "--name", "t", "--force", "--masked-value", "999")
    assert (code, err, made()["data"]["masked_value"]) == (0, "", 999)


def test_a_column_that_marks_validation(bench: Bench) -> None:
    rows = [
        [s, f"{i / 7:.3f}", "test" if i % 3 == 0 else "train", "True" if i % 3 == 1 else ""]
        for i, s in enumerate(proteins())
    ]
    Path("x.csv").write_text(table("sequence,target,set,validation", rows))
    code, out, err = bench("x.csv", "--name", "t")
    assert code == 0, err
    assert made()["data"]["splits"] == {
        "train": {"where": {"set": "train", "validation": [""]}},
        "validation": {"where": {"set": "train", "validation": ["True"]}},
        "test": {"where": {"set": "test"}},
    }
    assert [line.split()[1] for line in out.splitlines()[2:5]] == ["13", "13", "14"]


def test_a_fasta_file_without_labels(bench: Bench) -> None:
    Path("x.fasta").write_text("".join(f">p{i}\n{s}\n" for i, s in enumerate(proteins())))
    code, _, err = bench("x.fasta", "--name", "t")
    assert code == 2 and "no column is left for the labels (there are: id, sequence). Add one; in a FASTA file" in err


def test_a_fasta_file_and_another_folder(bench: Bench) -> None:
    entries = [
        f">p{i} LABEL={'ab'[i % 2]} SET={('train', 'test')[i % 3 == 0]}\n{s}\n" for i, s in enumerate(proteins())
    ]
    Path("data").mkdir()
    Path("data/x.fasta").write_text("".join(entries))
    code, out, err = bench("data/x.fasta", "--name", "t", "-o", "mine/tasks")
    assert code == 0, err
    values = yaml.safe_load(Path("mine/tasks/t.yaml").read_text())
    assert values["data"]["files"][0]["path"] == "../../data/x.fasta"
    assert values["data"]["columns"] == {"id": "id", "sequence": "sequence", "label": "LABEL"}
    assert out.splitlines()[-1].endswith("--task mine/tasks/t.yaml --recipe probe")


def test_variants_of_one_protein_are_not_clustered(bench: Bench) -> None:
    (wild,), draw = proteins(1), random.Random(3)
    places = [(i, letter) for i in range(len(wild)) for letter in LETTERS if letter != wild[i]]
    variants = [wild[:i] + letter + wild[i + 1 :] for i, letter in draw.sample(places, 40)]
    Path("x.csv").write_text(table("sequence,fitness", [[v, f"{draw.random():.3f}"] for v in variants]))
    code, _, err = bench("x.csv", "--name", "t")
    assert code == 0 and "variants of one protein: they are not clustered" in err
    assert "clusters" not in made()["data"]


def mistakes() -> dict[str, tuple[str | bytes, list[str], str]]:
    """By name: the file, further options, and what is said."""
    rows = simple()
    header = HEADER

    def with_cell(row: int, column: int, text: str) -> str:
        return table(
            header,
            [
                [text if (r, c) == (row, column) else cell for c, cell in enumerate(cells)]
                for r, cells in enumerate(rows)
            ],
        )

    dna = "".join(random.Random(2).choices("ACGT", k=30))
    structure = [[name, s, "".join("HEC"[i % 3] for i in range(len(s)))] for name, s, *_ in rows]
    structure[3][2] = structure[3][2][:-1]
    one = [[name, s, "yes", split] for name, s, _, split in rows]
    latin = with_cell(2, 0, "é").encode("latin-1")
    return {
        "stop": (with_cell(0, 1, "MKT*AYIAK"), [], "the sequence holds '*' at position 4, which is no residue. Cut the protein at the stop codon"),
        "DNA": (table(header, [[n, dna, m, s] for n, _, m, s in rows]), [], "'sequence' holds nucleotides, not proteins (40 of 40 rows are A, C, G, T, U). Translate them first"),
        "swapped": (table(header, rows), ["--sequence", "membrane", "--label", "sequence"], "'membrane' holds no sequences, 'sequence' does. Swap them: --sequence sequence --label membrane"),
        "one value": (table(header, one), [], "'membrane' has one value, 'yes': there is nothing to learn"),
        "ids": (with_cell(1, 0, "p0"), ["--id", "accession"], "an id in 'accession' that is not unique in 2 rows: row 1 (p0), row 2 (p0). Rename or remove them, or use --id none"),
        "empty labels": (table(header, [[n, s, "", split] for n, s, _, split in rows]), ["--label", "membrane"], "the column 'membrane' is empty: there is nothing to learn"),
        "empty sequence": (with_cell(4, 1, ""), [], "row 5 has no sequence ('sequence' is empty in 1 rows)"),
        "no header": (table(",".join(rows[0]), rows[1:]), [], "its first line is data, not the names of columns. Write names there, or name the columns: --header id,sequence,label"),
        "off by one": (table("id,sequence,structure", structure), [], f"p3: {len(structure[3][2])} labels for {len(structure[3][1])} residues: shorter than the sequence"),
        "Latin-1": (latin, [], "it is not text in UTF-8 (line 4), perhaps Latin-1. Save it as UTF-8"),
        "no such column": (table(header, rows), ["--label", "membrain"], "--label: there is no column 'membrain'. Did you mean membrane?"),
        "which label": (table("id,sequence,helix,sheet", [[n, s, "yes", "no"] for n, s, *_ in rows]), [], "column of the labels: give --label (helix, sheet)"),
        "shares": (table(header, rows), ["--split", "80/30"], "'80/30' sums to 110, not to 100"),
        "split column": (table(header, rows), ["--split-column", "membrane"], "'membrane' does not say train and test (it says no, yes)"),
    }  # fmt: skip


@pytest.mark.parametrize("case", mistakes())
def test_a_common_mistake_is_one_line_and_nothing_is_written(bench: Bench, case: str) -> None:
    content, options, said = mistakes()[case]
    Path("x.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out, err = bench("x.csv", "--name", "t", *options)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ") and said in line
    assert {path.name for path in Path().iterdir()} <= {"x.csv", "cache"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(",", "\t"), "its fields are separated by tabs, whatever its name says"),
        (lambda text: text.replace("\n", "\r\n"), ""),
        (lambda text: "\ufeff" + text, ""),
        (lambda text: text.encode("utf-16"), ""),
    ],
    ids=["tabs", "Windows line ends", "byte order mark", "UTF-16"],
)
def test_what_can_be_read_anyway(bench: Bench, change: Callable[[str], str | bytes], said: str) -> None:
    changed = change(table(HEADER, simple()))
    Path("x.csv").write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    code, out, err = bench("x.csv", "--name", "t")
    assert code == 0 and said in err
    assert (made()["data"]["files"][0].get("format") == "tsv") == bool(said)
    assert made()["data"]["columns"]["id"] == "accession"
    assert "written: tasks/t.yaml" in out


def test_a_table_alone_in_a_zip_archive(bench: Bench) -> None:
    with zipfile.ZipFile("x.zip", "w") as archive:
        archive.writestr("folder/x.csv", table(HEADER, simple()))
    code, _, err = bench("x.zip", "--name", "t")
    assert code == 0, err
    assert made()["data"]["files"][0]["member"] == "folder/x.csv"
    assert load_task("tasks/t.yaml").data.files[0].table_format == "csv"
    with zipfile.ZipFile("x.zip", "a") as archive:
        archive.writestr("folder/y.csv", table(HEADER, simple()))
    code, _, err = bench("x.zip", "--name", "u")
    assert code == 2 and "the archive holds 2 files (folder/x.csv, folder/y.csv)" in err


def test_labels_that_differ_by_capitals_are_asked_about(bench: Bench) -> None:
    rows = [[f"p{i}", s, ("Nucleus", "nucleus", "golgi")[i % 3]] for i, s in enumerate(proteins())]
    Path("x.csv").write_text(table("id,sequence,label", rows))
    code, _, err = bench("x.csv", "--name", "t")
    assert code == 2 and err.startswith(
        "error: 1 label differs by capitals alone in 'label' (Nucleus, nucleus): one label (fold), or two (keep): "
        "give --case (fold, keep)"
    )
    code, _, err = bench("x.csv", "--name", "t", "--case", "fold")
    assert (code, err) == (0, "")
    assert made()["labels"] == {"Nucleus": "Nucleus", "golgi": "golgi", "nucleus": "Nucleus"}
    assert load_task("tasks/t.yaml").label_names == ["Nucleus", "golgi"]
    assert bench("x.csv", "--name", "t", "--force", "--case", "keep")[0] == 0
    assert load_task("tasks/t.yaml").label_names == ["Nucleus", "golgi", "nucleus"]


def test_what_separates_labels_is_said_or_asked(bench: Bench) -> None:
    kinds = ["nucleus", "membrane, outer", "nucleus / membrane, outer", "golgi / nucleus"]
    rows = [[f"p{i}", s, f'"{kinds[i % 4]}"'] for i, s in enumerate(proteins())]
    Path("x.csv").write_text(table("id,sequence,label", rows))
    code, _, err = bench("x.csv", "--name", "t", "--problem", "sequence-multilabel")
    assert code == 0 and "labels are separated by ',' (--separator says otherwise)" in err
    asked = ["--force", "--problem", "sequence-multilabel", "--separator"]
    assert bench("x.csv", "--name", "t", *asked, "/")[0] == 0
    assert list(made()["labels"]) == ["golgi", "membrane, outer", "nucleus"]
    assert bench("x.csv", "--name", "t", *asked, "none")[0] == 0
    assert len(made()["labels"]) == 4 and "label_separator" not in made()["data"]
    code, _, err = bench("x.csv", "--name", "t", *asked, "+")
    assert code == 2 and "--separator: no cell of 'label' holds '+'" in err
    two = [[f"p{i}", s, f'"{("a; b, c", "d, e", "f; g")[i % 3]}{i}"'] for i, s in enumerate(proteins(60))]
    Path("y.csv").write_text(table("id,sequence,label", two))
    code, _, err = bench("y.csv", "--name", "u", "--problem", "sequence-multilabel")
    assert code == 2 and "what separates the labels of one protein, or none: give --separator (; ,)" in err


def test_a_comma_in_the_name_of_a_class_stays(bench: Bench) -> None:
    kinds = ["membrane, outer", "membrane, inner", "soluble"]
    Path("x.csv").write_text(
        table("id,sequence,label", [[f"p{i}", s, f'"{kinds[i % 3]}"'] for i, s in enumerate(proteins())])
    )
    assert bench("x.csv", "--name", "t")[0] == 0
    assert (made()["problem"], list(made()["labels"])) == ("sequence-classification", sorted(kinds))


def test_names_of_splits_in_any_spelling(bench: Bench) -> None:
    sets = (
        "train",
        "Train",
        "TRAINING",
        "val",
        "Valid",
        "DEV",
        "test",
        "Test_Set",
        "TESTING",
        "test-hard",
        "Test_hard",
        "unused",
        "",
    )
    rows = [[f"p{i}", s, str(i % 2), sets[i % len(sets)]] for i, s in enumerate(proteins(78))]
    Path("x.csv").write_text(table("id,sequence,label,split", rows))
    code, out, err = bench("x.csv", "--name", "t")
    assert (code, err) == (0, "x.csv: 'split': no name of a split, so in none: 'unused' (6 rows), '' (6 rows)\n")
    assert made()["data"]["splits"] == {
        "train": {"where": {"split": ["train", "Train", "TRAINING"]}},
        "validation": {"where": {"split": ["val", "Valid", "DEV"]}},
        "test": {"where": {"split": ["test", "Test_Set", "TESTING"]}},
        "test_hard": {"where": {"split": ["test-hard", "Test_hard"]}},
    }
    assert [line.split()[1] for line in out.splitlines()[2:6]] == ["18", "18", "18", "12"]
    assert "found: 12 rows are in no split" in out


def test_words_are_not_taken_for_proteins(bench: Bench) -> None:
    """All small letters and of many kinds, as some sequences are written."""
    for kinds in (("nucleus", "cell membrane", "golgi"), ("membrane", "secreted", "transit peptide")):
        rows = [[f"p{i}", s, kinds[i % 3]] for i, s in enumerate(proteins())]
        Path("x.csv").write_text(table("id,sequence,label", rows))
        assert bench("x.csv", "--name", "t", "--force")[0] == 0
        assert made()["problem"] == "sequence-classification"


def test_multi_hot_labels_without_names_are_refused(bench: Bench) -> None:
    rows = [[f"p{i}", s, f'"[{i % 2}, {i % 3 // 2}, 1]"'] for i, s in enumerate(proteins())]
    Path("x.csv").write_text(table("id,sequence,label", rows))
    code, _, err = bench("x.csv", "--name", "t")
    assert code == 2 and "'label' holds 0 and 1 for each label, without their names" in err


def test_a_fasta_file_with_lines_of_labels(bench: Bench) -> None:
    """As SignalP 6 and DeepTMHMM have them: labels of residues, or beside them what the header says of each protein."""
    entries = [f">p{i} TARGET={i % 2}\n{s}\n{'S' * 12}{'O' * (len(s) - 12)}\n" for i, s in enumerate(proteins())]
    Path("x.3line").write_text("".join(entries))
    said = "x.3line: below each sequence is a line of labels, one for each residue: read as the column 'label'\n"
    code, _, err = bench("x.3line", "--name", "t")
    assert (code, err) == (0, said)
    assert (made()["problem"], list(made()["labels"])) == ("residue-classification", ["O", "S"])
    assert made()["data"]["files"][0]["lines"] == ["sequence", "label"]
    code, _, err = bench("x.3line", "--name", "u", "--label", "TARGET")
    assert (code, err, made("u")["problem"]) == (0, said, "sequence-classification")


def test_parts_of_a_fasta_header_get_names(bench: Bench) -> None:
    entries = [f">Q{i}|EUKARYA|{('SP', 'NO_SP')[i % 3 > 0]}|{i % 3}\n{s}\n" for i, s in enumerate(proteins())]
    Path("x.fasta").write_text("".join(entries))
    code, _, err = bench("x.fasta", "--name", "t", "--header", "id,kingdom,peptide,partition", "--label", "peptide")
    assert (code, err, list(made()["labels"])) == (0, "", ["NO_SP", "SP"])
    assert made()["data"]["files"][0]["header_separator"] == "|"


def test_a_table_without_a_header_gets_one(bench: Bench) -> None:
    Path("x.csv").write_text(table(HEADER, simple()).partition("\n")[2])
    assert bench("x.csv", "--name", "t", "--header", HEADER)[0] == 0
    assert made()["data"]["files"][0]["header"] == HEADER.split(",")


def test_two_proteins_are_a_pair(bench: Bench) -> None:
    first, second = proteins(400, seed=1), proteins(400, seed=2)
    rows = [[s, t, str(i % 2)] for i, (s, t) in enumerate(zip(first, second, strict=True))]
    Path("x.csv").write_text(table("a,b,interacts", rows))
    # The class to be detected may be given as the data have it.
    code, out, _ = bench("x.csv", "--name", "t", "--positive", "1", "--licence", "MIT", "--citation", "Me")
    task = made()
    assert (code, task["problem"]) == (0, "pair-classification")
    assert task["data"]["columns"] == {"sequence": "a", "partner": "b", "label": "interacts"}
    assert task["data"]["split"]["fractions"] == {"train": 0.6, "validation": 0.2, "test": 0.2}
    assert task["metrics"]["positive"] == "interacts"
    assert "the two proteins are in different splits" in out


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("regression", lambda i: f"{0.37 * i:.2f}"),
        ("multilabel", lambda i: ("binds", "binds;cuts", "", "cuts")[i % 4]),
        ("classification", lambda i: ("weak", "strong", "none")[i % 3]),
    ],
)
def test_the_label_says_what_is_predicted_of_two_proteins(bench: Bench, kind: str, cell: Callable[[int], str]) -> None:
    first, second = proteins(400, seed=1), proteins(400, seed=2)
    rows = [[s, t, cell(i)] for i, (s, t) in enumerate(zip(first, second, strict=True))]
    Path("x.csv").write_text(table("a,b,affinity", rows))
    code, _, err = bench("x.csv", "--name", "t", "--licence", "MIT", "--citation", "Me")
    assert code == 0, err
    task = made()
    assert task["problem"] == f"pair-{kind}"
    assert task["summary"] == "Predicts affinity of each pair of proteins."
    assert task["data"].get("label_separator") == (";" if kind == "multilabel" else None)


@pytest.mark.parametrize("name", ["2023", "on", "null", "1e3", "2023-05-01"])
def test_a_name_that_yaml_reads_as_no_text_is_quoted(bench: Bench, name: str) -> None:
    Path("t.csv").write_text(table(HEADER, simple()))
    code, _, err = bench("t.csv", "--name", name)
    assert code == 0, err
    assert made(name)["name"] == load_task(name).name == name


def test_the_name_of_a_licence_is_not_taken_for_its_identifier(bench: Bench) -> None:
    Path("t.csv").write_text(table(HEADER, simple()))
    code, _, err = bench("t.csv", "--name", "t", "--licence", "Creative Commons Attribution 4.0")
    said = "error: --licence: 'Creative Commons Attribution 4.0' is no identifier. Did you mean cc-by-4.0?\n"
    assert (code, err) == (2, said) and not Path("tasks").exists()


def test_without_a_terminal_what_is_missing_is_named(bench: Bench) -> None:
    Path("x.csv").write_text(table(HEADER, simple()))
    code, _, err = bench("x.csv")
    assert (code, err) == (2, "error: name of the task: give --name. See bench tasks new --help.\n")


def test_on_a_terminal_it_asks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my proteins.csv").write_text(table(HEADER, simple()))
    asked: list[str] = []

    def answer(question: str, default: str | None, err: bool) -> str | None:
        asked.append(question)
        return {"class to be detected, or none (no, yes)": "yes", "licence of the data": "CC0-1.0"}.get(
            question, default
        )

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.prompt", answer)
    code, _, err = bench("my proteins.csv", "--citation", "me")
    assert code == 0, err
    values = made("my-proteins")
    assert (values["metrics"]["positive"], values["licence"], values["citation"]) == ("yes", "CC0-1.0", "me")
    assert asked[0] == "name of the task" and not any("who made" in question for question in asked)
