"""What a task file needs that the caller did not say: asked of a person, or taken from the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hubtools.common.errors import UserError


@dataclass(frozen=True)
class TaskQuestion:
    """What the caller did not say.

    Attributes:
        argument: of :func:`hubtools.new_task` that answers it.
        text: for a person.
        proposal: what the data suggest, None where they do not say.
        why: what the proposal rests on.
        known: what may be answered, where that can be listed.
        optional: whether it may be left open, by answering None.
    """

    argument: str
    text: str
    proposal: str | None
    why: str
    known: str = ""
    optional: bool = False


Ask = Callable[[TaskQuestion], str | None]


@dataclass(frozen=True)
class TaskGuess:
    """A value that the caller did not give.

    Attributes:
        argument: of :func:`hubtools.new_task` that gives it.
        value: that was taken.
        why: what it rests on.
    """

    argument: str
    value: str
    why: str


class TaskAnswers:
    """What the caller gave, and what is asked or guessed for the rest.

    Args:
        given: values by argument; None where the caller gave none.
        ask: answers a question; None: what the data suggest is the answer.

    Attributes:
        given: the same.
        guesses: what was taken without asking.
    """

    def __init__(self, given: dict[str, str | None], ask: Ask | None) -> None:
        self.given, self.guesses = given, list[TaskGuess]()
        self._ask = ask or _as_proposed

    def of(self, argument: str, text: str, proposal: str | None, why: str, *, known: str = "") -> str:
        """A value: the caller's, a person's, or what the data suggest.

        Raises:
            UserError: nobody says.
        """
        if (value := self.given[argument]) is not None:
            return value
        answer = self._ask(TaskQuestion(argument, text, proposal, why, known))
        if answer is None:
            answer = proposal
        if answer is None:
            raise UserError(f"{text}: nobody says which", fix=f"Give {argument}{f' ({known})' if known else ''}.")
        if answer == proposal:
            self.guess(argument, answer, why)
        return answer

    def open(self, argument: str, text: str, proposal: str, why: str, *, known: str) -> str | None:
        """The same of what may be left open, and is where nobody answers."""
        if (value := self.given[argument]) is not None:
            return value
        return self._ask(TaskQuestion(argument, text, proposal, why, known, optional=True))

    def guess(self, argument: str, value: str, why: str) -> None:
        """Remember what was taken without asking."""
        self.guesses.append(TaskGuess(argument, value, why))


def _as_proposed(question: TaskQuestion) -> str | None:
    return None if question.optional else question.proposal
