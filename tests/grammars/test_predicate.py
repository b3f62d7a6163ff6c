"""Predicates against brute force: over tokens that cut characters, remembered, incremental, contradictory."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regular_languages import regexes
from unicode_texts import (
    BEGUN,
    CHARACTERS,
    ENCODED,
    begun,
    predicates_of,
    split,
    vocabularies,
    vocabulary,
    whole,
)

from grammars import (
    ContradictionError,
    GrammarError,
    Incremental,
    ParseError,
    PredicateError,
    Regex,
    Vocabulary,
    check_consistent,
    check_satisfiable,
    prefix_predicate,
    text_predicate,
    unpack,
)
from grammars.utf8 import read_utf8


@pytest.mark.parametrize("kind", [0, 1])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_prefixes_are_the_definition_for_all_tokens(kind: int, data: st.DataObject) -> None:
    _, language = data.draw(regexes(CHARACTERS))
    words = data.draw(vocabularies())
    constraint = predicates_of(language)[kind]
    matcher, text = constraint.matcher(words), b""
    for _ in range(5):
        _, tail = split(text) or ("", b"")
        mask = matcher.mask()
        assert not matcher.mask_is_exact
        assert (mask is None) == (not tail), "a mask within a character, and only there"
        if mask is not None:
            follows = [bool(piece) and split(text + (piece or b"")) is not None for piece in words.tokens]
            assert unpack(mask, words.size).tolist() == follows
        matcher.prefetch(range(words.size))
        allowed = []
        for token, piece in enumerate(words.tokens):
            expected = bool(piece) and begun(language, text + (piece or b""))
            assert matcher.allows(token) == matcher.confirms(token) == expected, (text, piece)
            fork = matcher.fork()
            assert fork.advance(token) == expected
            after = text + (piece or b"") if expected else text
            assert (fork.is_accepting() and constraint.accepts(after)) == whole(language, after)
            if expected:
                allowed.append(token)
        assert (matcher.is_accepting() and constraint.accepts(text)) == whole(language, text)
        assert constraint.matches(text) == whole(language, text)
        if not allowed:
            return
        token = data.draw(st.sampled_from(allowed))
        assert matcher.advance(token)
        text += words.tokens[token] or b""


@settings(max_examples=60, deadline=None)
@given(vocabularies(), st.data())
def test_text_predicates_allow_what_is_utf8(words: Vocabulary, data: st.DataObject) -> None:
    constraint = text_predicate(lambda text: len(text) % 2 == 0)
    matcher, text = constraint.matcher(words), b""
    for _ in range(5):
        mask = matcher.mask()
        assert mask is not None
        assert matcher.mask_is_exact
        expected = [bool(piece) and split(text + (piece or b"")) is not None for piece in words.tokens]
        assert unpack(mask, words.size).tolist() == expected
        assert [matcher.allows(token) for token in range(words.size)] == expected
        parts = split(text)
        assert parts is not None
        assert matcher.is_accepting() == (not parts[1])
        assert constraint.matches(text) == (not parts[1] and len(parts[0]) % 2 == 0)
        if not any(expected):
            return
        token = data.draw(st.sampled_from(np.flatnonzero(expected).tolist()))
        assert not matcher.fork().consume(b"\xff")
        assert matcher.advance(token)
        text += words.tokens[token] or b""


def test_a_tail_is_sound_if_it_begins_a_character() -> None:
    """Bytes after every beginning of a character, for all of Unicode; all of them unless it is long."""
    complete = set(ENCODED)
    edges = b"\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc2\xe0\xed\xf0\xf4\xff"
    for tail in BEGUN:
        for byte in range(256) if len(tail) < 2 else edges:
            longer = tail + bytes([byte])
            expected = (
                (longer.decode(), b"") if longer in complete else ("", longer) if longer in BEGUN else None
            )
            assert read_utf8(tail, bytes([byte])) == expected
    words = Vocabulary.of_bytes()
    start = text_predicate(bool).matcher(words)
    for tail in sorted(BEGUN)[::7] + sorted(BEGUN)[:60]:
        matcher = start.fork()
        assert matcher.consume(tail)
        follows = [
            (tail + bytes([byte])) in BEGUN or (tail + bytes([byte])) in complete for byte in range(256)
        ]
        assert unpack(matcher.mask(), 257).tolist() == [*follows, False]


@settings(max_examples=60, deadline=None)
@given(regexes(CHARACTERS), st.text(CHARACTERS, max_size=6), st.data())
def test_cuts_do_not_matter(pattern: Any, text: str, data: st.DataObject) -> None:
    encoded = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(encoded)), max_size=4)))
    for constraint in predicates_of(pattern[1]):
        at_once, in_parts = (constraint.matcher(Vocabulary.of_bytes()) for _ in range(2))
        ends = [0, *cuts, len(encoded)]
        read = all(in_parts.consume(encoded[a:b]) for a, b in pairwise(ends))
        assert at_once.consume(encoded) == read
        if read:
            assert at_once.is_accepting() == in_parts.is_accepting()


class Counted:
    """No two equal letters in a row; counts its calls per text."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}

    def __call__(self, text: str) -> bool:
        self.asked[text] = self.asked.get(text, 0) + 1
        return all(a != b for a, b in pairwise(text))


