"""``bench predict``: what the run recorded of a protein is what anybody gets for it, in every format and kind of task."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import warm_process
from click.testing import CliRunner, Result
from sample_records import relisted
from tiny_runs import made
from tiny_tasks import PROBLEMS

from hubtools.cli.predict import predict
from hubtools.common.errors import UserError
from hubtools.data import DataCache
from hubtools.data.task_data import load_task_data
from hubtools.evaluation.predictions import read_predictions
from hubtools.inference.named_model import open_predictor
from hubtools.inference.predictor import Protein
from hubtools.runs.store import PREDICTIONS, read_record
from hubtools.specs.task import Task

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run of each problem type, windows of 24 residues: most proteins are longer."""
    folder = tmp_path_factory.mktemp("runs")
    cut = {"window.residues": 24, "window.overlap": 8}
    return {problem: made(folder / problem, problem, **cut) for problem in PROBLEMS}


def test_proteins(folder: Path) -> list[Protein]:
    """The proteins of the run's test split."""
    record = read_record(folder)
    rows = load_task_data(Task.model_validate(record.task), DataCache(folder.parents[1] / "cache")).splits["test"]
    partners = rows["partner"] if "partner" in rows.column_names else [None] * len(rows)
    return [Protein(*row) for row in zip(rows["id"], rows["sequence"], partners, strict=True)]


test_proteins.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_was_recorded_is_what_is_predicted(runs: dict[str, Path], problem: str, many: bool) -> None:
    recorded = read_predictions(runs[problem] / PREDICTIONS)["test"]
    predictor = open_predictor(str(runs[problem]))
    answers = {answer.protein.id: answer for answer in predictor.predict(test_proteins(runs[problem]), many=many)}
    scores = recorded.scores.reshape(len(recorded), -1)
    got = [
        answers[name].scores if recorded.positions is None else answers[name].scores[recorded.positions[row] - 1]
        for row, name in enumerate(recorded.ids.tolist())
    ]
    np.testing.assert_allclose(np.array(got), scores, atol=1e-5, rtol=1e-4)
    if predictor.problem.level.proteins == 1:
        assert max(answer.windows for answer in answers.values()) > 1


