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

Rules occur in copies. Those with the suffix `_c` lie within a WITH, where a table may be any identifier, since it
may be a common table expression; elsewhere tables are those of the schema. If columns are to be those of the
schema, too, they still may be aliases in GROUP BY, HAVING, ORDER BY and LIMIT, where the rules have the suffix `_x`;
the rules below write `!expr` there.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from grammars.sql_dialects import Dialect
from grammars.sql_lexemes import either, lexemes, spellings

_RULES = """
query: body | within
body: compound order? limit?
compound: core | compound SET_ core
core: fields from? where? group? having? windows? | values
fields: SELECT_ DISTINCT_? field | (SELECT | SELECT_ DISTINCT) pfield | fields COMMA field
field: STAR | qualifier DOT STAR | expr alias?
pfield: STAR | QUOTED DOT STAR | pexpr alias?
from: @FROM joined
on: @ON expr | USING LP columns RP
columns: any_column | columns COMMA any_column
where: @WHERE expr
group: @GROUP !exprs
having: @HAVING !expr
windows: WINDOW_ window | windows COMMA window
window: name AS LP spec? RP
order: @ORDER !term | order COMMA !term
limit: @LIMIT !expr (@OFFSET !expr | COMMA !expr)?
values: VALUES LP exprs RP | values COMMA LP exprs RP
source: psource | relation alias? hint?
relation: table | schema DOT table | table_function LP exprs? RP
psource: LP (query | joined) RP alias?
"""

_EXPRESSIONS = """
term: expr DIRECTION? NULLS?
pterm: pexpr DIRECTION? NULLS?
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
pbase: STRING | pcolumn | LP (query | exprs) RP
base: pbase | NUMBER | BLOB | CONSTANT | column | call | case END | case @ELSE expr END
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
path: DOT name (DOT name)?
name: ID | QUOTED
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
    columns:
        What columns may be, but for aliases in GROUP BY and behind it; None: anything.
    """

    tables: Collection[str]
    schemas: Collection[str]
    functions: Collection[str] | None
    table_functions: Collection[str]
    columns: Collection[str] | None = None


_LONGEST_ALIAS = 4
"""Characters of an alias of a table where columns are those of the schema: in most places any word could be one."""

_ANY_COLUMN = """
column{s}: ID path?
pcolumn{s}: QUOTED path?
any_column{s}: name
qualifier{s}: name
"""

_SCHEMA_COLUMN = """
column: BARE_COLUMN | QUALIFIER DOT any_column
pcolumn: QUOTED_COLUMN | QUOTED DOT any_column | string
any_column: BARE_COLUMN | QUOTED_COLUMN
qualifier: QUALIFIER | QUOTED
"""


def select_grammar(dialect: Dialect, names: Names | None = None) -> str:
    """Return the grammar, in the engine's Lark dialect; without names, any identifier is one."""
    added = (_STANDARD if dialect.standard else {}) | (_ORDERED if dialect.ordered_aggregates else {})
    if names is None:
        added["list"] = "LP RP | "  # of `x IN ()` SQLite does not look for x
    expressions = _expanded(_EXPRESSIONS, added)
    rules = _expanded(_RULES + _JOINED.format(p="") + _JOINED.format(p="p"), added) + expressions
    anywhere = rules.replace("!", "")
    parts = [lexemes(dialect), _SHARED, _copied(anywhere, "_c"), _ANY_COLUMN.format(s="_c")]
    if names is None or names.columns is None:
        parts += [anywhere, _ANY_COLUMN.format(s="")]
    else:
        aliased = _copied(expressions, "_x")
        parts += [re.sub(r"!(\w+)", r"\1_x", rules), _SCHEMA_COLUMN, aliased, _ANY_COLUMN.format(s="_x")]
    return "".join([*parts, _named(dialect, names)])


def _expanded(rules: str, added: dict[str, str]) -> str:
    """Return the rules with further alternatives, and with the alternatives for which `@` stands."""
    rules = re.sub(r"^(\w+): ", lambda rule: rule[0] + added.get(rule[1], ""), rules, flags=re.MULTILINE)
    return re.sub(r"@(\w+) (!?)(\w+)", r"(\1_ \2\3 | \1 \2p\3)", rules)


def _copied(rules: str, suffix: str) -> str:
    """Return the rules with a suffix to the names that they define, and to those that each copy has of its own."""
    own = {
        "table",
        "column",
        "pcolumn",
        "any_column",
        "qualifier",
        *re.findall(r"^(\w+):", rules, re.MULTILINE),
    }
    if suffix == "_x":
        own.remove("table")
    return re.sub(r"\b[a-z_]+\b", lambda found: found[0] + suffix * (found[0] in own), rules)


def _named(dialect: Dialect, names: Names | None) -> str:
    """Return the rules of what has a name."""
    if names is None:
        return (
            "table: name\ntable_c: name\nschema: name\nfunction: ID\ntable_function: name\nescape: operand\n"
        )
    functions = "ID" if names.functions is None else either(names.functions)
    bare, quoted = spellings(names.columns or (), dialect)
    return (
        f"table: TABLE\nTABLE: {' | '.join(spellings(names.tables, dialect))}\ntable_c: name\n"
        f"schema: SCHEMA\nSCHEMA: {' | '.join(spellings(names.schemas, dialect))}\n"
        f"function: FUNCTION\nFUNCTION: {functions}\n"
        "escape: CHARACTER\n"  # any other fails only when it meets a row
        f"table_function: TABLE_FUNCTION\nTABLE_FUNCTION: {either(names.table_functions)}\n"
        f"QUALIFIER: {spellings(names.tables, dialect)[0]} | ID & /.{{1,{_LONGEST_ALIAS}}}/\n"
        f"BARE_COLUMN: {bare}\nQUOTED_COLUMN: {quoted}\n"
        f"string: {'STRING' if dialect.standard else 'DOUBLE_QUOTED'}\n"  # in SQLite "x" may be a string
    )