def test_no_text_is_checked_twice() -> None:
    function = Counted()
    predicate = prefix_predicate(function)
    words = vocabulary([b"a", b"b", b"ab", b"\xc3", b"\xa9"])
    for _ in range(3):
        matcher = (predicate & Regex("[abé]*")).matcher(words)
        for token in (0, 1, 3, 4, 2):
            matcher.prefetch(range(6))
            assert matcher.allows(token)
            assert matcher.fork().advance(token)
            assert matcher.advance(token)
            assert matcher.is_accepting() == (token != 3)
    assert set(function.asked.values()) == {1}
    assert set(function.asked) == {"a", "ab", "abé", "abéab"}
    assert predicate.calls == 4


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grammars.predicate_checks.REMEMBERED", 2)
    function = Counted()
    predicate = prefix_predicate(function)
    for text in ("a", "b", "a", "c", "a", "b"):
        assert predicate.matches(text)
    assert function.asked == {"a": 1, "b": 2, "c": 1}


@prefix_predicate
def increasing(text: str) -> bool:
    """Characters in alphabetical order."""
    return list(text) == sorted(text)


@prefix_predicate
def at_most(text: str, limit: int, *, of: str = "a") -> bool:
    return text.count(of) <= limit


def test_a_predicate_is_a_value_and_a_function() -> None:
    assert increasing("abc")
    assert increasing.__name__ == "increasing"
    assert increasing.__doc__ == "Characters in alphabetical order."
    assert increasing.matches("abc")
    assert "ba" not in increasing
    assert increasing.parse("ab") == "ab"
    with pytest.raises(ParseError, match="does not match increasing"):
        increasing.parse("ba")
    assert increasing & increasing is not None
    assert increasing & increasing == increasing
    assert increasing != prefix_predicate(lambda text: True)
    assert prefix_predicate(increasing.function) == increasing
    assert hash(prefix_predicate(increasing.function)) == hash(increasing)
    assert text_predicate(increasing.function) != increasing
    check_satisfiable(increasing & Regex("[ab]+"))


def test_bound_arguments() -> None:
    assert at_most.bind(2) == at_most.bind(limit=2) == at_most.bind(2, of="a") != at_most.bind(3)
    assert len({at_most.bind(2), at_most.bind(limit=2, of="a")}) == 1
    assert at_most.bind(1) & at_most.bind(1) == at_most.bind(1)
    assert at_most.bind(1).matches("ab")
    assert not at_most.bind(1).matches("aa")
    assert at_most.bind(1, of="b").matches("aa")
    assert at_most.bind(1)("aa") is False
    assert at_most("aa", 2) is True
    assert at_most.bind(1)("aa", 5) is True
    assert replace(at_most.bind(7), timeout=None) == at_most.bind(7)
    assert str(at_most.bind(1)) == "at_most(1, of='a')"
    before = at_most.calls
    assert at_most.bind(7).matches("aaa")
    assert at_most.bind(limit=7).matches("aaa")
    assert at_most.calls == before + 1
    with pytest.raises(GrammarError, match=r"at_most\.bind"):
        at_most.matches("a")
    with pytest.raises(GrammarError, match="missing a required argument: 'limit'"):
        at_most.bind()
    with pytest.raises(GrammarError, match="immutable values"):
        at_most.bind([2])


