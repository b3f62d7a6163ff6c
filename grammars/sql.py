"""SQL: SELECT statements in a dialect, on the tables of a schema.

    L(SQL(dialect, schema)) = {t : the grammar generates t, and the judge of the dialect finds no fault in t}

The grammar (`sql_grammar.py`) is that of SELECT as people write it. It offers a mask, in which the tables are
those of the schema. The judge decides about the complete text: for SQLite and DuckDB it is their own compiler, on
a database in memory with the tables of the schema and without rows, for the others sqlglot, which resolves tables
and columns. Without a schema any name will do, and the judge only parses.

In the dialect of SQLite with a schema, faults are also found while a query is written (`sql_matcher.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

from typing_extensions import override

from grammars.constraint import Constraint, Matcher
from grammars.errors import GrammarError, ParseError
from grammars.llguidance import GrammarMatcher
from grammars.sql_connection import Connected
from grammars.sql_dialects import dialect_of
from grammars.sql_duckdb import duckdb_judge, read_duckdb_ddl
from grammars.sql_grammar import Names, select_grammar
from grammars.sql_matcher import QueryMatcher
from grammars.sql_schema import Columns, Judge, Schema, quoted, read_mapping
from grammars.sql_scope import check_dialect, read_ddl, sqlglot_judge
from grammars.sql_sqlite import read_sqlite_ddl, sqlite_judge
from grammars.vocabulary import Vocabulary

ColumnNames: TypeAlias = Literal["any", "schema"]


@dataclass(frozen=True, init=False, repr=False)
class SQL(Constraint):
    """The SELECT statements of a dialect that are in order on the tables of a schema.

    One statement, which may begin with WITH or VALUES; at its end white space or a semicolon may stand. No
    comments and no parameters (`?`, `:name`).

    Parameters
    ----------
    dialect:
        "sqlite", "duckdb" (which must be installed), or a dialect of sqlglot (which must be installed).
    schema:
        The tables, as a mapping from their names to the names of the columns, or to a mapping from these to
        their types, which DuckDB needs; or a `Schema`. None: any tables and columns, the syntax alone counts.
    explain:
        An open connection to a SQLite or DuckDB database, in which every complete query is also explained, as the
        last word. The query is not run, and nothing is written.
    columns:
        "any": what a column is called is left to the judge, since subqueries can give columns new names.
        "schema": outside of WITH, columns are called as in the schema, which the mask sees to, and qualified by
        tables or by aliases of at most four characters; new names serve only in GROUP BY, HAVING and ORDER BY.

    Raises
    ------
    GrammarError
        If the dialect is unknown or a package is missing; if the schema is none; if `explain` is no connection to
        a database of this dialect.
    """

    dialect: str
    schema: Schema | None
    columns: ColumnNames
    explain: Connected | None

    def __init__(
        self,
        dialect: str = "sqlite",
        schema: Mapping[str, Columns] | Schema | None = None,
        explain: Any = None,
        *,
        columns: ColumnNames = "any",
    ) -> None:
        if not isinstance(dialect, str):
            raise GrammarError(f"not a dialect: {dialect!r}", hint="such as dialect='sqlite'")
        if dialect not in ("sqlite", "duckdb"):
            check_dialect(dialect)
        if columns not in get_args(ColumnNames) or (columns == "schema" and schema is None):
            raise GrammarError(
                f"columns={columns!r}" + (" without a schema" if schema is None else ""),
                hint=f"one of {', '.join(get_args(ColumnNames))}; 'schema' needs one",
            )
        connected = None if explain is None else Connected.of(explain)
        if connected is not None and connected.dialect != dialect:
            raise GrammarError(
                f"a connection to {connected.dialect} cannot explain queries in the dialect {dialect!r}",
                hint="SQL.from_connection(connection, explain=True) takes the dialect from the connection",
            )
        read = schema if schema is None or isinstance(schema, Schema) else read_mapping(schema)
        object.__setattr__(self, "dialect", dialect)
        object.__setattr__(self, "schema", read)
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "explain", connected)
        _ = self._judge  # so that tables that cannot be built are refused here

    @staticmethod
    def from_ddl(ddl: str, dialect: str = "sqlite", *, columns: ColumnNames = "any") -> SQL:
        """Return the constraint of the tables and views that a script creates.

        Raises
        ------
        GrammarError
            If the script is not one of the dialect; the message is the database's, or sqlglot's.
        """
        if not isinstance(ddl, str):
            raise GrammarError(f"not a script: {ddl!r}", hint="of a file, pass its text")
        readers = {"sqlite": read_sqlite_ddl, "duckdb": read_duckdb_ddl}
        reader = readers.get(dialect)
        return SQL(dialect, read_ddl(ddl, dialect) if reader is None else reader(ddl), columns=columns)

    @staticmethod
    def from_connection(connection: Any, explain: bool = False, *, columns: ColumnNames = "any") -> SQL:
        """Return the constraint of the tables and views that an open SQLite or DuckDB database has now.

        Of SQLite these are the tables of the main database and the functions and collations of the connection, of
        DuckDB the tables of the current schema. Only the schema is read; nothing is written.

        Parameters
        ----------
        connection:
            The connection.
        explain:
            Whether each complete query is also explained in the database, as the last word. The database is then
            a part of the constraint: two are equal only if they explain in the same one, told by its path, or by
            its connection if it is in memory.
        columns:
            As of `SQL`.

        Raises
        ------
        GrammarError
            If it is no such connection, or has no tables.
        """
        connected = Connected.of(connection)
        return SQL(connected.dialect, connected.schema(), connection if explain else None, columns=columns)

    def __str__(self) -> str:
        tables = "" if self.schema is None else ", tables " + ", ".join(self.schema.names[:4])
        more = "" if self.schema is None or len(self.schema.names) <= 4 else ", ..."
        named = "" if self.columns == "any" else f", columns={self.columns!r}"
        live = "" if self.explain is None else f", explained in {self.explain.identity}"
        return f"SQL({self.dialect}{tables}{more}{named}{live})"

    __repr__ = __str__

    @cached_property
    def _judge(self) -> Judge:
        judges = {"sqlite": sqlite_judge, "duckdb": duckdb_judge}
        judge = judges.get(self.dialect)
        return sqlglot_judge(self.dialect, self.schema) if judge is None else judge(self.schema)

    @cached_property
    def _grammar(self) -> str:
        dialect, judge = dialect_of(self.dialect), self._judge
        if self.schema is None:
            return select_grammar(dialect)
        functions = judge.functions
        if functions is not None and self.dialect == "sqlite":  # there `a MATCH b` is match(b, a)
            matches = tuple(match for match in dialect.matches if match in functions)
            dialect = replace(dialect, matches=matches)
        names = Names(
            self.schema.names,
            () if functions is None else ("main",),
            None if functions is None else list(filter(dialect.is_bare, functions)),
            judge.table_functions,
            None if self.columns == "any" else self.schema.columns | judge.hidden_columns,
        )
        return select_grammar(dialect, names)

    @cached_property
    def _hints(self) -> tuple[bytes, ...]:
        """What leads to a query that says something: its beginning, tables after FROM, columns."""
        if self.schema is None:
            return ()
        dialect = dialect_of(self.dialect)

        def spelled(names: Iterable[str]) -> list[str]:
            return [name if dialect.is_bare(name) else quoted(name) for name in names]

        tables, columns = spelled(self.schema.names), spelled(sorted(self.schema.columns))
        words = ["SELECT", *(f"FROM {table}" for table in tables), *columns]
        return tuple(f"{word} ".encode() for word in words)

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        if self._judge.early:
            return QueryMatcher(vocabulary, self._grammar, self._judge, self._hints)
        return GrammarMatcher(vocabulary, self._grammar)

    @override
    def accepts(self, text: bytes) -> bool:
        return self._fault(text.decode()) is None

    @property
    @override
    def final_checks(self) -> tuple[str, ...]:
        return (self._judge.name, *(("the database explains it",) if self.explain else ()))

    @override
    def parse(self, text: str) -> str:
        """Return the text.

        Raises
        ------
        ParseError
            If `text` is not in the language, with what the judge says against it.
        """
        if not isinstance(text, str):
            self.require(text)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ParseError(f"a lone surrogate in {text!r}", hint="texts are Unicode")
        fault = self._fault(text)
        if fault is not None:
            raise ParseError(f"{fault}: {_short(text)}", hint=f"{self} demands: {self._judge.name}")
        if not self.matches(text):
            raise ParseError(
                f"not spelled as the grammar of SELECT has it: {_short(text)}",
                hint="the documentation lists what it leaves out, such as comments and parameters",
            )
        return text

    def _fault(self, text: str) -> str | None:
        """Return what the judges say against a text that the grammar generates, or None."""
        fault = self._judge.fault(text)
        return self.explain.fault(text) if fault is None and self.explain is not None else fault


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
