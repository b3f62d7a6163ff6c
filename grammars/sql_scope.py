"""sqlglot as the judge of queries, for the dialects that have no compiler at hand: names, in their scopes.

sqlglot parses a query and resolves its names: every table is one of the schema or a common table expression,
every column belongs to exactly one table in scope, aliases are seen through, and the sides of UNION and the like
have equally many columns. It knows no functions and no types, and it parses more than databases do.
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import ModuleType
from typing import Any

from typing_extensions import override

from grammars.errors import GrammarError
from grammars.sql_schema import Judge, Schema


class SqlglotJudge(Judge):
    """Parses queries, and resolves their names in a schema if there is one.

    Raises
    ------
    GrammarError
        If sqlglot is not installed.
    """

    def __init__(self, dialect: str, schema: Schema | None) -> None:
        self.name = "sqlglot parses it" if schema is None else "sqlglot finds its tables and columns"
        self._dialect = dialect
        self._sqlglot = sqlglot_module()
        self._tables = None if schema is None else {table: dict(columns) for table, columns in schema.tables}
        self._names = {name.lower() for name in self._tables or ()}

    @override
    def fault(self, query: str) -> str | None:
        try:
            statements = self._sqlglot.parse(query, read=self._dialect)
            if len(statements) != 1 or not isinstance(statements[0], self._sqlglot.exp.Query):
                return "not one SELECT statement"
            return None if self._tables is None else self._scope_fault(statements[0])
        except self._sqlglot.errors.SqlglotError as error:
            return _message(error)
        except RecursionError:
            return "nested too deeply for sqlglot"

    def _scope_fault(self, tree: Any) -> str | None:
        from sqlglot.optimizer.scope import traverse_scope

        exp = self._sqlglot.exp
        source: Any
        for scope in traverse_scope(tree):
            for source in scope.sources.values():
                named = isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier)
                if named and source.name.lower() not in self._names:
                    return f"no such table: {source.name}"
        qualified = _qualified(tree, self._tables, self._dialect)
        for operation in qualified.find_all(exp.SetOperation):
            if len(operation.left.selects) != len(operation.right.selects):
                return f"the sides of {operation.key.upper()} have different numbers of columns"
        return None


@lru_cache(maxsize=64)
def sqlglot_judge(dialect: str, schema: Schema | None) -> SqlglotJudge:
    """Return the judge of a schema."""
    return SqlglotJudge(dialect, schema)


def read_ddl(ddl: str, dialect: str) -> Schema:
    """Return the tables and views that a script creates, as sqlglot reads it.

    Raises
    ------
    GrammarError
        If sqlglot is not installed or does not parse the script, or if the columns of a table are not in it.
    """
    sqlglot = sqlglot_module()
    exp = sqlglot.exp
    tables: dict[str, dict[str, str]] = {}
    try:
        for statement in sqlglot.parse(ddl, read=dialect):
            if not isinstance(statement, exp.Create) or statement.kind not in ("TABLE", "VIEW"):
                continue
            name = statement.find(exp.Table).name
            columns = {
                c.name: c.kind.sql(dialect=dialect) if c.kind else ""
                for c in statement.find_all(exp.ColumnDef)
            }
            if not columns and statement.expression is not None:
                query = _qualified(statement.expression.copy(), tables, dialect)
                columns = dict.fromkeys(query.named_selects, "")
            if not columns or "*" in columns:
                raise GrammarError(f"the columns of {name!r} are not in the script", hint=_HINT)
            tables[name] = columns
    except sqlglot.errors.SqlglotError as error:
        raise GrammarError(f"sqlglot does not read this script: {_message(error)}", hint=_HINT) from None
    if not tables:
        raise GrammarError("a script that creates no table", hint=_HINT)
    return Schema(tuple((name, tuple(columns.items())) for name, columns in tables.items()))


def _message(error: Exception) -> str:
    """Return what sqlglot says, without the excerpt and its colours."""
    return re.sub("\x1b[^m]*m", "", str(error)).split("\n", 1)[0]


_HINT = "CREATE TABLE and CREATE VIEW statements with all columns, or a mapping from tables to columns"


def _qualified(tree: Any, tables: Any, dialect: str) -> Any:
    """Return the query with all names resolved, or raise an error of sqlglot."""
    from sqlglot.optimizer.qualify import qualify

    return qualify(tree, schema=tables, dialect=dialect, quote_identifiers=False)


def check_dialect(dialect: str) -> None:
    """Raise `GrammarError` unless sqlglot knows the dialect."""
    known = sqlglot_module().Dialects
    if dialect not in {str(name.value) for name in known if name.value}:
        names = ", ".join(sorted(name.value for name in known if name.value))
        raise GrammarError(f"unknown dialect {dialect!r}", hint=f"one of {names}")


def sqlglot_module() -> ModuleType:
    """Return sqlglot.

    Raises
    ------
    GrammarError
        If it is not installed.
    """
    try:
        import sqlglot
    except ImportError as error:
        raise GrammarError(
            f"SQL in dialects other than sqlite and duckdb needs sqlglot: {error}",
            hint="install it: pip install 'ppl[sql]'",
        ) from error
    return sqlglot
