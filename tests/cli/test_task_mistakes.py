"""The common mistakes of a task file: each is one line that says where, what and how to put it right.

`python tests/cli/test_task_mistakes.py` prints the lines.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hubtools.common.errors import UserError
from hubtools.specs.lookup.spec_files import load_task

GOOD = """\
name: t
version: 1
title: Membrane proteins
problem: sequence-classification
summary: Does the protein sit in a membrane?
data:
  source: file
  files:
    - path: t.csv
  columns: {id: id, sequence: seq, label: kind}
  splits:
    train: {where: {set: train}}
    validation: {where: {set: valid}}
    test: {where: {set: test}}
labels: {"0": soluble, "1": membrane}
metrics: {primary: mcc, also: [accuracy]}
licence: CC0-1.0
citation: none
"""
ROWS = """\
id,seq,kind,set
p1,MKTAYIAK,0,train
p2,MKTAYIAC,1,train
p3,MKTAYIAD,1,valid
p4,MKTAYIAE,0,test
p5,MKTAYIAF,1,test
"""
SPLITS = GOOD[GOOD.index("  splits:") : GOOD.index("labels:")]
DRAWN = "  split: {fractions: {train: 0.8, validation: 0.1, test: 0.1}}\n"
NEW_LABELS = 'labels: {"0": soluble, "1": membrane}\n'

# Mistake: what is written, what is written instead, the line and what is said.
TEN = {
    "a misspelt key": ("summary:", "sumary:", 5, "sumary: unknown key. Did you mean summary?"),
    "a label that is not listed": ('"1": membrane', '"2": membrane', 15, "p2: unknown label '1'; known: 0, 2. Correct the data, or list it under labels."),
    "a wrong column": ("sequence: seq", "sequence: sequence", 10, "t: there is no column 'sequence' (data.columns.sequence). There are: id, seq, kind, set."),
    "another file": ("path: t.csv", f"path: t.csv\n      sha256: {'a' * 64}", 10, f"wrong checksum: expected sha256 {'a' * 64}"),
    "no test split": ("    test: {where: {set: test}}\n", "", 11, "data.splits: no test split. A task needs train and test."),
    "splits that overlap": ("{set: test}", "{kind: \"1\"}", 11, "p2 is in the splits train and test (2 such rows). Make the rules under data.splits exclude each other."),
    "labels of a number": ("sequence-classification", "sequence-regression", 15, "labels: labels are given, but sequence-regression has none. Remove labels."),
    "a metric of another problem": ("primary: mcc", "primary: spearman", 16, "metrics.primary: metric 'spearman' is not for classification. Use one of: accuracy, auprc"),
    "candidates of proteins": (SPLITS, f"  candidates: Y\n{SPLITS}", 11, "data.candidates: this is for residue tasks, not for sequence-classification. Remove it."),
    "shares that are not 1": (SPLITS, DRAWN.replace("0.8", "0.7"), 11, "data.split.fractions: the fractions sum to 0.9. They must sum to 1."),
}  # fmt: skip

MORE = {
    "partner without pairs": ("label: kind", "label: kind, partner: other", 10, "data.columns.partner: this is not for sequence-classification. Remove it."),
    "pairs without partner": ("sequence-classification", "pair-classification", 10, "data.columns: the second protein is not named. Add partner."),
    "only a lookup": ("path: t.csv", "path: t.csv\n      lookup: true", 8, "data.files: lookup is for pairs, variants and contacts. Remove it."),
    "lookup that is no truth": ("path: t.csv", "path: t.csv\n      lookup: proteins", 10, "data.files[0].lookup: expected true or false (it is 'proteins')."),
    "shares by nothing": (SPLITS, DRAWN.replace("}}", "}, by: clusters}"), 11, "data.split.by: nothing says what a cluster is. Add identity: 0.3, say."),
    "by what is not known": (SPLITS, DRAWN.replace("}}", "}, by: families}"), 11, "data.split.by: unknown value 'families'. Known values: sequences, clusters."),
    "identity of sequences": (SPLITS, DRAWN.replace("}}", "}, identity: 0.3}"), 11, "data.split.identity: identity is for by: clusters. Write by: clusters, or remove identity."),
    "identity in per cent": (SPLITS, DRAWN.replace("}}", "}, by: clusters, identity: 30}"), 11, "data.split.identity: expected at most 1 (it is 30)."),
    "shares in per cent": (SPLITS, DRAWN.replace("0.8", "80"), 11, "data.split.fractions.train: expected less than 1 (it is 80)"),
    "clusters twice": (SPLITS, "  clusters: {k: 5}\n" + DRAWN.replace("}}", "}, by: clusters, identity: 0.3}"), 12, "data.split.identity: clusters are given too. Say once how they are found."),
    "a trust of another colour": ("licence:", "trust: {colour: yellow, reason: they are relatives}\nlicence:", 17, "trust.colour: unknown value 'yellow'. Known values: green, amber, red."),
    "a trust without a reason": ("licence:", "trust: {colour: red, reason: bad}\nlicence:", 17, "trust.reason: expected at least 10 characters (it is 'bad')."),
    "a published number that is text": ("licence:", "published:\n  - {what: a, how: b, metric: mcc, value: about 0.5, source: c}\nlicence:", 18, "published[0].value: expected a number (it is 'about 0.5')."),
    "a cutoff": ("primary: mcc", "cutoff: high, primary: mcc", 16, "metrics.cutoff: expected a number or median (it is 'high')."),
    "label sets of proteins": (SPLITS, f"  label_sets: {{a: [\"0\"]}}\n{SPLITS}", 11, "data.label_sets: this is for residue tasks, not for sequence-classification. Remove it."),
    "a shift that is too long": (SPLITS, f"  label_shift: 2\n{SPLITS}", 11, "data.label_shift: expected at most 1 (it is 2)."),
    "annotation of a table": (SPLITS, f"  annotation: {{field: cc_x, comment: {{\"0\": {{contains: [a]}}}}}}\n{SPLITS}", 11, "data.annotation: it reads UniProt answers and Swiss-Prot files only. Remove it."),
    "annotation of two kinds": (SPLITS, f"  annotation: {{otherwise: a}}\n{SPLITS}", 11, "data.annotation: give either comment (labels of proteins) or features (labels of residues)."),
    "a feature that has another name": (SPLITS, f"  annotation: {{features: [{{label: a, field: helix}}]}}\n{SPLITS}", 11, "data.annotation.features[0].field: expected the name of a UniProt feature field, such as ft_helix (it is 'helix')."),
    "UniProt without a query": ("  source: file\n  files:\n    - path: t.csv\n", "  source: uniprot\n", 6, "data.query: this key is missing. Add it."),
    "frozen by hand": ("  source: file\n  files:\n    - path: t.csv\n", "  source: uniprot\n  query: a\n  frozen: {release: 2026_01, rows: 0, sha256: abc}\n", 9, "data.frozen."),
    "no files": ("  files:\n    - path: t.csv\n", "  files: []\n", 8, "data.files: the list is empty."),
}  # fmt: skip


def write(folder: Path, old: str, new: str) -> None:
    """The good file with a change, and its data."""
    assert GOOD.count(old) == 1, old
    (folder / "t.yaml").write_text(GOOD.replace(old, new))
    (folder / "t.csv").write_text(ROWS)


def said(folder: Path, old: str, new: str) -> tuple[int, str, str]:
    """What `bench tasks check` says to the good file with a change; exit code, stdout, stderr."""
    write(folder, old, new)
    code = "from hubtools.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "tasks", "check", "t.yaml"], cwd=folder, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def test_the_good_file_is_in_order(tmp_path: Path) -> None:
    code, out, err = said(tmp_path, "name: t", "name: t")
    assert (code, err) == (0, "") and out.endswith("t is in order\n")


@pytest.mark.parametrize("mistake", TEN)
def test_a_mistake_is_one_line_with_its_place_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Callable[..., tuple[int, str, str]], mistake: str
) -> None:
    old, new, line, words = TEN[mistake]
    write(tmp_path, old, new)
    monkeypatch.chdir(tmp_path)
    code, out, err = bench("tasks", "check", "t.yaml")
    assert (code, out) == (2, "")
    (message,) = err.splitlines()
    assert message.startswith(f"error: t.yaml:{line}") and words.rstrip(".") in message
    assert {path.name for path in tmp_path.iterdir()} == {"t.yaml", "t.csv"}


@pytest.mark.parametrize("mistake", MORE)
def test_a_mistake_in_a_rarer_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    old, new, line, words = MORE[mistake]
    write(tmp_path, old, new)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        load_task("t.yaml")
    assert str(error.value).startswith(f"t.yaml:{line}: {words.rstrip('.')}") and "\n" not in str(error.value)


if __name__ == "__main__":
    for name, (old, new, *_) in (TEN | MORE if "--all" in sys.argv else TEN).items():
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}\n    {said(Path(folder), old, new)[2]}", end="")
