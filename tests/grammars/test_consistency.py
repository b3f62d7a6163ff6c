"""Constraints that contradict themselves are found, and others are not accused."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regular_languages import regexes
from unicode_texts import predicates_of

from grammars import (
    Choice,
    Constraint,
    Matcher,
    ParseError,
    PredicateError,
    Regex,
    Vocabulary,
    check_consistent,
    prefix_predicate,
)


@settings(max_examples=40, deadline=None)
@given(regexes("aé"))
def test_consistent_predicates_pass(pattern: Any) -> None:
    for constraint in predicates_of(pattern[1]):
        check_consistent(constraint, alphabet="aé", depth=3)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(["".join(w) for n in range(4) for w in product("ab", repeat=n)])))
def test_the_search_finds_exactly_the_contradictions(viable_texts: set[str]) -> None:
    predicate = prefix_predicate(lambda text: text in viable_texts)
    closed = all(text[:-1] in viable_texts for text in viable_texts if text)
    if closed:
        check_consistent(predicate, alphabet="ab", depth=3)
    else:
        with pytest.raises(PredicateError, match=r"contradicts itself: it rejects '.*' but allows"):
            check_consistent(predicate, alphabet="ab", depth=3)


def test_a_contradiction_shows_both_texts() -> None:
    @prefix_predicate
    def wrong(text: str) -> bool:
        return len(text) != 2

    check_consistent(wrong, ["a"])
    for constraint in (wrong, Regex("[a-z]*") & wrong):
        with pytest.raises(PredicateError) as caught:
            check_consistent(constraint, ["abcd"])
        assert "wrong contradicts itself: it rejects 'ab' but allows its extension 'abcd'" in str(
            caught.value
        )
    with pytest.raises(ParseError, match="does not allow the text 'ab'"):
        check_consistent(wrong, ["ab"])
    short = prefix_predicate(complete=lambda text: text.endswith("a"))(lambda text: len(text) < 2)
    check_consistent(short, alphabet="ab", depth=3)  # `complete` is asked only about what can become valid
    with pytest.raises(PredicateError, match="it rejects 'aa' but its `complete` accepts 'aaa'"):
        check_consistent(short, ["aaa"])
    with pytest.raises(ParseError, match="does not allow the text 'aab'"):
        check_consistent(short, ["aab"])


@dataclass(frozen=True)
class TokenCounter(Constraint):
    """At most three pieces, however long: not a set of texts."""

    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return TokenCounterMatcher(vocabulary)


class TokenCounterMatcher(Matcher):
    left = 3

    def consume(self, data: bytes) -> bool:
        self.left -= 1
        return self.left >= 0

    def is_accepting(self) -> bool:
        return True

    def fork(self) -> TokenCounterMatcher:
        other = type(self)(self.vocabulary)
        other.left = self.left
        return other


def test_any_constraint_can_be_checked() -> None:
    with pytest.raises(PredicateError, match="a text is not what it is in one piece"):
        check_consistent(TokenCounter(), ["abcd"])
    check_consistent(Choice(["é∀", "éa"]), ["é∀"], alphabet="é∀a", depth=2)
    check_consistent(Regex("[ab]+") & prefix_predicate(lambda text: text.count("a") < 2), ["abb"])
