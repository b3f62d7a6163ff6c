"""Grammars of the Lark library: language, trees, masks, and errors with their place."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lark
import pytest
from hypothesis import event, given, settings
from lark_languages import TEXTS, grammars, texts

from grammars import ContradictionError, GrammarError, Lark, ParseError, Vocabulary, unpack

JSON = r"""
?start: value
?value: object | array | string | NUMBER -> number | "true" -> true | "false" -> false | "null" -> null
array: "[" [value ("," value)*] "]"
object: "{" [pair ("," pair)*] "}"
pair: string ":" value
string: STRING
STRING: /"([^"\\\x00-\x1f]|\\(["\\\/bfnrt]|u[0-9a-fA-F]{4}))*"/
NUMBER: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/
%ignore /[ \t\n\r]+/
"""

SUM = """
?start: product | start "+" product -> add | start '-' product -> sub
?product: atom | product "*" atom -> mul
?atom: NUMBER -> number | NAME -> var | "-" atom -> neg | "(" start ")"
%import common.CNAME -> NAME
%import common.NUMBER
%import common.WS_INLINE
%ignore WS_INLINE
"""

TABLE = r"""
start: row{cell}
_separated{item, separator}: item (separator item)*
row{item}: _separated{item, ","} (_NL _separated{item, ","})* _NL?
cell: /[^,"\n]+/ | ESCAPED_STRING |
_NL: "\n"
%import common.ESCAPED_STRING
"""

SELECT = """
start: "select"i columns "from"i NAME ["where"i condition]
columns: "*" | NAME ("," NAME)*
condition: condition "and"i test | test
test: NAME ("="|"<"|">") (NAME | INT)
%import common (CNAME, INT, WS)
NAME: CNAME
%ignore WS
"""


DOUBLING = "start: A0\n\n" + "".join(f"A{n}: A{n + 1} A{n + 1}\n" for n in range(30)) + 'A30: "x"'


def stock(grammar: str) -> lark.Lark:
    return lark.Lark(grammar.replace("'-'", '"-"'), parser="earley", lexer="dynamic_complete")


@pytest.mark.parametrize(
    ("grammar", "accepted", "rejected"),
    [
        (JSON, ['{"a": [1, -2.5e3, "x\\" y", null], "b": {}}', " [ ] "], ['{"a": }', "[1,]", "01", '"\n"']),
        (SUM, ["1 + x*(2 - -y)", " 1", "1.5e3*a_1"], ["1 +", "1 2", "x(", "", "1 +\n2"]),
        (TABLE, ['a,b\n"x, y",', "a", "", ",", 'a\n"b"\n'], ['"a', 'a"b"']),
        (
            SELECT,
            ["select a, b from t where a = 1 and b<c", "SELECT * FROM t"],
            ["select a b from t", "from"],
        ),
    ],
    ids=["json", "sum", "table", "select"],
)
def test_texts_and_trees_are_those_of_lark(grammar: str, accepted: list[str], rejected: list[str]) -> None:
    constraint, parser = Lark(grammar), stock(grammar)
    for text in accepted:
        assert constraint.matches(text), text
        assert constraint.to_cfg().matches(text), text
        assert constraint.parse(text) == parser.parse(text)
    for text in rejected:
        assert not constraint.matches(text), text
        with pytest.raises(lark.exceptions.LarkError):
            parser.parse(text)
        with pytest.raises(ParseError):
            constraint.parse(text)


def test_masks_where_terminals_do_not_compete_and_checks_where_they_do() -> None:
    for grammar in (JSON, SUM):
        assert Lark(grammar).unmasked_because is None
    reason = Lark(SELECT).unmasked_because  # `selecta` begins with SELECT, or is a NAME
    assert reason is not None
    assert "NAME" in reason
    greedy = Lark('start: WORD "a"\nWORD: /a*b?a/')
    assert greedy.matches("aaa")
    assert greedy.unmasked_because == (
        "a word of WORD may end where it could also go on, so that a greedy lexer would read another language"
    )


@settings(max_examples=60)
@given(grammars())
def test_the_language_of_random_grammars(grammar: str) -> None:
    """Mask engine, exact recogniser and Lark's parser agree with the definition, text by text."""
    try:
        constraint = Lark(grammar)
    except ContradictionError:
        assert not texts(grammar)
        return
    except GrammarError as error:
        event(error.message)
        return
    expected = texts(grammar)
    exact = constraint.to_cfg()
    masked = constraint.unmasked_because is None
    assert {text for text in TEXTS if exact.matches(text)} == expected
    assert {text for text in TEXTS if constraint.matches(text)} == expected
    if masked:
        of_bytes = Vocabulary.of_bytes()
        for text in TEXTS[::5]:
            fast, slow = constraint.matcher(of_bytes), exact.matcher(of_bytes)
            assert fast.consume(text.encode()) == slow.consume(text.encode()), text
            assert (unpack(fast.mask(), 256) == unpack(slow.mask(), 256)).all(), text
    for text in sorted(expected)[::9]:
        constraint.parse(text)


def test_ignored_text_may_stand_anywhere_between_terminals_and_be_cut_in_any_way() -> None:
    constraint = Lark('start: "b" "ab"?\n%ignore /a+/')
    for text in ("b", "aab", "bab", "baaab", "baaaba"):
        assert constraint.matches(text)
        assert constraint.parse(text).data == "start"
    assert not constraint.matches("bb")
    runs = Lark('start: "x"\n%ignore /a|ab/\n%ignore /bc/')
    assert runs.matches("abcx")
    assert runs.parse("abcx") == lark.Tree("start", [])


def test_priorities_and_greed_choose_the_tree_but_not_the_language() -> None:
    constraint = Lark('start: a | b\na.1: "x"+ -> low\nb.2: "x" "x" -> high')
    assert constraint.parse("xx").children[0].data == "high"
    assert constraint.parse("xxx").children[0].data == "low"
    lazy = Lark(r'start: ("," | ESCAPED_STRING)+' + "\n%import common.ESCAPED_STRING")
    assert lazy.matches(r'"a\"","b"')
    assert not lazy.matches('"a" "b"')
    assert not lazy.matches('"a"b"')


def test_what_trees_hold() -> None:
    grammar = 'start: ["a"] x "," "b"\nx: [Y] "c"\nY: "y"'
    assert Lark(grammar).parse("c,b").children == [lark.Tree("x", [None])]
    assert Lark(grammar, maybe_placeholders=False).parse("c,b").children == [lark.Tree("x", [])]
    assert [*Lark(grammar, keep_all_tokens=True).parse("c,b").scan_values(bool)] == ["c", ",", "b"]
    assert Lark('_s: "a" X\nX: "x"', start="_s").parse("ax") == lark.Tree("_s", ["x"])
    assert Lark('?start: X\nX: "x"').parse("x") == "x"


def test_directives_and_files(tmp_path: Path) -> None:
    (tmp_path / "base.lark").write_text('greeting: HELLO name\nHELLO: "hi"\nname: "you"\nX: "x"')
    (tmp_path / "main.lark").write_text(
        'start: greeting\n%import .base (greeting, name)\n%extend name: "all"\n%ignore " "'
    )
    (tmp_path / "other.lark").write_text('start: X\n%import base.X\n%override X: "y"')
    constraint = Lark.open(tmp_path / "main.lark")
    assert constraint.matches("hi all")
    assert constraint.matches("hi you")
    assert [Path(path).name for path, _ in constraint.files] == ["base.lark"]
    assert Lark.open(tmp_path / "other.lark", import_paths=[tmp_path]).matches("y")
    copy = pickle.loads(pickle.dumps(constraint))
    assert copy == constraint
    assert hash(copy) == hash(constraint)
    (tmp_path / "base.lark").write_text('greeting: "bye" name\nname: "you"')
    changed = Lark.open(tmp_path / "main.lark")
    assert changed != constraint
    assert changed.matches("bye all")
    assert constraint.matches("hi all")
    with pytest.raises(GrammarError, match="cannot read"):
        Lark.open(tmp_path / "nothing.lark")


def test_json_of_the_evaluation_data(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    constraint = Lark(JSON)
    for case in rows("grammar_suite/json_parse_dev.jsonl"):
        generated = case.get("bytes_b64") is None  # 100,000 opening brackets
        text = b"[" * 100_000 if generated else base64.b64decode(case["bytes_b64"])
        matched = constraint.matches(text)
        assert case["expect"] == "either" or matched == (case["expect"] == "accept"), case["id"]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ('start: "a" foo', 1, 12, "foo"),
        ('start: "a" |\n  ) "b"', 2, 3, "Expecting"),
        ('start: "a"\nb: <|x|>', 2, 4, "Unexpected input"),
        ("start: /a(/", 1, 8, "unterminated"),
        ('start: X "b"\nX: /a\\b/', 2, 1, "`X`: a look-ahead"),
        ("start: /(a)\\1/", 1, 8, "backreference"),
        ('start: "x"\n%ignore /^a/', 2, 1, "anchor"),
        ('start: "x"\n%ignore " "\n%ignore /(?<=b)x/', 3, 1, "look-behind"),
        ("start: X\n%declare X", 1, 8, "only declared"),
        ('start: x y\nx: "a"\n%import .nowhere (y)', 3, 10, "nowhere.lark"),
        ('start: a{"x"}\na{x, y}: x y', 2, 1, "template arguments"),
        ("start: 'it\\'s' 'a\"b' foo", 1, 22, "foo"),
        ("start: 'it\\'s'\n     'a' @", 2, 6, "Expecting"),
        ('start: "a" ~ 3..1', 1, 12, "Bad Range"),
        ('start: ""', 1, 8, "Empty"),
        ("start: /a*/", 1, 8, "empty text"),
        ('start: "ab".."c"', 1, 8, "range"),
        ('start: X\nX: "a" X', 2, 1, "Recursion"),
        ('start: (("a"|"b") ("c"|"d") ("e"|"f"))~9', 1, 1, "alternatives"),
        (DOUBLING, 3, 1, "literals"),
        ('start: a{"x"}\na{x}: x | a{b{x}}\nb{x}: x "y"', 2, 1, "template `a`"),
        ("start: X\nX: /.{0,99999}/", 2, 1, "bound"),
        ('start: "a"\n%import common.ESCAPED\nx: ESCAPED', 2, 16, "ESCAPED"),
        ('start: "\ud800"', 1, 9, "surrogate"),
    ],
)
def test_errors_have_a_place(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(GrammarError, match=message) as caught:
        Lark(text)
    assert f"line {line}, column {column}:" in caught.value.message
    assert caught.value.hint


def test_other_errors_tell_what_to_do() -> None:
    for text in (None, "", "start: " + "(" * 3000, "# " + "x" * 400_000, 'tsart: "a"'):
        with pytest.raises(GrammarError) as caught:
            Lark(text)  # type: ignore[arg-type]
        assert caught.value.hint
        assert len(caught.value.message) < 1000
    assert caught.value.hint == "did you mean start='tsart'?"
    for start in ("", "a b", 3):
        with pytest.raises(GrammarError, match="not the name of a rule"):
            Lark('a: "x"', start=start)  # type: ignore[arg-type]
    with pytest.raises(GrammarError, match="import_paths"):
        Lark('start: "x"', import_paths=3)  # type: ignore[arg-type]
    for text in ('start: start "a"', "start: a\na: b\nb: a", r'start: "a" /[^\s\S]/'):
        with pytest.raises(ContradictionError, match="no text matches the rule `start`"):
            Lark(text)
