from __future__ import annotations

import json
import sqlite3

import pytest
from typer.testing import CliRunner

from inference.cli import app


class Ran:
    """What a command did."""

    def __init__(self, result):
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr
        self.raised = None if isinstance(result.exception, SystemExit) else result.exception

    @property
    def rows(self):
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def ppl():
    """Run the command line in this process."""

    def run(*arguments, stdin=None):
        return Ran(CliRunner().invoke(app, [str(a) for a in arguments], input=stdin))

    return run


@pytest.fixture
def schema(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(
        json.dumps(
            {
                "type": "object",
                "properties": {"urgency": {"enum": ["low", "high"]}, "n": {"type": "integer", "maximum": 3}},
                "required": ["urgency"],
                "additionalProperties": False,
            }
        )
    )
    return path


@pytest.fixture
def sqlite_file(tmp_path):
    path = tmp_path / "some file?.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x INTEGER, name TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, "ann"), (2, "bo")])
    connection.close()
    return path


@pytest.fixture
def duckdb_file(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "data.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t (x INTEGER, name TEXT)")
        connection.execute("INSERT INTO t VALUES (1, 'ann'), (2, 'bo')")
    return path
