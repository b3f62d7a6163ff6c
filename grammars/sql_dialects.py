"""What differs between dialects of SQL, as far as the grammar of SELECT goes."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COMMON = _words(
    """all alter and as between case check collate constraint create default deferrable delete distinct drop else
    except exists foreign from group having in index insert intersect into is isnull join limit not notnull null
    on or order primary references select set table then to union unique update using values when where"""
)
_SQLITE = _COMMON | _words("add autoincrement commit escape nothing returning transaction")
_JOINS = _words("cross full inner left natural outer right")
_STANDARD = (
    _COMMON
    | _JOINS
    | _words(
        """any array asc both cast desc end false fetch for leading only qualify some trailing true window with"""
    )
)


@dataclass(frozen=True)
class Dialect:
    """What differs between dialects in the grammar.

    Parameters
    ----------
    reserved:
        Words that are no identifiers, unless they are quoted.
    quotes:
        The characters that open a quoted identifier.
    matches:
        Infix operators that are words, and which NOT may precede.
    standard:
        Whether there are `::`, QUALIFY, EXTRACT, INTERVAL and literals such as `DATE '2024-02-29'`.
    ordered_aggregates:
        Whether the arguments of an aggregate function can be ordered, as in `f(x ORDER BY y)`.
    """

    reserved: frozenset[str]
    quotes: str
    matches: tuple[str, ...]
    standard: bool
    ordered_aggregates: bool

    @property
    def no_alias(self) -> frozenset[str]:
        """Words that are identifiers, but no alias without AS."""
        return _JOINS | set(self.matches)

    def is_bare(self, name: str) -> bool:
        """Return whether `name` needs no quotes."""
        return bool(re.fullmatch(r"[A-Za-z_\x80-\U0010ffff][0-9A-Za-z_$\x80-\U0010ffff]*", name)) and (
            name.lower() not in self.reserved
        )


def dialect_of(name: str) -> Dialect:
    """Return what the grammar needs to know about SQLite, DuckDB or a dialect of sqlglot's."""
    if name == "sqlite":
        ordered = sqlite3.sqlite_version_info >= (3, 44)
        return Dialect(_SQLITE, '"`[', ("like", "glob", "match", "regexp"), False, ordered)
    matches = ("like", "ilike", "glob") if name == "duckdb" else ("like", "ilike", "rlike", "regexp")
    return Dialect(_STANDARD, _QUOTES.get(name, '"'), matches, True, True)


_QUOTES = {"tsql": '"[', "fabric": '"['} | dict.fromkeys(
    _words("bigquery clickhouse databricks doris drill hive mysql singlestore spark spark2 starrocks"), "`"
)
