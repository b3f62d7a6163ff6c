"""A live database as the last judge of queries: it explains them, and is neither written to nor queried."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from grammars import sql_duckdb, sql_sqlite
from grammars.errors import GrammarError
from grammars.sql_schema import Schema

_HINT = "sqlite3.connect(path), or duckdb.connect(path, read_only=True)"


@dataclass(frozen=True)
class Connected:
    """An open connection to SQLite or DuckDB. Two are equal if they are connected to the same database."""

    dialect: str
    identity: str | int
    """The path of the database, or for one in memory the identity of the connection."""
    connection: Any = field(compare=False, repr=False)

    @staticmethod
    def of(connection: Any) -> Connected:
        """Return a connection with its dialect and identity.

        Raises
        ------
        GrammarError
            If it is no connection to SQLite or DuckDB.
        """
        if isinstance(connection, sqlite3.Connection):
            path = sql_sqlite.database_path(connection)
            return Connected("sqlite", path or id(connection), connection)
        if type(connection).__name__ == "DuckDBPyConnection":
            path = sql_duckdb.database_path(connection)
            return Connected("duckdb", path or id(connection), connection)
        raise GrammarError(f"not a connection to SQLite or DuckDB: {connection!r}", hint=_HINT)

    def schema(self) -> Schema:
        """Return the tables of the database."""
        read = sql_sqlite.read_sqlite if self.dialect == "sqlite" else sql_duckdb.read_duckdb
        return read(self.connection)

    def fault(self, query: str) -> str | None:
        """Return what the database says against a query, or None."""
        explain = sql_sqlite.explain_fault if self.dialect == "sqlite" else sql_duckdb.explain_fault
        return explain(self.connection, query)
