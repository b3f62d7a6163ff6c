"""Questions and tasks: a program that a method runs, and who judges the answer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from inference.engines.base import Engine
from ppl.program import Model


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes
    ----------
    model:
        The program whose posterior is asked for, over the texts of the answer.
    judge:
        The score of a text by the data, between 0 and 1, which the program does not see.
    answer:
        What a text comes to, so that texts that say the same vote together; None if it comes to nothing.
    """

    id: str
    model: Model[str]
    judge: Callable[[str], float]
    answer: Callable[[str], Hashable | None]


@dataclass(frozen=True)
class Task:
    """Questions of one kind.

    Attributes
    ----------
    questions:
        Makes that many, spread evenly over the data.
    score:
        What the score means, for the table.
    """

    questions: Callable[[Engine, int], list[Question]]
    score: str
