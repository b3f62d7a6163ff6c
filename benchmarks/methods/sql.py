"""Text to SQL: a query that is in order on the database, runs there, and finds something.

That it finds something is a condition, checked by execution, which no mask knows. The examples in the prompt are
other questions of the same database, those that share most words with the question.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import data_rows
from benchmarks.domains.case import few_shot, spread
from benchmarks.domains.text_to_sql import INSTRUCTION, constraint, database, execute
from benchmarks.domains.text_to_sql import judge as verdict
from benchmarks.methods.question import Question, Task
from inference.engines.base import Engine
from ppl import condition, program, sample
from ppl.targets import Target

SHOTS = 4
LONGEST = 80
"""Characters of the longest gold queries that are asked, about half of them: a small model is lost on longer ones."""
MAX_TOKENS = 48


@program
def query(target: Target[str], finds: Callable[[str], bool]) -> str:
    text = sample(target)
    condition(finds(text))
    return text


def questions(lm: Engine, count: int) -> list[Question]:
    tables = {row["db_id"]: row["tables"] for row in data_rows("text_to_sql/dev/schemas.jsonl")}
    rows = [row for row in data_rows("text_to_sql/dev/questions.jsonl") if not row["gold_empty"]]
    short = [row for row in rows if len(row["gold_sql"]) <= LONGEST]
    return [question(lm, row, rows, tables[row["db_id"]]) for row in spread(short, count)]


def question(
    lm: Engine, row: dict[str, Any], rows: list[dict[str, Any]], tables: dict[str, list[list[str]]]
) -> Question:
    path = database(row["db_id"])
    listed = [f"{table}({', '.join(name for name, _ in columns)})" for table, columns in tables.items()]
    examples = [(other["question"], other["gold_sql"]) for other in nearest(row, rows)]
    prompt = few_shot("\n".join([INSTRUCTION, *listed]), ("Question", "Query"), examples, row["question"])
    target = lm(prompt, stop="\n", max_tokens=MAX_TOKENS) & constraint(path)
    return Question(
        row["id"],
        query(target, partial(finds, path)),
        lambda text: verdict(path, row["gold_sql"], row["ordered"], text).score,
        partial(answer, path),
    )


def nearest(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the questions of the same database, with other answers, that share most words; the nearest last."""
    words = lambda text: set(re.findall(r"\w+", text.lower()))  # noqa: E731
    asked = words(row["question"])
    others = [
        o for o in rows if o["db_id"] == row["db_id"] and o["gold_sql"].lower() != row["gold_sql"].lower()
    ]
    share = lambda o: len(asked & words(o["question"])) / len(asked | words(o["question"]))  # noqa: E731
    return sorted(others, key=share)[-SHOTS:]


def finds(path: Path, text: str) -> bool:
    """Return whether a query runs and gives at least one row."""
    return bool(answer(path, text))


def answer(path: Path, text: str) -> Hashable | None:
    """Return the rows of a query, as a set; None if it fails or finds nothing."""
    try:
        return frozenset(execute(path, text)) or None
    except sqlite3.Error:
        return None


TASK = Task(questions, score="same rows")
