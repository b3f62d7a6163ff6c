"""Conjunctions, their masks and checks, and contradictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regular_languages import byte_strings, contains, regexes, viable

from grammars import (
    And,
    AnyText,
    Choice,
    Constraint,
    ContradictionError,
    GrammarError,
    JsonSchema,
    Matcher,
    ParseError,
    Regex,
    Vocabulary,
    check_satisfiable,
    constraint_of,
    unpack,
)


@dataclass(frozen=True)
class Shorter(Constraint):
    """Texts of fewer bytes; offers a check only."""

    than: int

    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return ShorterMatcher(vocabulary, self.than)

    def accepts(self, text: bytes) -> bool:
        return text != b"b"

    @property
    def final_checks(self) -> tuple[str, ...]:
        return ("is not b",)


class ShorterMatcher(Matcher):
    def __init__(self, vocabulary: Vocabulary, left: int) -> None:
        super().__init__(vocabulary)
        self.left = left

    def consume(self, data: bytes) -> bool:
        if len(data) >= self.left:
            return False
        self.left -= len(data)
        return True

    def is_accepting(self) -> bool:
        return True

    def fork(self) -> Self:
        return type(self)(self.vocabulary, self.left)


@settings(max_examples=80, deadline=None)
@given(regexes("ab"), regexes("ab"), st.lists(byte_strings("ab", 3), min_size=1, max_size=8), st.data())
def test_both_sides_allow(x, y, tokens: list[bytes], data: st.DataObject) -> None:  # type: ignore[no-untyped-def]
    words = Vocabulary((*tokens, None), frozenset({len(tokens)}))
    constraint = Regex(x[0]) & Regex(y[0])
    matcher, text = constraint.matcher(words), b""
    for _ in range(4):
        allowed = unpack(matcher.mask(), words.size)
        assert matcher.mask_is_exact
        for token, piece in enumerate(tokens):
            expected = viable(x[1], text + piece) and viable(y[1], text + piece)
            assert allowed[token] == matcher.allows(token) == expected
        assert matcher.is_accepting() == (contains(x[1], text) and contains(y[1], text))
        if not allowed.any():
            return
        token = data.draw(st.sampled_from(allowed.nonzero()[0].tolist()))
        assert matcher.advance(token)
        text += tokens[token]


def test_a_part_that_only_checks() -> None:
    words = Vocabulary((b"a", b"b", b"aa", b"c", None), frozenset({4}))
    matcher = (Regex("[ab]*") & Shorter(3)).matcher(words)
    assert not matcher.mask_is_exact
    assert unpack(matcher.mask(), 5).tolist() == [True, True, True, False, False]
    assert matcher.advance(0)
    assert not matcher.advance(2)
    assert not matcher.consume(b"c")
    assert matcher.advance(1)
    assert [matcher.allows(token) for token in range(5)] == [False] * 5
    only = (Shorter(3) & Shorter(4)).matcher(words)
    assert only.mask() is None
    assert not only.mask_is_exact


def test_normal_form() -> None:
    a, b, c = Regex("a"), Regex("b"), Regex("c")
    assert (a & b) & c == a & (b & c) == And((a, b, c))
    assert a & a == a
    assert a & AnyText() == a
    assert And.of() == AnyText() & AnyText() == AnyText()
    with pytest.raises(GrammarError, match="constraint_of"):
        And.of(a, int)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        a & int  # type: ignore[operator]


def test_final_checks_and_parsing() -> None:
    constraint = constraint_of(int) & Regex("[0-9]{2}") & Shorter(9)
    assert constraint.final_checks == ("is not b",)
    assert constraint.parse("12") == 12
    with pytest.raises(ParseError):
        constraint.parse("123")
    assert not (Regex("[ab]") & Shorter(9)).matches("b")
    assert (Regex("[ab]") & Shorter(9)).matches("a")


@pytest.mark.parametrize(
    ("constraint", "satisfiable"),
    [
        (Regex("a+") & Regex("b+"), False),
        (Choice(["ab", "b"]) & Choice(["aa", "ba"]), False),
        (Regex("a{3}") & Regex("a{4}"), False),
        (Regex("b") & Shorter(9), False),
        (Shorter(1) & Shorter(2), True),
        (Regex("a*") & Regex("[ab]{3}"), True),
        (JsonSchema({"type": "string"}) & Regex('".*"'), True),
        (JsonSchema({"type": "integer"}) & Regex("[a-z]+"), False),
    ],
    ids=str,
)
def test_contradictions_are_found_before_any_model(constraint: Constraint, satisfiable: bool) -> None:
    if satisfiable:
        check_satisfiable(constraint)
    else:
        with pytest.raises(ContradictionError, match="no text satisfies") as caught:
            check_satisfiable(constraint)
        assert isinstance(constraint, And)
        assert all(str(part) in str(caught.value) for part in constraint.parts)
