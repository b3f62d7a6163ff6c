r"""The grammar of SELECT statements, for the mask engine.

The engine's lexer is greedy and never goes back: a lexeme must not run past a point where it could have ended
and fail only then. So white space is part of the lexemes rather than ignored between them. That also keeps words
apart (`WHERE a ANDb` is no text of this grammar), and saves the engine a step for each space:

* What follows an operand carries the white space in front of it.
* `X_` is a word with the white space that must follow it, `X` the same word bare. After a bare word comes what
  begins with a parenthesis, a quote or a sign: `pexpr` instead of `expr`, and so on. The rules below write
  `@X expr` for `(X_ expr | X pexpr)`.

Expressions are flat, operands with operators between them: precedence does not matter for what is a text. Lists
are left-recursive, which suits an Earley parser.

All rules occur twice. Those with the suffix `_c` lie within a WITH, where a table may be any identifier, since
it may be a common table expression; elsewhere tables are those of the schema.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from grammars.sql_dialects import Dialect

_SPACE = r"[ \t\r\n]"

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
"""Words as regexes in which a space stands for white space; a leading + or * for white space in front."""

_RULES = """
query: body | within
body: compound order? limit?
compound: core | compound SET_ core
core: fields from? where? group? having? windows? | values
fields: SELECT_ DISTINCT_? field | (SELECT | SELECT_ DISTINCT) pfield | fields COMMA field
field: STAR | name DOT STAR | expr alias?
pfield: STAR | QUOTED DOT STAR | pexpr alias?
from: @FROM joined
on: @ON expr | USING LP names RP
where: @WHERE expr
group: @GROUP exprs
having: @HAVING expr
windows: WINDOW_ window | windows COMMA window
window: name AS LP spec? RP
order: @ORDER term | order COMMA term
term: expr DIRECTION? NULLS?
pterm: pexpr DIRECTION? NULLS?
limit: @LIMIT expr (@OFFSET expr | COMMA expr)?
values: VALUES LP exprs RP | values COMMA LP exprs RP
source: psource | relation alias? hint?
relation: table | schema DOT table | table_function LP exprs? RP
psource: LP (query | joined) RP alias?
exprs: expr | exprs COMMA expr
pexprs: pexpr | pexprs COMMA expr
expr: operand | expr tail
pexpr: poperand | pexpr tail
tail: OPERATOR operand | MINUS unsigned | INFIX poperand | IS_ NOT_? DISTINCT_FROM_ operand
    | MATCH_ between ESCAPE_ escape | @BETWEEN between @AND operand
    | (IN_ | IN) list | IN_ relation
    | NULL_TEST | COLLATE_ (name | STRING)
list: LP (query | exprs) RP
between: operand | between (SYMBOL operand | MINUS unsigned)
pbetween: poperand | pbetween (SYMBOL operand | MINUS unsigned)
operand: unsigned | NEGATIVE_ operand | NEGATIVE unsigned
unsigned: base | SIGN operand | NOT_ operand | NOT pbase
poperand: pbase | SIGN operand | NEGATIVE_ operand | NEGATIVE unsigned
pbase: STRING | QUOTED path? | LP (query | exprs) RP
base: pbase | NUMBER | BLOB | CONSTANT | ID path? | call | case END | case @ELSE expr END
    | CAST LP expr AS_ type RP | EXISTS LP query RP
call: function LP arguments? RP filter? over?
arguments: STAR | exprs | DISTINCT_ exprs | DISTINCT pexprs
filter: FILTER LP @FIRST_WHERE expr RP
over: (OVER | OVER_) LP spec? RP | OVER_ name
spec: name | name? (partition spec_order? frame? | spec_order frame? | frame)
partition: @PARTITION exprs
spec_order: @SPEC_ORDER term | spec_order COMMA term
frame: FRAME_ (bound | FRAME_BETWEEN_ bound AND_ bound) EXCLUDE?
bound: UNBOUNDED | CURRENT | (NUMBER | STRING | LP expr RP) SIDE
case: CASE_ FIRST_WHEN_ expr @THEN expr | CASE_ FIRST_WHEN pexpr @THEN expr
    | @CASE expr @WHEN expr @THEN expr | case @WHEN expr @THEN expr
"""

_STANDARD = {
    "base": "TYPED_ STRING | INTERVAL_ (STRING | NUMBER) TYPE_WORD? | EXTRACT LP ID FROM_ expr RP | ",
    "tail": "CAST_SIGN type | ZONE_ operand | ",
    "core": "fields from? where? group? having? @QUALIFY expr | ",
}
"""Further alternatives, for the dialects that have them."""

_ORDERED = {"arguments": "(exprs | DISTINCT_ exprs) order | "}

_JOINED = """
{p}joined: {p}source | {p}joined COMMA source on? | {p}joined JOIN_ source on? | {p}joined JOIN psource on?
"""

_SHARED = """
start: query FINISH?
within: with GAP? body_c
with: WITH_ RECURSIVE_? cte | with COMMA cte
cte: name (LP names RP)? CTE_AS MATERIALIZED? LP query_c RP
names: name | names COMMA name
name: ID | QUOTED
path: DOT name (DOT name)?
alias: AS_ (name | STRING) | AS (QUOTED | STRING) | ALIAS | QUOTED_ALIAS
hint: INDEXED_ name | NOT_INDEXED
type: name | type TYPE_WORD | type LP number (COMMA number)? RP
number: NUMBER | (SIGN | NEGATIVE) NUMBER
"""


@dataclass(frozen=True)
class Names:
    """The names that queries may use.

    Parameters
    ----------
    tables:
        What may stand after FROM beside common table expressions.
    schemas:
        What may stand in front of a table, with a dot.
    functions:
        What may be called in expressions; None: anything.
    table_functions:
        What may be called after FROM.
    """

    tables: Collection[str]
    schemas: Collection[str]
    functions: Collection[str] | None
    table_functions: Collection[str]


def select_grammar(dialect: Dialect, names: Names | None = None) -> str:
    """Return the grammar, in the engine's Lark dialect; without names, any identifier is one."""
    added = (_STANDARD if dialect.standard else {}) | (_ORDERED if dialect.ordered_aggregates else {})
    if names is None:
        added["list"] = "LP RP | "  # of `x IN ()` SQLite does not look for x
    rules = _RULES + _JOINED.format(p="") + _JOINED.format(p="p")
    rules = re.sub(r"^(\w+): ", lambda rule: rule[0] + added.get(rule[1], ""), rules, flags=re.MULTILINE)
    rules = re.sub(r"@(\w+) (\w+)", r"(\1_ \2 | \1 p\2)", rules)
    return "".join((_lexemes(dialect), _SHARED, rules, _within_with(rules), _named(dialect, names)))


