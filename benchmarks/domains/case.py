"""Cases and tasks: a prompt, what its answer must satisfy, and who judges it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from grammars import Constraint

T = TypeVar("T")


class Verdict(NamedTuple):
    """What the judge says of a text: whether it is valid, and its score between 0 and 1."""

    valid: bool
    score: float


@dataclass(frozen=True)
class Case:
    """One question.

    Attributes
    ----------
    prompt:
        A text that ends where the answer begins; the answer ends at a line end.
    constraint:
        Makes the constraint on the answer, since that may take time or be refused (`GrammarError`).
    judge:
        Judges an answer by the data, without the constraint.
    grammar:
        Makes what of the constraint can be masked, for the method `masked`; by default its parts with a mask.
    """

    id: str
    prompt: str
    constraint: Callable[[], Constraint]
    judge: Callable[[str], Verdict]
    grammar: Callable[[], Constraint] | None = None


@dataclass(frozen=True)
class Task:
    """A domain.

    Attributes
    ----------
    cases:
        Makes that many cases, spread evenly over the data.
    max_tokens:
        The length limit of an answer, unless another is asked for.
    score:
        What the score means, for the table.
    """

    cases: Callable[[int], list[Case]]
    max_tokens: int
    score: str


def spread(rows: Sequence[T], count: int) -> list[T]:
    """Return `count` of the rows, evenly spread, or all if there are no more."""
    count = min(count, len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


def few_shot(
    instruction: str, keys: tuple[str, str], examples: Iterable[tuple[str, str]], question: str
) -> str:
    """Return a prompt for a model that continues texts: an instruction, examples, and the open question."""
    blocks = [f"{keys[0]}:\n{asked}\n{keys[1]}:\n{answer}\n" for asked, answer in examples]
    return "\n".join([f"{instruction}\n", *blocks, f"{keys[0]}:\n{question}\n{keys[1]}:\n"])
