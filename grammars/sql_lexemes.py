"""The lexemes of SELECT statements, as `sql_grammar.py` describes them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from grammars.sql_dialects import Dialect

_SPACE = r"[ \t\r\n]{1,32}"  # not a model to idle in
_ANY = r"[ \t\r\n]{0,32}"

_WORDS = {
    "SELECT": "select",
    "VALUES": "values",
    "WITH": "with",
    "RECURSIVE": "recursive",
    "DISTINCT": "distinct|all",
    "AS": "+as",
    "CTE_AS": "*as",
    "FROM": "+from",
    "JOIN": r"+(natural +)?((left|right|full)( +outer)? +|inner +|cross +)?join",
    "ON": "+on",
    "USING": "+using",
    "WHERE": "+where",
    "FIRST_WHERE": "where",
    "GROUP": "+group +by",
    "HAVING": "+having",
    "WINDOW": "+window",
    "ORDER": "+order +by",
    "SPEC_ORDER": "*order +by",
    "PARTITION": "*partition +by",
    "LIMIT": "+limit",
    "OFFSET": "+offset",
    "SET": "+(union( +all)?|intersect|except)",
    "AND": "+and",
    "LOGIC": "+(and|or|is)",
    "IS": "+is",
    "DISTINCT_FROM": "distinct +from",
    "NOT": "not",
    "BETWEEN": "+(not +)?between",
    "FRAME_BETWEEN": "between",
    "IN": "+(not +)?in",
    "ESCAPE": "+escape",
    "COLLATE": "+collate",
    "CASE": "case",
    "FIRST_WHEN": "when",
    "WHEN": "+when",
    "THEN": "+then",
    "ELSE": "+else",
    "END": "+end",
    "CAST": "cast",
    "EXISTS": "exists",
    "OVER": "*over",
    "FILTER": "*filter",
    "FRAME": "*(rows|range|groups)",
    "UNBOUNDED": "unbounded +(preceding|following)",
    "CURRENT": "current +row",
    "SIDE": "+(preceding|following)",
    "EXCLUDE": "+exclude +(no +others|current +row|group|ties)",
    "DIRECTION": "+(asc|desc)",
    "NULLS": "+nulls +(first|last)",
    "NULL_TEST": "+(isnull|notnull|not +null)",
    "MATERIALIZED": "+(not +)?materialized",
    "INDEXED": "+indexed +by",
    "NOT_INDEXED": "+not +indexed",
    "CONSTANT": "null|true|false|current_date|current_time|current_timestamp",
    "TYPED": "date|time|timestamp",
    "INTERVAL": "interval",
    "EXTRACT": "extract",
    "CAST_SIGN": "*::",
    "ZONE": "+at +time +zone",
    "QUALIFY": "+qualify",
}
"""Words as regexes, in which ` +` stands for white space; a leading + or * demands or allows it in front."""


def lexemes(dialect: Dialect) -> str:
    """Return the definitions of all lexemes but those of names."""
    quoted = {'"': r'/"(?:[^"\x00]|"")*"/', "`": r"/`(?:[^`\x00]|``)*`/", "[": r"/\[[^\]\x00]*\]/"}
    symbols = ["||", "<<", ">>", "<=", ">=", "<>", "!=", "==", "->>", "->", *"<>=*/%+&|"]
    matches = "|".join(dialect.matches)
    words = {**_WORDS, "MATCH": f"+(not +)?({matches})"}
    lines = [
        r"WORD: /[A-Za-z_\u{80}-\u{10FFFF}][A-Za-z0-9_$\u{80}-\u{10FFFF}]*/",
        f"ID: WORD & ~{either(dialect.reserved)}",
        f"ALIAS: /{_SPACE}/ (WORD & ~{either(dialect.reserved | dialect.no_alias)})",
        "DOUBLE_QUOTED: " + quoted['"'],
        "QUOTED: " + " | ".join(quoted[quote] for quote in dialect.quotes),
        r"STRING: /'(?:[^'\x00]|'')*'/",
        r"CHARACTER: /'(?:[^'\x00]|'')'/",
        f"QUOTED_ALIAS: /{_ANY}/ (QUOTED | STRING)",
        f"TYPE_WORD: /{_SPACE}/ ID",
        r"NUMBER: /0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?/",
        r"BLOB: /[xX]'(?:[0-9a-fA-F][0-9a-fA-F])*'/",
        f"SYMBOL: /{_ANY}(?:(?:{'|'.join(_escaped(s) for s in symbols)}){_ANY}|-{_SPACE})/",
        f"MINUS: /{_ANY}-/",
        "INFIX: LOGIC | MATCH",
        "OPERATOR: LOGIC_ | MATCH_ | SYMBOL",
        "NEGATIVE: /-/",
        f"NEGATIVE_: /-{_SPACE}/",
        f"SIGN: /[+~]{_ANY}/",
        "STAR: /[*]/",
        f"COMMA: /{_ANY},{_ANY}/",
        rf"DOT: /{_ANY}\.{_ANY}/",
        rf"LP: /{_ANY}\({_ANY}/",
        rf"RP: /{_ANY}\)/",
        f"GAP: /{_SPACE}/",
        f"FINISH: /{_SPACE}|{_ANY};{_ANY}/",
    ]
    for name, word in words.items():
        lead = {"+": _SPACE, "*": _ANY}.get(word[0], "")
        spelling = word.lstrip("+*").replace(" +", _SPACE)
        lines.append(f"{name}: /{lead}(?i:{spelling})/")
        lines.append(f"{name}_: /{lead}(?i:{spelling}){_SPACE}/")
    return "\n".join(lines) + "\n"


def spellings(names: Collection[str], dialect: Dialect) -> tuple[str, str]:
    """Return terminals of names: bare, where they can be, and quoted."""
    quoted = []
    for quote in dialect.quotes:
        close = "]" if quote == "[" else quote
        inside = [name.replace(close, close * 2) for name in names if quote != "[" or close not in name]
        quoted.append(either(quote + name + close for name in inside))
    return either(name for name in names if dialect.is_bare(name)), " | ".join(quoted)


def either(words: Iterable[str]) -> str:
    """Return a regex of the words in any case."""
    words = "|".join(_escaped(word) for word in sorted(words))
    return f"/(?i:{words})/" if words else r"/[^\s\S]/"


def _escaped(text: str) -> str:
    return re.escape(text).replace("/", r"\/")
