"""Do the lines of Python on a card give what bench gives? The very text is run, on letters that data sets rarely hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.common.escaping import python_literal
from hubtools.common.readers import reads
from hubtools.data.rows.chain_breaks import BREAK
from hubtools.models.foreign import read_json
from hubtools.reporting.card.snippet import EXAMPLE, EXAMPLE_PAIR

if TYPE_CHECKING:
    from datasets import Dataset

    from hubtools.specs.record import RunRecord
    from hubtools.specs.task import Task

CARD = "README.md"
# Every letter, neighbours that a vocabulary may lack, and lower case; the second is the partner in a pair.
UNUSUAL = ("mktayiakqrUZOBJXuzobjxACDEFGHIKLMNPQRSTVWYUUJJBZXX", "FVNQjjHLcgsUUOBZW")
# For records that do not say which letters were read as themselves, and where bench itself reads the twenty alone.
USUAL = ("mktayiakqrACDEFGHIKLMNPQRSTVWY", "FVNQHLcgsW")
# Longer than every sequence that is asked about: the lines on a card read a protein in one piece.
_IN_ONE_PIECE = 100_000
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_MODEL = re.compile(r'(?:^MODEL = |\bmodel=)("(?:[^"\\\n]|\\.)*")', re.MULTILINE)


@dataclass(frozen=True)
class LinesAnswer:
    """What one block of a card's lines said.

    Attributes:
        variables: that it left.
        printed: the first argument of each call of print.
        asked: the sequences that it was asked about.
        stopped: how it ended when it was asked about :data:`UNUSUAL`, where only other sequences were answered.
    """

    variables: dict[str, Any]
    printed: list[Any]
    asked: tuple[str, ...]
    stopped: UserError | None = None


@reads("card", refuses=())
def blocks(text: str) -> list[str]:
    """The blocks of Python on a card that load a model and ask it about the example; people's own are not among them."""
    examples = (python_literal(EXAMPLE), python_literal(EXAMPLE_PAIR[0]))
    return [code for code in _BLOCK.findall(text) if _MODEL.search(code) and any(text in code for text in examples)]


def run_lines(folder: Path, record: RunRecord) -> list[LinesAnswer]:
    """Run the lines on the card of a folder as a stranger does who copies them.

    Nothing of the text is changed but where the model is, which is the folder, and the example's sequences. To be called
    before model code of bench is imported, so that nothing of that can help.

    Args:
        folder: a repository as published; without a card there is nothing to run.
        record: of its run.

    Raises:
        UserError: they stop with an error.
    """
    if not (folder / CARD).is_file():
        return []
    # Records of before letters were in them do not say how the others are read.
    unusual = record.alignment is None or bool(record.alignment.letters)
    answers = []
    for code in blocks((folder / CARD).read_text(encoding="utf-8")):
        for place in set(_MODEL.findall(code)):
            code = code.replace(place, python_literal(str(folder)))
        if not unusual:
            answers.append(_run(code, asked_about(folder, record, USUAL)))
            continue
        try:
            answers.append(_run(code, asked_about(folder, record, UNUSUAL)))
        except UserError as stopped:
            try:
                usual = _run(code, asked_about(folder, record, USUAL))
            except UserError:
                raise stopped from None
            answers.append(replace(usual, stopped=stopped))
    return answers


def _run(code: str, asked: tuple[str, ...]) -> LinesAnswer:
    """Run a block on other sequences than its example's."""
    printed: list[Any] = []
    variables: dict[str, Any] = {"__name__": "__main__", "print": lambda *said, **_: printed.append(said[0])}
    for example, sequence in zip(EXAMPLE_PAIR if len(asked) > 1 else (EXAMPLE,), asked, strict=False):
        code = code.replace(python_literal(example), python_literal(sequence))
    try:
        exec(compile(code, CARD, "exec"), variables)
    # Whatever stops a stranger.
    except Exception as error:
        raise UserError(
            f"the lines of Python on its card stop ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
            fix="Do not publish it, and report this.",
        ) from error
    return LinesAnswer(variables, printed, asked)


