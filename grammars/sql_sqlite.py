"""SQLite as the judge of queries: its own compiler, and a run on empty tables.

A schema is built as a database in memory, without rows, on which nothing but SELECT is authorised. A query is in
order if it runs there without error; one that runs for long is stopped, and taken to be in order. So names,
functions, their numbers of arguments, aggregates, set operations and all else are judged as SQLite does, in the
version that Python is linked with.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from contextlib import closing
from functools import lru_cache
from typing import Any

from typing_extensions import override

from grammars.errors import GrammarError, MatcherError
from grammars.sql_schema import Judge, Schema, quoted

_SYNTAX = re.compile(r'near ".*": syntax error|unrecognized token|incomplete input|syntax error', re.DOTALL)
_NAMES = r"no such (table|column|function)|ambiguous column name"
_DEFINITE = re.compile(
    rf"{_NAMES}|wrong number of arguments|misuse of aggregate|SELECTs to the left and right of|"
    r"\d+\w\w (ORDER|GROUP) BY term out of range"
)
_DEFINITE_IN_CALL = re.compile(_NAMES)
_STEPS, _STOPS = (
    1000,
    100,
)  # a query is stopped after 100 000 steps of the virtual machine, a few milliseconds
_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_TABLE_FUNCTIONS = frozenset({"json_each", "json_tree", "generate_series"})
_OF_VIRTUAL_TABLES = frozenset({"match", "bm25", "highlight", "matchinfo", "offsets", "optimize", "snippet"})
"""Functions that fail when they meet the row of another table."""

_LONGEST = 1_000_000  # bytes of a string that a query may build on empty tables


class SQLiteJudge(Judge):
    """Runs queries on an empty database; without a schema, it only compiles them, and tells faults of syntax.

    Raises
    ------
    GrammarError
        If SQLite does not execute one of the statements.
    """

    def __init__(self, schema: Schema | None) -> None:
        self.name = "SQLite parses it" if schema is None else "SQLite runs it on empty tables"
        self.early = schema is not None
        self._schema = schema
        self._lock = threading.Lock()
        self._database = _build(schema or Schema(()))
        self._functions = frozenset(name for name, _ in _functions(self._database)) - {"load_extension"}
        if not any(
            re.match(r"create\s+virtual\b", s, re.IGNORECASE) for s in (schema or Schema(())).statements
        ):
            self._functions -= _OF_VIRTUAL_TABLES - {name for name, *_ in (schema or Schema(())).functions}
        modules = {name for (name,) in self._database.execute("SELECT name FROM pragma_module_list")}
        self._table_functions = _TABLE_FUNCTIONS & modules
        for name in self._table_functions:  # they must have been used once before the authorizer stands
            self._database.execute(f"SELECT 1 FROM {name}(0) LIMIT 1").close()
        self._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        self._database.text_factory = bytes
        self._database.set_authorizer(_authorize)

    @property
    @override
    def functions(self) -> frozenset[str]:
        return self._functions

    @property
    @override
    def table_functions(self) -> frozenset[str]:
        return self._table_functions

    @property
    @override
    def hidden_columns(self) -> frozenset[str]:
        return frozenset({"rowid", "oid", "_rowid_"})

    @override
    def fault(self, query: str) -> str | None:
        error = self._error("EXPLAIN " + query if self._schema is None else query)
        if error is None or getattr(error, "sqlite_errorname", "") in ("SQLITE_INTERRUPT", "SQLITE_TOOBIG"):
            return None
        if self._schema is None and not _SYNTAX.match(str(error)):
            return None
        return str(error)

    @override
    def definite_fault(self, query: str, *, in_call: bool) -> str | None:
        error = self._error("EXPLAIN " + query)
        definite = _DEFINITE_IN_CALL if in_call else _DEFINITE
        return str(error) if error is not None and definite.match(str(error)) else None

    def _error(self, statement: str) -> sqlite3.Error | None:
        stops = 0

        def progress() -> int:
            nonlocal stops
            stops += 1
            return int(stops >= _STOPS)

        with self._lock:
            self._database.set_progress_handler(progress, _STEPS)
            try:
                with closing(self._database.execute(statement)) as cursor:
                    for _ in cursor:
                        pass
            except sqlite3.Error as error:
                return error
        return None


@lru_cache(maxsize=64)
def sqlite_judge(schema: Schema | None) -> SQLiteJudge:
    """Return the judge of a schema; it is kept, since equal schemas share it."""
    return SQLiteJudge(schema)


def read_sqlite(connection: sqlite3.Connection) -> Schema:
    """Return the tables and views of the main database of a connection. Nothing is written."""
    rows = _rows(
        connection,
        "SELECT type, name, sql FROM sqlite_master "
        "WHERE type IN ('table', 'view', 'index') AND sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
        "ORDER BY type = 'index', rowid",  # an index after its table
    )
    shadows = {row[1] for row in _rows(connection, "PRAGMA table_list") if row[2] == "shadow"}
    tables = []
    for kind, name, _ in rows:
        if kind != "index" and name not in shadows:
            columns = _columns(connection, name)
            if columns:
                tables.append((name, columns))
    if not tables:
        raise GrammarError("a database without tables", hint="is it the file that you mean, and committed?")
    with closing(sqlite3.connect(":memory:")) as plain:
        known, collations = _functions(plain), _collations(plain)
    return Schema(
        tuple(tables),
        tuple(statement for _, _, statement in rows),
        tuple(sorted((*key, kind) for key, kind in _functions(connection).items() if key not in known)),
        tuple(sorted(_collations(connection) - collations)),
    )


def read_sqlite_ddl(ddl: str) -> Schema:
    """Return the tables and views that a script creates.

    Raises
    ------
    GrammarError
        If SQLite does not execute the script.
    """
    with closing(sqlite3.connect(":memory:")) as database:
        database.set_authorizer(_authorize_script)
        try:
            database.executescript(ddl)
        except (sqlite3.Error, ValueError) as error:
            raise _ddl_error(error) from None
        database.set_authorizer(None)
        return read_sqlite(database)


def explain_fault(connection: sqlite3.Connection, query: str) -> str | None:
    """Return what SQLite says against a query when it compiles it for a connection, or None.

    Raises
    ------
    MatcherError
        If the connection cannot tell: it is closed, locked, or of another thread.
    """
    try:
        connection.execute("EXPLAIN " + query).close()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", None) in ("SQLITE_ERROR", "SQLITE_AUTH", "SQLITE_MISMATCH"):
            return str(error)
        raise MatcherError(
            f"the connection does not tell whether a query is in order: {error}",
            hint="keep it open and unlocked, and open it with check_same_thread=False if other threads sample",
        ) from error
    return None


def database_path(connection: sqlite3.Connection) -> str | None:
    """Return the path of the main database of a connection, or None if it is in memory."""
    return next(path or None for _, name, path in _rows(connection, "PRAGMA database_list") if name == "main")


def _rows(connection: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, whatever rows and texts are to the user of the connection."""
    with closing(connection.cursor()) as cursor:
        cursor.row_factory = None
        rows = cursor.execute(query).fetchall()
    return [tuple(value.decode() if isinstance(value, bytes) else value for value in row) for row in rows]