def _within_with(rules: str) -> str:
    """Return the copy of the rules whose tables may be common table expressions."""
    own = {"table", *re.findall(r"^(\w+):", rules, re.MULTILINE)}
    return re.sub(r"\b[a-z_]+\b", lambda found: found[0] + "_c" * (found[0] in own), rules)


def _named(dialect: Dialect, names: Names | None) -> str:
    """Return the rules of what has a name."""
    if names is None:
        return (
            "table: name\ntable_c: name\nschema: name\nfunction: ID\ntable_function: name\nescape: operand\n"
        )
    functions = "ID" if names.functions is None else _either(names.functions)
    return (
        f"table: TABLE\nTABLE: {_spellings(names.tables, dialect)}\ntable_c: name\n"
        f"schema: SCHEMA\nSCHEMA: {_spellings(names.schemas, dialect)}\n"
        f"function: FUNCTION\nFUNCTION: {functions}\n"
        "escape: CHARACTER\n"  # any other fails only when it meets a row
        f"table_function: TABLE_FUNCTION\nTABLE_FUNCTION: {_either(names.table_functions)}\n"
    )


def _lexemes(dialect: Dialect) -> str:
    quoted = {'"': r'/"(?:[^"\x00]|"")*"/', "`": r"/`(?:[^`\x00]|``)*`/", "[": r"/\[[^\]\x00]*\]/"}
    symbols = ["||", "<<", ">>", "<=", ">=", "<>", "!=", "==", "->>", "->", *"<>=*/%+&|"]
    matches = "|".join(dialect.matches)
    words = {**_WORDS, "MATCH": f"+(not +)?({matches})"}
    lines = [
        r"WORD: /[A-Za-z_\u{80}-\u{10FFFF}][A-Za-z0-9_$\u{80}-\u{10FFFF}]*/",
        f"ID: WORD & ~{_either(dialect.reserved)}",
        f"ALIAS: /{_SPACE}+/ (WORD & ~{_either(dialect.reserved | dialect.no_alias)})",
        "QUOTED: " + " | ".join(quoted[quote] for quote in dialect.quotes),
        r"STRING: /'(?:[^'\x00]|'')*'/",
        r"CHARACTER: /'(?:[^'\x00]|'')'/",
        f"QUOTED_ALIAS: /{_SPACE}*/ (QUOTED | STRING)",
        f"TYPE_WORD: /{_SPACE}+/ ID",
        r"NUMBER: /0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?/",
        r"BLOB: /[xX]'(?:[0-9a-fA-F][0-9a-fA-F])*'/",
        f"SYMBOL: /{_SPACE}*(?:(?:{'|'.join(_escaped(s) for s in symbols)}){_SPACE}*|-{_SPACE}+)/",
        f"MINUS: /{_SPACE}*-/",
        "INFIX: LOGIC | MATCH",
        "OPERATOR: LOGIC_ | MATCH_ | SYMBOL",
        "NEGATIVE: /-/",
        f"NEGATIVE_: /-{_SPACE}+/",
        f"SIGN: /[+~]{_SPACE}*/",
        "STAR: /[*]/",
        f"COMMA: /{_SPACE}*,{_SPACE}*/",
        rf"DOT: /{_SPACE}*\.{_SPACE}*/",
        rf"LP: /{_SPACE}*\({_SPACE}*/",
        rf"RP: /{_SPACE}*\)/",
        f"GAP: /{_SPACE}+/",
        f"FINISH: /{_SPACE}+|{_SPACE}*;{_SPACE}*/",
    ]
    for name, word in words.items():
        lead = _SPACE + word[0] if word[0] in "+*" else ""
        spelling = word.lstrip("+*").replace(" +", _SPACE + "+")
        lines.append(f"{name}: /{lead}(?i:{spelling})/")
        lines.append(f"{name}_: /{lead}(?i:{spelling}){_SPACE}+/")
    return "\n".join(lines) + "\n"


def _spellings(names: Collection[str], dialect: Dialect) -> str:
    """Return a terminal of names, bare where they can be, and quoted."""
    spelled = [_either(name for name in names if dialect.is_bare(name))]
    for quote in dialect.quotes:
        close = "]" if quote == "[" else quote
        inside = [name.replace(close, close * 2) for name in names if quote != "[" or close not in name]
        spelled.append(_either(quote + name + close for name in inside))
    return " | ".join(spelled)


def _either(words: Iterable[str]) -> str:
    """Return a regex of the words in any case."""
    words = "|".join(_escaped(word) for word in sorted(words))
    return f"/(?i:{words})/" if words else r"/[^\s\S]/"


def _escaped(text: str) -> str:
    return re.escape(text).replace("/", r"\/")
