"""Databases of the command line: SQLite and DuckDB files, opened so that nothing can be written.

A query that a model wrote is run with three guards besides the grammar, which has SELECT only: the file is opened
read-only, other files are out of reach (in DuckDB a SELECT could read them; SQLite has no function for that), and it
is interrupted after a time limit.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

from grammars.errors import GrammarError
from grammars.sql_duckdb import duckdb_module
from inference.cli.exit_codes import BadInput

_SQLITE, _DUCKDB = b"SQLite format 3\x00", b"DUCK"

LIMIT_ROWS = 20
LIMIT_SECONDS = 10.0


@dataclass(frozen=True)
class Rows:
    """What a query returned: its columns, at most `LIMIT_ROWS` rows, whether there are more; or an error."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    more: bool = False
    error: str | None = None


def open_read_only(path: Path) -> Any:
    """Return a connection to a database file, by what its first bytes say that it is.

    Raises
    ------
    BadInput
        If there is no such file, or it is no database of SQLite or DuckDB.
    GrammarError
        If it is one of DuckDB, and DuckDB is not installed.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise BadInput(
            f"cannot read the database {path}: {error.strerror}", hint="--db names a file"
        ) from None
    if head != _SQLITE and head[8:12] != _DUCKDB:
        raise BadInput(f"{path} is no database", hint="--db names a file of SQLite 3 or DuckDB")
    try:
        return _open_sqlite(path) if head == _SQLITE else _open_duckdb(path)
    except GrammarError:
        raise
    except Exception as error:
        raise BadInput(
            f"cannot open the database {path}: {error}", hint="is another program writing to it?"
        ) from error


def _open_sqlite(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.execute("PRAGMA query_only = ON")
    connection.execute("SELECT count(*) FROM sqlite_master")  # reads the file, which connecting does not
    return connection


def _open_duckdb(path: Path) -> Any:
    connection = duckdb_module().connect(str(path), read_only=True)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def run_query(connection: Any, query: str, seconds: float = LIMIT_SECONDS) -> Rows:
    """Return the first rows of a query; what the database says against it is an answer, too."""
    timer = Timer(seconds, connection.interrupt)
    timer.start()
    try:
        cursor = connection.execute(query)
        found = [tuple(row) for row in cursor.fetchmany(LIMIT_ROWS + 1)]
        columns = tuple(column[0] for column in cursor.description or ())
    except Exception as error:  # each of the two has a hierarchy of its own
        late = "interrupt" in str(error).lower()
        return Rows(error=f"stopped after {seconds:g} s" if late else str(error))
    finally:
        timer.cancel()
    return Rows(columns, tuple(found[:LIMIT_ROWS]), len(found) > LIMIT_ROWS)
