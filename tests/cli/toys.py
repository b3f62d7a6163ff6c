"""What the tests of the command line refer to as `tests.cli.toys:NAME`."""

import time
from typing import Literal

from pydantic import BaseModel

from inference import TableLM
from ppl import condition, factor, program, sample

abc = TableLM.random(["a", "b", "c"], seed=1)
table = TableLM(
    ["a", "b"],
    {  # probabilities of "a", "b" and the end
        (): [0.5, 0.3, 0.2],
        (0,): [0.1, 0.4, 0.5],
        (1,): [0.2, 0.2, 0.6],
        (0, 1): [0.0, 0.0, 1.0],
        (0, 0): [0.0, 0.0, 1.0],
        (1, 0): [0.0, 0.0, 1.0],
        (1, 1): [0.0, 0.0, 1.0],
    },
)
spelling = TableLM(  # spells objects, and a query on the table t, after any prompt
    [*'{}": 0123', "urgency", "n", "low", "high", ",", "SELECT", "x", "FROM", "t", "count(*)"],
    lambda prompt, generated: [1 / 20] * 20,
)
told = []


def make():
    return abc


def make_none():
    return 1 / 0


def slow_probs(prompt, generated):
    time.sleep(0.05)
    return [0.4, 0.4, 0.2]


slow = TableLM(["a", "b"], slow_probs)
number = 7


class Ticket(BaseModel):
    urgency: Literal["low", "high"]


@program
def words(n: int, start: str, lm):
    text = sample(lm(start, max_tokens=n))
    factor(-0.5 * len(text))
    return {"text": text, "n": n}


@program
def never(lm):
    condition(False)


@program
def raises(x):
    raise KeyError("boo")


@program
def set_of(x):
    told.append(x)
    return object()


@program
def escapes():
    return "\x1b[31mred [bold]x[/bold]"
