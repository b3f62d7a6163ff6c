"""The tables of a database as a value, and the judge that each dialect has for its queries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grammars.errors import GrammarError

Columns: TypeAlias = Sequence[str] | Mapping[str, str]
"""The names of the columns of a table, or their types by name."""

_MAPPING = 'such as {"singer": ["name", "age"]}, or {"singer": {"name": "TEXT", "age": "INTEGER"}}'


@dataclass(frozen=True)
class Schema:
    """The tables and views that queries may name, and the statements that create them."""

    tables: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    """Of each table or view the name and the columns: their names and types, "" where there is none."""
    statements: tuple[str, ...] = ()
    """What creates them in an empty database; empty where the dialect has none to ask."""
    functions: tuple[tuple[str, int, str], ...] = ()
    """Functions that SQLite does not have by itself: name, number of arguments or -1, and kind (s, a or w)."""
    collations: tuple[str, ...] = ()
    """Collations that SQLite does not have by itself."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tables and views."""
        return tuple(name for name, _ in self.tables)

    @property
    def columns(self) -> frozenset[str]:
        """The names of the columns of all tables."""
        return frozenset(column for _, columns in self.tables for column, _ in columns)


class Judge(ABC):
    """What decides about complete queries on the tables of a schema."""

    name: str
    """What the judge does, for `final_checks`."""

    @abstractmethod
    def fault(self, query: str) -> str | None:
        """Return what is wrong with a query that the grammar generates, or None."""

    early = False
    """Whether `definite_fault` ever finds one."""

    def definite_fault(self, query: str, *, in_call: bool) -> str | None:
        """Return a fault of a query that no text appended to its open clause mends, or None if none is known.

        Parameters
        ----------
        query:
            A query, cut where a name or clause of its last clause ended, and completed by closing parentheses.
        in_call:
            Whether they complete calls of functions, too, so that only names count.
        """
        return None

    @property
    def functions(self) -> frozenset[str] | None:
        """The functions that may stand in expressions, in lower case, or None where they are not known."""
        return None

    @property
    def table_functions(self) -> frozenset[str]:
        """The functions that may stand after FROM; not asked where `functions` is None."""
        return frozenset()

    @property
    def hidden_columns(self) -> frozenset[str]:
        """The names of columns that tables have without saying so."""
        return frozenset()


def read_mapping(tables: Mapping[str, Columns]) -> Schema:
    """Return the schema of a mapping from tables to their columns.

    Raises
    ------
    GrammarError
        If it is no such mapping, or if a name occurs twice, in whatever case.
    """
    if not isinstance(tables, Mapping):
        raise GrammarError(f"not a schema: {tables!r}", hint=_MAPPING)
    if not tables:
        raise GrammarError("a schema without tables", hint=_MAPPING + "; None is any schema")
    read = tuple((_name(table), _columns(table, columns)) for table, columns in tables.items())
    _check_distinct((name for name, _ in read), "the schema")
    return Schema(read, tuple(_create(name, columns) for name, columns in read))


def _columns(table: str, columns: Columns) -> tuple[tuple[str, str], ...]:
    if isinstance(columns, str) or not isinstance(columns, Sequence | Mapping) or not columns:
        raise GrammarError(f"not the columns of table {table!r}: {columns!r}", hint=_MAPPING)
    typed = columns.items() if isinstance(columns, Mapping) else ((column, "") for column in columns)
    read = tuple((_name(column), type_) for column, type_ in typed)
    for column, type_ in read:
        if not isinstance(type_, str):
            raise GrammarError(f"not the type of column {column!r}: {type_!r}", hint=_MAPPING)
    _check_distinct((column for column, _ in read), f"table {table!r}")
    return read


def _name(name: str) -> str:
    if not isinstance(name, str) or not name or "\0" in name:
        raise GrammarError(f"not the name of a table or column: {name!r}", hint=_MAPPING)
    return name


def _check_distinct(names: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise GrammarError(f"{name!r} occurs twice in {where}", hint="SQL ignores case in names")
        seen.add(name.lower())


def _create(table: str, columns: tuple[tuple[str, str], ...]) -> str:
    inside = ", ".join(f"{quoted(column)} {type_}".rstrip() for column, type_ in columns)
    return f"CREATE TABLE {quoted(table)} ({inside})"


def quoted(name: str) -> str:
    """Return a name as a quoted identifier of standard SQL."""
    return '"' + name.replace('"', '""') + '"'
