"""The lines of Python that a card prints are run, as they stand there, before a model goes out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from small_run import make_run
from tiny_checkpoints import FAMILIES, WITH_PROTOCOL, write_checkpoint
from tiny_runs import made

from hubtools.common.errors import UserError
from hubtools.evaluation.predictions import read_predictions
from hubtools.publishing.card_lines import UNUSUAL, asked_about, blocks, largest_difference, run_lines
from hubtools.publishing.contents import lay_out, plan_publication
from hubtools.publishing.reload import ReloadedPredictions, reproduce, reproduce_in_fresh_process
from hubtools.runs.store import read_record

CASES = [
    *(("residue-classification", family, 1) for family in (*FAMILIES, WITH_PROTOCOL)),
    *((f"{level}-multilabel", "modernbert", 1) for level in ("residue", "pair")),
    *((f"{level}-regression", "modernbert", 1) for level in ("residue", "pair")),
    ("pair-classification", "bert", 1),
    # With the lines for pipelines.
    *((f"sequence-{kind}", "modernbert", 2) for kind in ("classification", "multilabel", "regression")),
    ("sequence-classification", "bert", 2),
]
Published = Callable[[str, str], tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The folder of a tiny model as it would lie on the Hub, and the task with the paths of this machine."""
    root = tmp_path_factory.mktemp("published")

    @cache
    def of(problem: str, family: str) -> tuple[Path, dict[str, Any]]:
        publication = plan_publication(made(root / f"{problem}-{family}", problem, family), "me/model", licence="mit")
        assert not publication.failed, publication.failed
        with lay_out(publication.files) as stage:
            return Path(shutil.copytree(stage, root / f"{problem}-{family}-hub")), publication.record.task

    return of


def test_what_is_asked_holds_every_letter_in_either_case_and_neighbours_that_a_vocabulary_may_lack() -> None:
    assert set("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == set(UNUSUAL[0].upper()) and set("uzobjx") < set(UNUSUAL[0])
    for sequence in UNUSUAL:
        assert sequence.upper() != sequence and any(pair in sequence.upper() for pair in ("JJ", "UU"))


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "family", "least"), CASES)
def test_the_card_says_what_bench_says_of_every_letter(
    problem: str, family: str, least: int, published: Published
) -> None:
    folder, _ = published(problem, family)
    record = read_record(folder)
    answers = run_lines(folder, record)
    assert len(answers) >= least and len(answers) == len(blocks((folder / "README.md").read_text()))
    assert largest_difference(answers, folder, record) < 1e-5


def vocabulary(folder: Path, kind: str) -> Path:
    """A ModernBERT whose vocabulary is subwords, or the twenty letters and nothing to stand for another."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    write_checkpoint(folder, "modernbert")
    if kind == "subwords":
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
        special = ["[PAD]", "[UNK]"]
        tokenizer.train_from_iterator(
            ["ACDEFGHIKLMNPQRSTVWY", "LLAA"] * 9, trainers.BpeTrainer(vocab_size=24, special_tokens=special)
        )
        own = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    else:
        pieces = ["[PAD]", *"ACDEFGHIKLMNPQRSTVWY"]
        tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}))
        tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        own = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]")
    own.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["subwords", "twenty letters"])
def test_what_bench_itself_cannot_read_is_not_asked_of_the_card(kind: str, tmp_path: Path) -> None:
    checkpoint = vocabulary(tmp_path / "checkpoint", kind)
    run = made(tmp_path, "sequence-classification", checkpoint=str(checkpoint))
    publication = plan_publication(run, "me/model", licence="mit")
    with lay_out(publication.files) as stage:
        folder, record = Path(stage), publication.record
        answers = run_lines(folder, record)
        assert {answer.stopped is None for answer in answers} == {kind == "subwords"}
        assert largest_difference(answers, folder, record) < 1e-5
        # Lines that stop at what bench reads are another matter.
        stopped = [replace(answer, stopped=UserError("they stop")) for answer in answers]
        if kind == "subwords":
            with pytest.raises(UserError, match="they stop"):
                largest_difference(stopped, folder, record)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        # As a published ModernBERT did whose letters were left to its tokenizer.
        ('read = re.sub("[BJOUZ]", "X", sequence)', "read = sequence", "does not do what was measured"),
        ("[BJOUZ]", "[BJO]", "does not do what was measured"),
        ("tokenizer(read", "tokenizer(read.lower()", "does not do what was measured"),
        ("import torch\n", "", r"its card stop \(NameError: name 'torch' is not defined\)"),
    ],
)
def test_lines_that_read_otherwise_are_not_published(
    before: str, after: str, says: str, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(published("sequence-classification", "modernbert")[0], tmp_path / "hub"))
    # The test split is another test's.
    as_recorded = read_predictions(folder / "predictions.parquet")
    monkeypatch.setattr("hubtools.publishing.reload.predict_again", lambda *_: as_recorded)
    assert reproduce(folder).lines == 2
    card = (folder / "README.md").read_text()
    assert before in card
    (folder / "README.md").write_text(card.replace(before, after))
    with pytest.raises(UserError, match=says):
        reproduce(folder)


@pytest.mark.slow
def test_the_fresh_process_runs_them_before_anything_of_bench_could_help(published: Published, tmp_path: Path) -> None:
    source, task = published("residue-classification", "bert")
    folder = Path(shutil.copytree(source, tmp_path / "hub"))
    alone = "import sys\nassert 'torch' not in sys.modules and 'hubtools.models.tokenisation' not in sys.modules\n"
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("import torch\n", f"{alone}import torch\n", 1))
    result = reproduce_in_fresh_process(folder, task=task)
    assert result.lines >= 1 and result.of_lines < 1e-5
    assert "the Python on its card reads every letter, in either case, as bench does" in str(result)


def test_a_card_without_such_lines_and_the_blocks_of_people_are_left_alone(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    record = read_record(folder)
    assert run_lines(folder, record) == []
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("# A model\n\n```python\nraise ValueError('theirs')\n```\n")
    assert run_lines(folder, record) == []
    assert "card" not in str(ReloadedPredictions(3, ("test",), 1e-7, 1e-4))


def test_a_head_that_reads_some_positions_is_asked_about_a_protein_that_has_them(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "config.json").write_text(json.dumps({"pool_positions": [3, 170]}))
    [sequence] = asked_about(folder, read_record(folder))
    assert len(sequence) > 170
