"""DuckDB as the judge of queries: its own binder, on tables without rows.

As `sql_sqlite.py`, but queries are only compiled, not run: DuckDB binds names, functions and types when it
explains a query.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from typing_extensions import override

from grammars.errors import GrammarError, MatcherError
from grammars.sql_schema import Judge, Schema

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ISOLATED = {"enable_external_access": "false", "python_enable_replacements": "false", "threads": "1"}
"""So that binding opens no file, and finds no table in the variables of the program."""


class DuckDBJudge(Judge):
    """Explains queries on an empty database; without a schema, it only parses them.

    Raises
    ------
    GrammarError
        If DuckDB is not installed, or does not execute one of the statements.
    """

    def __init__(self, schema: Schema | None) -> None:
        self.name = "DuckDB parses it" if schema is None else "DuckDB binds it to empty tables"
        self._schema = schema
        self._lock = threading.Lock()
        self._database = _build(() if schema is None else schema.statements)
        self._functions = self._listed("'scalar', 'aggregate', 'window', 'macro'") | _SPECIAL
        self._table_functions = _TABLE_FUNCTIONS & self._listed("'table', 'table_macro'")

    @property
    @override
    def functions(self) -> frozenset[str]:
        return self._functions

    @property
    @override
    def table_functions(self) -> frozenset[str]:
        return self._table_functions

    def _listed(self, kinds: str) -> frozenset[str]:
        rows = self._database.execute(
            f"SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ({kinds})"
        ).fetchall()
        return frozenset(str(name).lower() for (name,) in rows)

    @override
    def fault(self, query: str) -> str | None:
        with self._lock:
            return _fault(self._database, query, bind=self._schema is not None)


_SPECIAL = frozenset(("coalesce", "nullif", "ifnull", "if", "count", "grouping", "grouping_id", "unnest"))
"""Functions that DuckDB parses itself, so that they are not in its list."""

_TABLE_FUNCTIONS = frozenset(("generate_series", "range", "unnest", "repeat", "json_each", "json_tree"))
"""Those that read nothing beside their arguments."""


@lru_cache(maxsize=16)
def duckdb_judge(schema: Schema | None) -> DuckDBJudge:
    """Return the judge of a schema; it is kept, since equal schemas share it."""
    return DuckDBJudge(schema)


def read_duckdb(connection: DuckDBPyConnection) -> Schema:
    """Return the tables and views of the current schema of a connection. Nothing is written."""
    here = "database_name = current_database() AND schema_name = current_schema() AND NOT internal"
    created = connection.execute(
        f"SELECT table_name, sql FROM (SELECT 0 AS kind, table_oid AS oid, table_name, sql FROM duckdb_tables() "
        f"WHERE {here} UNION ALL SELECT 1, view_oid, view_name, sql FROM duckdb_views() WHERE {here}) "
        "ORDER BY kind, oid"
    ).fetchall()
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, column, type_ in connection.execute(
        f"SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE {here} ORDER BY column_index"
    ).fetchall():
        columns.setdefault(table, []).append((column, type_))
    if not created:
        raise GrammarError("a database without tables", hint="is it the file, and the schema, that you mean?")
    tables = tuple((table, tuple(columns.get(table, ()))) for table, _ in created)
    return Schema(tables, tuple(sql for _, sql in created))


def read_duckdb_ddl(ddl: str) -> Schema:
    """Return the tables and views that a script creates.

    Raises
    ------
    GrammarError
        If DuckDB is not installed, or does not execute the script.
    """
    database = _build((ddl,))
    try:
        return read_duckdb(database)
    finally:
        database.close()


def explain_fault(connection: DuckDBPyConnection, query: str) -> str | None:
    """Return what DuckDB says against a query when it binds it for a connection, or None.

    Raises
    ------
    MatcherError
        If the connection cannot tell, because it is closed.
    """
    return _fault(connection, query, bind=True)


def database_path(connection: DuckDBPyConnection) -> str | None:
    """Return the path of the current database of a connection, or None if it is in memory."""
    row = connection.execute(
        "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
    ).fetchone()
    return None if row is None else row[0]


def _fault(connection: DuckDBPyConnection, query: str, *, bind: bool) -> str | None:
    duckdb = duckdb_module()
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            return "not one SELECT statement"
        if bind:
            connection.execute("EXPLAIN " + query).fetchall()
    except duckdb.ConnectionException as error:
        raise MatcherError(
            f"the connection does not tell whether a query is in order: {error}", hint="keep it open"
        ) from error
    except duckdb.Error as error:
        return str(error).split("\n", 1)[0]
    return None


def _build(statements: tuple[str, ...]) -> DuckDBPyConnection:
    duckdb = duckdb_module()
    database: DuckDBPyConnection = duckdb.connect(":memory:", config=_ISOLATED)
    for statement in statements:
        try:
            database.execute(statement)
        except duckdb.Error as error:
            database.close()
            raise GrammarError(
                f"DuckDB does not create these tables: {error}",
                hint="columns need types: {'singer': {'name': 'VARCHAR', 'age': 'INTEGER'}}",
            ) from None
    return database


def duckdb_module() -> ModuleType:
    """Return DuckDB.

    Raises
    ------
    GrammarError
        If it is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise GrammarError(
            f"SQL in the dialect of DuckDB needs it: {error}", hint="install it: pip install duckdb"
        ) from error
    return duckdb