def _columns(connection: sqlite3.Connection, table: str) -> tuple[tuple[str, str], ...]:
    """Return names and types of the columns; none for a view that no longer compiles, which no query can use."""
    try:
        rows = _rows(connection, f"PRAGMA table_xinfo({quoted(table)})")
    except sqlite3.OperationalError:
        return ()
    return tuple((row[1], row[2]) for row in rows if row[6] != 1)  # 1: hidden, in virtual tables


def _functions(connection: sqlite3.Connection) -> dict[tuple[str, int], str]:
    """Return the kinds (s: scalar, a: aggregate, w: window) of the functions, by name and number of arguments."""
    rows = _rows(connection, "SELECT name, narg, type FROM pragma_function_list")
    return {(str(name).lower(), arity): kind for name, arity, kind in rows}


def _collations(connection: sqlite3.Connection) -> set[str]:
    return {row[1] for row in _rows(connection, "PRAGMA collation_list")}


class _Null:
    """Stands for an aggregate function of the user's."""

    def step(self, *values: Any) -> None: ...

    def inverse(self, *values: Any) -> None: ...

    def value(self) -> None: ...

    def finalize(self) -> None: ...


def _build(schema: Schema) -> sqlite3.Connection:
    """Return a database in memory with the tables of the schema; the functions of the user's return NULL there."""
    database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    for name, arity, kind in schema.functions:
        if kind == "s":
            database.create_function(name, arity, lambda *_: None, deterministic=True)
        else:
            aggregate: Any = _Null
            database.create_window_function(name, arity, aggregate)
    for name in schema.collations:
        database.create_collation(name, lambda a, b: (a > b) - (a < b))
    for statement in schema.statements:
        try:
            database.execute(statement)
        except sqlite3.Error as error:
            if "already exists" not in str(error):  # made by the virtual table that it belongs to
                database.close()
                raise _ddl_error(error, statement) from None
    return database


def _ddl_error(error: Exception, statement: str | None = None) -> GrammarError:
    where = (
        ""
        if statement is None
        else f"\n    {statement if len(statement) <= 200 else statement[:197] + '...'}"
    )
    return GrammarError(
        f"SQLite does not create these tables: {error}{where}",
        hint="CREATE TABLE and CREATE VIEW statements of SQLite, or a mapping from tables to columns",
    )


def _authorize(action: int, name: str | None, *_: Any) -> int:
    reads = action in _READING or (action, name) == (sqlite3.SQLITE_PRAGMA, "data_version")  # which FTS5 asks
    return sqlite3.SQLITE_OK if reads else sqlite3.SQLITE_DENY


def _authorize_script(action: int, *_: Any) -> int:
    forbidden = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
    return sqlite3.SQLITE_DENY if action in forbidden else sqlite3.SQLITE_OK
