"""Regular expressions: the dialect, the errors, and the evaluation data."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from grammars import GrammarError, ParseError, Regex, Vocabulary, unpack


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("", [""], ["a"]),
        ("a*", ["", "aaa"], ["b", "ab"]),
        ("^a|b$", ["a", "b"], ["ab"]),
        ("a.b", ["axb", "a∀b"], ["a\nb", "ab"]),
        ("(?s:a.b)", ["a\nb"], ["ab"]),
        ("(a|ab)(c|bcd)", ["ac", "abc", "abcd", "abbcd"], ["abcdd"]),
        ("a*?b", ["b", "aab"], ["a"]),
        (r"a/b\/c", ["a/b/c"], ["ab"]),
        ("a\nb", ["a\nb"], ["ab"]),
        (r"\d{2,3}", ["12", "٣٤٥"], ["1", "1234"]),
        (r"[\]+*]+", ["]+*"], ["a"]),
        (r"(?i)straße", ["STRASSE".replace("SS", "ẞ"), "straße"], ["stra"]),
        (r"[a-z&&[^aeiou]]", ["b"], ["a", "B"]),
        ("é+", ["éé"], ["e"]),
    ],
)
def test_the_dialect(pattern: str, good: list[str], bad: list[str]) -> None:
    constraint = Regex(pattern)
    assert [text for text in good if not constraint.matches(text)] == []
    assert [text for text in bad if constraint.matches(text)] == []


@pytest.mark.parametrize(
    ("pattern", "column", "message"),
    [
        ("a(b", 1, "unclosed group"),
        ("a/b(", 3, "unclosed group"),
        ("[z-a]", 1, "invalid character class range"),
        (r"\q", 0, "unrecognized escape"),
        ("x(?=a)b", 1, "look-around"),
        (r"(a)\1", 3, "backreferences"),
        ("a$b", 1, "zero-width"),
        ("[$]$x", 3, "zero-width"),
        (r"x\by", 1, "zero-width"),
        ("ab++", 2, "possessive"),
        ("a{2}+b", 1, "possessive"),
        ("a\\", 1, "backslash"),
        ("(?P<n>a)(?P<n>b)", 4, "duplicate"),
    ],
)
def test_errors_point_at_the_fault(pattern: str, column: int, message: str) -> None:
    with pytest.raises(GrammarError, match=message) as caught:
        Regex(pattern)
    lines = caught.value.message.split("\n")
    assert lines[1].strip() == pattern
    assert lines[2].index("^") - lines[1].index(pattern) == column


@pytest.mark.parametrize(
    "pattern",
    ["(" * 100_000, "x" * 500 + "(", "\ud800", "a\n(", "a{1,", r"\p{Nope}", None, b"a", 3],
    ids=["deep", "long", "surrogate", "lines", "count", "property", "none", "bytes", "int"],
)
def test_every_error_is_short_and_tells_what_to_do(pattern: Any) -> None:
    with pytest.raises(GrammarError) as caught:
        Regex(pattern)
    assert caught.value.hint
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "pattern", ["a{1000000}", "(?:(?:a{100}){100}){100}", "(?:a*)*b", "(?:|a)+", r"\w{5000}"]
)
def test_large_counts_and_nullable_loops(pattern: str) -> None:
    matcher = Regex(pattern).matcher(Vocabulary.of_bytes())
    assert matcher.advance(ord("a"))
    assert matcher.mask().any()


def test_values() -> None:
    assert Regex("a") == Regex("a")
    assert len({Regex("a"), Regex("a"), Regex("b")}) == 2
    assert Regex("a+").parse("aa") == "aa"
    assert "aa" in Regex("a+")
    with pytest.raises(ParseError, match="does not match"):
        Regex("a+").parse("b")
    with pytest.raises(GrammarError):
        Regex(re.compile("a"))  # type: ignore[arg-type]


def test_patterns_of_the_evaluation_data(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    """Random texts, complete or not, are judged as Python's `re` judges them."""
    draw = random.Random(0)
    agreed = 0
    for row in rows("pattern_matching/patterns_dev.jsonl")[::3]:
        try:
            constraint, expected = Regex(row["regex"]), re.compile(row["regex"])
        except (GrammarError, re.error):
            continue
        matcher = constraint.matcher(Vocabulary.of_bytes())
        text = ""
        for _ in range(40):
            choices = unpack(matcher.mask(), 128).nonzero()[0].tolist()
            if not choices or (matcher.is_accepting() and draw.random() < 0.2):
                break
            byte = draw.choice(choices)
            assert matcher.advance(byte)
            text += chr(byte)
        assert matcher.is_accepting() == bool(expected.fullmatch(text)), (row["regex"], text)
        agreed += 1
    assert agreed > 20


def test_regex_engine_suite(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    """A pattern whose match spans the haystack matches it in full."""
    checked = 0
    for row in rows("grammar_suite/regex_engine_dev.jsonl"):
        if not isinstance(row["regex"], str) or row.keys() - {
            "id",
            "regex",
            "haystack",
            "matches",
            "anchored",
        }:
            continue
        spans = [match[0] if isinstance(match[0], list) else match for match in row["matches"]]
        if [0, len(row["haystack"].encode())] in spans:
            try:
                constraint = Regex(row["regex"])
            except GrammarError:
                continue
            assert constraint.matches(row["haystack"]), row["id"]
            checked += 1
    assert checked > 50