def test_complete_texts() -> None:
    constraint = prefix_predicate(complete=lambda text, limit: len(text) == limit)(
        lambda text, limit: len(text) <= limit
    ).bind(2)
    assert [constraint.matches("a" * n) for n in range(4)] == [False, False, True, False]
    assert len(constraint.final_checks) == 1
    assert increasing.final_checks == ()
    assert text_predicate(increasing.function).final_checks == ("increasing",)
    assert not constraint.accepts(b"\xff\xff")
    assert not text_predicate(lambda text: True).accepts(b"\xc3")
    assert not prefix_predicate(lambda text: True).matches(b"a\xc3")
    assert not prefix_predicate(lambda text: True).matches("\ud800")


def test_closures_do_without_workers() -> None:
    words = {"tea", "té"}

    @prefix_predicate
    def known(text: str) -> bool:
        return any(word.startswith(text) for word in words)

    assert known.matches("té")
    assert not known.matches("tea ")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda text: None, "returned None, which is no bool\n  text: 'ab'\n  hint: return True or False"),
        (lambda text: 1, "returned 1, which is no bool"),
        (lambda text: text[5], "raised IndexError: string index out of range\n  text: 'ab'"),
        (lambda text: sys.exit(3), "raised SystemExit: 3"),
    ],
)
@pytest.mark.parametrize("decorator", [prefix_predicate, text_predicate])
def test_failures_show_the_text(decorator: Any, function: Any, message: str) -> None:
    for _ in range(2):  # a failure is not remembered as an answer
        with pytest.raises(PredicateError) as caught:
            decorator(function).matches("ab")
        assert message in str(caught.value)
        assert caught.value.text == "ab"
        assert (caught.value.__cause__ is None) == ("returned" in message)


def test_bools_of_numpy_are_bools() -> None:
    assert prefix_predicate(lambda text: np.bool_(True)).matches("a")
    assert not prefix_predicate(lambda text: np.bool_(False)).matches("a")


def test_long_texts_are_shortened() -> None:
    with pytest.raises(PredicateError) as caught:
        prefix_predicate(lambda text: None).matches("a" * 5000 + "b")  # type: ignore[arg-type, return-value]
    assert len(str(caught.value)) < 700
    assert "b' (5001 characters)" in str(caught.value)
    assert caught.value.text == "a" * 5000 + "b"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: prefix_predicate(3), "plain function, not 3"),
        (lambda: prefix_predicate(increasing), "plain function, not increasing"),
        (lambda: prefix_predicate(complete=increasing)(len), "plain function"),
        (lambda: prefix_predicate(workers=-1)(len), "workers=-1"),
        (lambda: prefix_predicate(workers=True)(len), "workers=True"),
        (lambda: prefix_predicate(workers=1, timeout=0)(len), "timeout=0"),
        (lambda: prefix_predicate(workers=1, timeout="1")(len), "timeout='1'"),
        (lambda: prefix_predicate(timeout=1)(len), "a timeout needs a worker process"),
        (lambda: Incremental(None, max, bool), "the start state is None"),
        (lambda: Incremental([], max, bool), "unhashable"),
        (lambda: Incremental(0, 1, bool), "not functions"),
        (lambda: Incremental(0, max, bool, over="words"), "over='words'"),
        (lambda: check_consistent(increasing), "no text to check"),
        (lambda: check_consistent(len, ["a"]), "not a constraint"),
    ],
)
def test_bad_options_are_refused(make: Any, message: str) -> None:
    with pytest.raises(GrammarError) as caught:
        make()
    assert message in str(caught.value)


def test_slow_predicates_are_not_asked_in_vain() -> None:
    """The search for contradictions has a budget of checks, not only of prefixes."""
    predicate = prefix_predicate(complete=lambda text: False)(lambda text: True)
    check_satisfiable(predicate)
    assert predicate.calls <= 600
    with pytest.raises(ContradictionError):
        check_satisfiable(prefix_predicate(lambda text: text == "") & Regex("a+"))
