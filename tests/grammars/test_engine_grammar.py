"""Grammars in the mask engine's dialect: positions of errors, and what is refused."""

from __future__ import annotations

import pytest

from grammars import ContradictionError, EngineGrammar, GrammarError

SUM = """
start: term ("+" term)*
term: NUMBER | "(" start ")"   // a comment with <angle> brackets
NUMBER: /[0-9]+/
%ignore / /
"""


def test_a_grammar() -> None:
    constraint = EngineGrammar(SUM)
    assert constraint.parse("1 + (2+3)") == "1 + (2+3)"
    assert not constraint.matches("1 + (2")
    assert constraint == EngineGrammar(SUM)
    assert EngineGrammar('sum: "a" | sum "b"', start="sum").matches("abb")


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ('start: "a" foo', 1, 8, "unknown name"),
        ('start: "a" |\n  ) "b"', 2, 3, "expecting"),
        ('start: "a"\nb: <|x|>', 2, 4, "tokens"),
        ('start: "<" <[7]>', 1, 12, "tokens"),
        ("start[max_tokens=3]: /a*/", 1, 7, "tokens"),
        ("start[temperature=0.5]: /a*/", 1, 7, "tokens"),
        ('start: %json {"type": "object", "not": {}}', 1, 8, "not"),
        ("start: /a(/", 1, 8, "unclosed group"),
    ],
)
def test_errors_have_a_position(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(GrammarError, match=message) as caught:
        EngineGrammar(text)
    assert f"line {line}, column {column}:" in caught.value.message


@pytest.mark.parametrize("text", ['start: start "a"', "start: a\na: b\nb: a"])
def test_grammars_without_texts_are_contradictions(text: str) -> None:
    with pytest.raises(ContradictionError):
        EngineGrammar(text)


def test_the_start_rule_must_be_there_and_be_unique() -> None:
    with pytest.raises(GrammarError, match="start"):
        EngineGrammar('foo: "a"')
    with pytest.raises(GrammarError, match="rename"):
        EngineGrammar('start: "a"\nfoo: "b"', start="foo")
    for start in ("", "a b", "a\nb", 3):
        with pytest.raises(GrammarError, match="not the name of a rule"):
            EngineGrammar('a: "x"', start=start)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "start", 'start: "\ud800"', None, "start: %json {", "start: @other", "start: " + "(" * 9999],
    ids=["empty", "no-colon", "surrogate", "none", "cut", "unknown", "deep"],
)
def test_every_error_tells_what_to_do(text: str) -> None:
    with pytest.raises(GrammarError) as caught:
        EngineGrammar(text)
    assert caught.value.hint
    assert len(caught.value.message) < 1000


def test_what_the_engine_would_ignore_is_refused() -> None:
    schema = '{"type": "array", "uniqueItems": true, "x-guidance": {"lenient": true}}'
    with pytest.raises(GrammarError, match="uniqueItems"):
        EngineGrammar(f"start: %json {schema}")
