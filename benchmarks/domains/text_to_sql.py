"""Text to SQL: write the query that answers a question about a database of Spider."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.common import data_path, data_rows
from benchmarks.domains.case import Case, Task, Verdict, few_shot, spread
from grammars import SQL

INSTRUCTION = (
    "Each SQL query for SQLite answers the question above it, which is about the tables that are listed."
)
EXAMPLES = (
    (
        "book(id, title, author_id, year, price)\nauthor(id, name, country)\nHow many books are there?",
        "SELECT count(*) FROM book",
    ),
    (
        "book(id, title, author_id, year, price)\nauthor(id, name, country)\n"
        "What are the titles of the books by authors from France, the newest first?",
        "SELECT T1.title FROM book AS T1 JOIN author AS T2 ON T1.author_id = T2.id WHERE T2.country = 'France' "
        "ORDER BY T1.year DESC",
    ),
    (
        "player(player_id, name, team, age)\nShow each team and the average age of its players.",
        "SELECT team, avg(age) FROM player GROUP BY team",
    ),
)
SECONDS = 5.0
MOST_ROWS = 100_000
Rows = list[tuple[Any, ...]]


def cases(count: int) -> list[Case]:
    tables = {row["db_id"]: row["tables"] for row in data_rows("text_to_sql/dev/schemas.jsonl")}
    rows = [r for r in data_rows("text_to_sql/dev/questions.jsonl") if not r["gold_empty"]]
    return [case(row, tables[row["db_id"]], database(row["db_id"])) for row in spread(rows, count)]


def case(row: dict[str, Any], tables: dict[str, list[list[str]]], path: Path) -> Case:
    listed = [f"{table}({', '.join(name for name, _ in columns)})" for table, columns in tables.items()]
    question = "\n".join([*listed, row["question"]])
    prompt = few_shot(INSTRUCTION, ("Question", "Query"), EXAMPLES, question)
    return Case(
        row["id"], prompt, partial(constraint, path), partial(judge, path, row["gold_sql"], row["ordered"])
    )


def database(name: str) -> Path:
    return data_path(f"text_to_sql/dev/databases/{name}.sqlite")


def connect(path: Path) -> sqlite3.Connection:
    """Open a database that cannot be written to, nor attach another; bytes that are no UTF-8 are left out of texts."""
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.text_factory = lambda data: data.decode("utf-8", "ignore")
    return connection


def constraint(path: Path) -> SQL:
    """Return the queries that are in order on the tables of a database, columns called as they are there."""
    with closing(connect(path)) as connection:
        return SQL.from_connection(connection, columns="schema")


def judge(path: Path, gold: str, ordered: bool, text: str) -> Verdict:
    """Valid is a query that runs; right is one that gives the rows of the gold query, in order if that matters."""
    try:
        rows = execute(path, text)
    except sqlite3.Error:
        return Verdict(False, 0.0)
    expected = _gold(path, gold)
    same = rows == expected if ordered else Counter(rows) == Counter(expected)
    return Verdict(True, float(same))


def execute(path: Path, query: str) -> Rows:
    """Return the rows of a query.

    Raises
    ------
    sqlite3.Error
        If it fails, is no query, takes longer than `SECONDS`, or has more than `MOST_ROWS` rows.
    """
    with closing(connect(path)) as connection:
        until = time.monotonic() + SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
        cursor = connection.execute(query)
        rows = cursor.fetchmany(MOST_ROWS + 1)
    if cursor.description is None:
        raise sqlite3.ProgrammingError("not a query")
    if len(rows) > MOST_ROWS:
        raise sqlite3.DataError("too many rows")
    return rows


@cache
def _gold(path: Path, query: str) -> Rows:
    return execute(path, query)


TASK = Task(cases, max_tokens=64, score="same rows")