@pytest.mark.parametrize(
    ("family", "recipe", "settings"),
    [
        ("bert", "probe", {}),
        ("t5", "full", {}),
        ("esm", "lora", {}),
        ("esm", "full", {"calibration": "temperature"}),
        ("esm", "full", {"head.kind": "native"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_families_adapters_and_temperatures(tmp_path: Path, family: str, recipe: str, settings: dict) -> None:
    folder = made(tmp_path, "residue-classification", family, recipe, **settings)
    recorded = read_predictions(folder / PREDICTIONS)["test"]
    answers = {answer.protein.id: answer for answer in open_predictor(str(folder)).predict(test_proteins(folder))}
    positions = recorded.positions
    assert positions is not None
    got = [answers[name].scores[positions[row] - 1] for row, name in enumerate(recorded.ids.tolist())]
    np.testing.assert_allclose(np.array(got), recorded.scores, atol=1e-5, rtol=1e-4)


def fasta(folder: Path, proteins: list[Protein]) -> Path:
    path = folder / "proteins.fasta"
    path.write_text("".join(f">{protein.id}\n{protein.sequence}\n" for protein in proteins))
    return path


def asked(*arguments: object) -> Result:
    return CliRunner().invoke(predict, [str(argument) for argument in arguments])


def test_formats_say_the_same(runs: dict[str, Path], tmp_path: Path) -> None:
    run = runs["sequence-classification"]
    proteins = fasta(tmp_path, test_proteins(run))
    out = {suffix: tmp_path / f"out{suffix}" for suffix in (".tsv", ".csv", ".jsonl", ".parquet")}
    for path in out.values():
        done = asked(run, proteins, "-o", path)
        assert done.exit_code == 0, done.output
    first = list(csv.DictReader(out[".tsv"].open(), delimiter="\t"))
    assert list(first[0]) == ["id", "length", "predicted", "probability", "p_other", "p_aromatic"]
    assert first == list(csv.DictReader(out[".csv"].open()))
    objects = [json.loads(line) for line in out[".jsonl"].open()]
    assert [{key: str(value) for key, value in row.items()} for row in objects] == first
    table = pq.read_table(out[".parquet"])
    assert table["id"].to_pylist() == [row["id"] for row in first]
    np.testing.assert_allclose(table["p_aromatic"].to_numpy(), [float(row["p_aromatic"]) for row in first], rtol=1e-5)
    assert table.schema.metadata[b"bench.run"].decode() == read_record(run).run_id
    about = json.loads(Path(f"{out['.tsv']}.json").read_text())
    assert about["run"] == read_record(run).run_id and about["model"] == str(run)


def test_what_is_decided_is_the_likelier_class(runs: dict[str, Path], tmp_path: Path) -> None:
    run = runs["sequence-classification"]
    done = asked(run, fasta(tmp_path, test_proteins(run)))
    rows = list(csv.DictReader(io.StringIO(done.stdout), delimiter="\t"))
    assert len(rows) == 40
    for row in rows:
        likelier = "aromatic" if float(row["p_aromatic"]) > float(row["p_other"]) else "other"
        assert row["predicted"] == likelier and row["probability"] == row[f"p_{likelier}"]


def test_several_labels_are_decided_by_the_recorded_thresholds(runs: dict[str, Path], tmp_path: Path) -> None:
    run = runs["sequence-multilabel"]
    training = read_record(run).training
    assert training is not None
    limits = dict(zip(("acid", "aromatic"), training.choices["thresholds"], strict=True))
    rows = csv.DictReader(io.StringIO(asked(run, fasta(tmp_path, test_proteins(run))).stdout), delimiter="\t")
    for row in rows:
        has = [name for name, limit in limits.items() if float(row[f"p_{name}"]) >= limit]
        assert row["predicted"] == ";".join(has)


def test_gff3_holds_the_stretches_of_the_table(runs: dict[str, Path], tmp_path: Path) -> None:
    run = runs["residue-classification"]
    proteins = [Protein("a b;c", "MKTAYFWYKDE"), *test_proteins(run)[:3]]
    source = fasta(tmp_path, proteins)
    for name in ("out.tsv", "out.gff3"):
        done = asked(run, source, "-o", tmp_path / name)
        assert done.exit_code == 0, done.output
    labels: dict[tuple[str, int], str] = {}
    for row in csv.DictReader((tmp_path / "out.tsv").open(), delimiter="\t"):
        labels[row["id"], int(row["position"])] = row["predicted"]
    lines = (tmp_path / "out.gff3").read_text().splitlines()
    assert lines[0] == "##gff-version 3"
    assert f"##sequence-region a 1 {len(proteins[0].sequence)}" in lines
    covered: dict[tuple[str, int], str] = {}
    for line in lines:
        if line.startswith("#"):
            continue
        name, source_name, kind, first, last, score, strand, phase, attributes = line.split("\t")
        assert (source_name, kind, strand, phase) == ("bench", "polypeptide_region", ".", ".")
        assert 0 <= float(score) <= 1
        label = dict(part.split("=") for part in attributes.split(";"))["Name"]
        covered |= {(name, position): label for position in range(int(first), int(last) + 1)}
    assert covered == labels


@pytest.mark.parametrize(
    ("problem", "name", "said"),
    [
        ("sequence-classification", "out.gff3", "GFF3 holds labels of residues"),
        ("residue-regression", "out.gff3", "GFF3 holds labels of residues"),
        ("sequence-classification", "out.xlsx", ".xlsx is no format"),
        ("sequence-classification", "out", "no suffix is no format"),
    ],
)
def test_formats_that_do_not_fit(runs: dict[str, Path], tmp_path: Path, problem: str, name: str, said: str) -> None:
    done = asked(runs[problem], fasta(tmp_path, [Protein("a", "MKV")]), "-o", tmp_path / name)
    assert isinstance(done.exception, UserError) and said in str(done.exception)
    assert not (tmp_path / name).exists()


def test_bad_records_stop_or_are_left_out(runs: dict[str, Path], tmp_path: Path) -> None:
    run, source, out = runs["sequence-regression"], tmp_path / "p.fasta", tmp_path / "out.tsv"
    source.write_text(">a\nMKV\n>b\nM1\n>c\nACDXX\n>a\nMKVL\n")
    done = asked(run, source, "-o", out)
    assert isinstance(done.exception, UserError) and "b (record 2)" in str(done.exception)
    assert not out.exists()
    done = asked(run, source, "-o", out, "--skip-bad")
    assert done.exit_code == 0, done.output
    assert [row["id"] for row in csv.DictReader(out.open(), delimiter="\t")] == ["a", "c", "a"]
    for said in ("3 proteins, 12 residues", "left out", "ids occur again", "X (2)", str(out)):
        assert said in done.stderr
    assert list(tmp_path.glob("*.partial")) == []


def test_what_was_done_is_kept_when_something_stops_it(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubtools.inference.predictor.CHUNK", 2)
    source, out = tmp_path / "p.fasta", tmp_path / "out.tsv"
    source.write_text(">a\nMKV\n>b\nMKL\n>c\nM1\n")
    done = asked(runs["sequence-regression"], source, "-o", out)
    assert isinstance(done.exception, UserError)
    assert "2 proteins were done" in done.stderr
    partial = tmp_path / "out.tsv.partial"
    assert [row["id"] for row in csv.DictReader(partial.open(), delimiter="\t")] == ["a", "b"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ('c,"MKT\nd,MKVLAAGIAW\n', "row 3, line 4: a quote opens and is not closed"),
        ("c,d,MKT\n", "row 3, line 4: 2 fields expected, there are 3"),
    ],
    ids=["a quote", "a comma"],
)
@pytest.mark.parametrize("bad", [(), ("--skip-bad",)], ids=["", "--skip-bad"])
def test_rows_that_cannot_be_told_apart_stop_it(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str, said: str, bad: tuple[str, ...]
) -> None:
    monkeypatch.setattr("hubtools.inference.predictor.CHUNK", 2)
    source, out = tmp_path / "p.csv", tmp_path / "out.tsv"
    source.write_text(f"id,sequence\na,MKV\nb,MKL\n{rows}")
    done = asked(runs["sequence-regression"], source, "-o", out, *bad)
    assert isinstance(done.exception, UserError) and said in str(done.exception)
    assert "2 proteins were done" in done.stderr and not out.exists()
    partial = tmp_path / "out.tsv.partial"
    assert [row["id"] for row in csv.DictReader(partial.open(), delimiter="\t")] == ["a", "b"]


def test_standard_input_is_read_as_a_file_is(runs: dict[str, Path], tmp_path: Path) -> None:
    run, stored = runs["sequence-regression"], b"\xef\xbb\xbf>a\r\nMKV\r\n>b\r\nACD\r\n"
    (tmp_path / "p.fasta").write_bytes(stored)

    def said(source: str, given: bytes) -> subprocess.CompletedProcess[str]:
        command = ["predict", run, source]
        return warm_process.run(command, stdin=given, cwd=tmp_path, env=dict(os.environ), bench=True)

    by_name, piped, packed = (
        said(source, given)
        for source, given in ((str(tmp_path / "p.fasta"), b""), ("-", stored), ("-", gzip.compress(stored)))
    )
    assert by_name.returncode == piped.returncode == packed.returncode == 0, by_name.stderr
    assert by_name.stdout == piped.stdout == packed.stdout and by_name.stdout.count("\n") == 3
    broken = said("-", gzip.compress(stored)[:-8])
    assert broken.returncode == 2
    assert broken.stderr.startswith("error: standard input: not a complete gzip file")


def test_no_code_beside_a_model_is_run(runs: dict[str, Path], tmp_path: Path) -> None:
    """A stranger's repository may hold anything under the name of the file that bench ships."""
    import shutil

    folder, run = tmp_path / "theirs", runs["sequence-classification"]
    shutil.copytree(run, folder)
    (folder / "model" / "modeling_protein_task.py").write_text("raise SystemExit('their code ran')\n")
    with pytest.raises(UserError, match=r"modeling_protein_task\.py: it changed after the run"):
        open_predictor(str(folder))
    # Nor where their record knows of it.
    relisted(folder)
    protein = test_proteins(run)[0]
    theirs, ours = (next(iter(open_predictor(str(path)).predict([protein]))) for path in (folder, run))
    np.testing.assert_array_equal(theirs.scores, ours.scores)


def test_names_that_are_no_model(tmp_path: Path) -> None:
    source = fasta(tmp_path, [Protein("a", "MKV")])
    for name, said in ((tmp_path / "nowhere", "no such folder"), (tmp_path, "no run record")):
        done = asked(name, source)
        assert isinstance(done.exception, UserError) and said in str(done.exception)


def test_a_reader_that_stops_early_is_no_error(runs: dict[str, Path], tmp_path: Path) -> None:
    source = fasta(tmp_path, [Protein(f"p{number}", "MKV" * 20) for number in range(400)])
    command = f'"{sys.executable}" -m hubtools.cli.main predict {runs["residue-regression"]} {source} | head -n 2'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[0].startswith("id\tposition")
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr, done.stderr


def test_a_measured_budget_changes_no_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder = made(tmp_path, "sequence-classification")
    proteins = tmp_path / "two.fasta"
    proteins.write_text(">a\nMKTAYIAKQRQISFVKSHFSRQ\n>b\nMKLLAAAGGGSSSPPPQ\n")
    usual, measured = (
        CliRunner().invoke(predict, [str(folder), str(proteins), "--device", "cpu", *more], catch_exceptions=False)
        for more in ((), ("--token-budget", "auto", "--no-packing"))
    )
    first, second = (list(csv.DictReader(io.StringIO(said.stdout), delimiter="\t")) for said in (usual, measured))
    assert [row["predicted"] for row in first] == [row["predicted"] for row in second] and len(first) == 2
    for one, other in zip(first, second, strict=True):
        assert float(one["probability"]) == pytest.approx(float(other["probability"]), abs=1e-5)
    # Nothing is kept where the machine is too busy to tell.
    for file in (tmp_path / "cache").glob("measured-*.json"):
        assert "token budget without gradient" in file.read_text()
