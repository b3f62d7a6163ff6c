"""SQL on the evaluation data: statements of SQLite's and sqlglot's tests, of Spider, and Spider's databases."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from conftest import DATA

from grammars import SQL

LIMITS = {
    "no SELECT": r"(?i)^WITH.*\)\s*(INSERT|UPDATE|DELETE)\b",
    "parameters": r"\?",
    "a keyword after a star or parenthesis without white space": r"(?i)[*)][a-z]",
    "words of joins in free order": r"(?i)\b(SEMI|ANTI|AWK SED) JOIN",
    "a join condition on the first table": r"(?i)FROM \w+ USING",
}


def test_statements(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    """What is valid is in L, but for the limits that the documentation lists; what is invalid is not."""
    constraint = SQL()
    refused: Counter[str] = Counter()
    valid = real = real_refused = 0
    for row in rows("grammar_suite/sql_dev.jsonl"):
        matches = constraint.matches(row["sql"])
        if not row["sqlite_syntax_ok"] or row["kind"] != "select":
            assert not matches, row["sql"]
            continue
        valid += 1
        real += "spider" in row["source"]
        assert constraint.accepts(row["sql"].encode())  # the judge agrees with SQLite's own parser
        if not matches:
            reason = next(
                (name for name, shape in LIMITS.items() if re.search(shape, row["sql"], re.DOTALL)), None
            )
            assert reason is not None, row["sql"]
            refused[reason] += 1
            real_refused += "spider" in row["source"]
    assert valid > 1000
    assert refused.total() <= 0.012 * valid
    assert refused.total() - refused["no SELECT"] <= 0.005 * valid
    assert real_refused == 0 < real


@pytest.mark.parametrize("options", [{}, {"explain": True}, {"columns": "schema"}], ids=str)
def test_spider(rows: Callable[[str], list[dict[str, Any]]], options: dict[str, Any]) -> None:
    """Every gold query is in L of its database, and what is in L runs there."""
    constraints: dict[str, SQL] = {}
    connections: dict[str, sqlite3.Connection] = {}
    questions = rows("text_to_sql/dev/questions.jsonl")
    for question in questions:
        name = question["db_id"]
        if name not in constraints:
            path = DATA / "text_to_sql/dev/databases" / f"{name}.sqlite"
            connections[name] = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
            connections[name].text_factory = bytes
            constraints[name] = SQL.from_connection(connections[name], **options)
        assert constraints[name].matches(question["gold_sql"]), question["gold_sql"]
    assert questions
    for other in questions:  # of any database: in L only where it runs
        for name in list(constraints)[:3]:
            if constraints[name].matches(other["gold_sql"]):
                connections[name].execute(other["gold_sql"]).fetchall()
            else:
                with pytest.raises(sqlite3.Error):
                    connections[name].execute(other["gold_sql"])