def asked_about(folder: Path, record: RunRecord, sequences: tuple[str, str] = UNUSUAL) -> tuple[str, ...]:
    """The sequences that a card's lines are asked about: one, the two of a pair, or the chains of a protein."""
    first, second = sequences
    # A head that reads some positions needs a protein that has them.
    positions = read_json(folder / "config.json", str(folder)).get("pool_positions") or [0]
    first *= -(-(1 + max(0, *positions)) // len(first))
    if record.task_spec.chains > 1:
        return tuple((first, second)[place % 2] for place in range(record.task_spec.chains))
    return (first, second) if record.task_spec.problem.level.proteins > 1 else (first,)


def largest_difference(answers: Sequence[LinesAnswer], folder: Path, record: RunRecord) -> float:
    """Between what a card's lines said and what bench says of the same sequences: of a probability, or scaled value.

    Args:
        answers: from :func:`run_lines`.
        folder, record: as there.

    Raises:
        UserError: bench cannot load the model; or lines stopped at what bench reads.
    """
    task = record.exact_task()
    ask = _bench(folder, record, task)
    worst = 0.0
    for answer in answers:
        if answer.stopped is not None and _answers(ask, asked_about(folder, record)):
            raise answer.stopped
        expected = ask(answer.asked)
        scale = max(1.0, float(np.abs(expected).max()))
        got, wanted = _compared(answer, expected, task)
        same = got.shape == wanted.shape
        # Not Python's max, which passes over what is not a number.
        worst = float(np.max([worst, np.abs(got - wanted).max() / scale if same else np.inf]))
    return worst


def _answers(ask: Callable[[tuple[str, ...]], np.ndarray], asked: tuple[str, ...]) -> bool:
    """Whether bench reads these sequences."""
    try:
        ask(asked)
    except UserError:
        return False
    return True


def _bench(folder: Path, record: RunRecord, task: Task) -> Callable[[tuple[str, ...]], np.ndarray]:
    """What bench predicts, through its own table of letters: (1, outputs), or (residues, outputs)."""
    import torch

    from hubtools.data.rows.sequences import canonical_sequences
    from hubtools.models.saved import load_model
    from hubtools.training.encoding import encode
    from hubtools.training.loss import Loss
    from hubtools.training.prediction import predict

    model, tokeniser = load_model(folder, task)
    tokeniser = tokeniser.as_recorded(record.alignment, record.tokens)
    whole = record.exact_recipe().window.model_copy(update={"residues": _IN_ONE_PIECE, "overlap": 0})
    pool = getattr(model.config, "pool_positions", None)

    @cache
    def ask(asked: tuple[str, ...]) -> np.ndarray:
        sequences, _, _ = canonical_sequences(asked, [f"protein {i}" for i, _ in enumerate(asked)], task.name)
        split = encode(_rows(task, sequences), task, tokeniser, whole, pool)
        found = predict(model, split, Loss(task.problem.kind), token_budget=_IN_ONE_PIECE, device=torch.device("cpu"))
        n = len(sequences[0]) if task.problem.level.by_residue else 1
        return np.asarray(found.scores, dtype=np.float64).reshape(n, -1)

    return ask


def _rows(task: Task, sequences: Sequence[str]) -> Dataset:
    """One canonical row whose labels mean nothing."""
    from datasets import Dataset

    blank: Any = {"classification": 0, "multilabel": [0] * task.n_outputs, "regression": 0.0}[task.problem.kind]
    label = [blank] * len(sequences[0]) if task.problem.level.by_residue else blank
    row: dict[str, Any] = {"id": ["0"], "sequence": [sequences[0]], "label": [label]}
    if task.chains > 1:
        row["sequence"] = [BREAK.join(sequences)]
    elif len(sequences) > 1:
        row |= {"protein": ["0"], "partner_protein": ["1"], "partner": [sequences[1]]}
    return Dataset.from_dict(row)


def _compared(answer: LinesAnswer, expected: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """The values that a block of lines said, and those that it should have."""
    from hubtools.training.loss import Loss

    variables, by_residue = answer.variables, task.problem.level.by_residue
    names = {name: index for index, name in enumerate(task.label_names)}
    if "logits" in variables:
        if by_residue:
            return np.asarray(variables["values"], dtype=np.float64).reshape(len(expected), -1), expected
        return Loss(task.problem.kind).to_scores(variables["logits"][None]).reshape(1, -1), expected
    # A pipeline: of each residue the likeliest label, of a protein all of them, in an order of its own.
    said = variables["answers"] if by_residue else answer.printed[0]
    got = np.array([one["score"] for one in said], dtype=np.float64)
    if not names:
        return got, expected[0]
    labels = [names[one["entity" if by_residue else "label"]] for one in said]
    rows = range(len(said)) if by_residue else 0
    return got, expected[rows, labels]
