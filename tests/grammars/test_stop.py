"""Stops: the allowed token sequences are exactly those whose content is in the language."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regular_languages import Language, contains, regexes, viable

from grammars import Choice, GrammarError, JsonSchema, Regex, StopMatcher, Vocabulary, stop_scanner, unpack


def first_stop(text: bytes, stops: list[bytes]) -> tuple[int, int] | None:
    """The definition: earliest end, then earliest begin, by trying all."""
    found = [(e, b) for e in range(len(text) + 1) for b in range(e) if text[b:e] in stops]
    return (min(found)[1], min(found)[0]) if found else None


def allowed(language: Language, stops: list[bytes], text: bytes, data: bytes) -> bool:
    """Whether content or a stop may go on: by trying every rest of a stop."""
    whole = text + data
    stop = first_stop(whole, stops)
    if stop:
        return contains(language, whole[: stop[0]])
    if viable(language, whole):
        return True
    for rest in {s[n:] for s in stops for n in range(1, len(s))}:
        stop = first_stop(whole + rest, stops)
        if (
            stop
            and stop[1] == len(whole + rest)
            and stop[0] < len(whole)
            and contains(language, whole[: stop[0]])
        ):
            return True
    return False


ALPHABET = "abc"
words_of = st.lists(st.text(ALPHABET, min_size=1, max_size=4).map(str.encode), min_size=2, max_size=12).map(
    lambda tokens: Vocabulary(tokens=(*tokens, None), eos=frozenset({len(tokens)}))
)
stops_of = st.lists(st.text(ALPHABET, min_size=1, max_size=4).map(str.encode), min_size=1, max_size=3)


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_masks_are_the_definition(data: st.DataObject) -> None:
    pattern, language = data.draw(regexes(ALPHABET))
    words, stops = data.draw(words_of), data.draw(stops_of)
    constraint = Regex(pattern)
    matcher = StopMatcher(constraint.matcher(words), constraint.accepts, stop_scanner(words, stops))
    text = b""
    for _ in range(6):
        bits = unpack(matcher.mask(), words.size)
        for token, piece in enumerate(words.tokens):
            expected = piece is not None and allowed(language, stops, text, piece)
            assert bits[token] == expected, (text, piece)
            assert matcher.allows(token) == expected
        assert matcher.is_accepting() == contains(language, text)
        choices = np.flatnonzero(bits).tolist()
        if not choices:
            return
        token = data.draw(st.sampled_from(choices))
        assert matcher.fork().advance(token)
        assert matcher.advance(token)
        text += words.tokens[token] or b""
        stop = first_stop(text, stops)
        assert matcher.finished == (stop is not None)
        assert matcher.content == (text[: stop[0]] if stop else text)
        if stop:
            assert not matcher.mask().any()
            assert not matcher.consume(b"a")
            return


@settings(max_examples=40, deadline=None)
@given(regexes("ab"), st.lists(st.text("ab", min_size=1, max_size=3).map(str.encode), min_size=1, max_size=2))
def test_complete_sequences_are_those_with_content_in_the_language(
    regex: tuple[str, Language], stops: list[bytes]
) -> None:
    pattern, language = regex
    words = Vocabulary(tokens=(b"a", b"b", b"ba", b"abb", None), eos=frozenset({4}))
    start = StopMatcher(Regex(pattern).matcher(words), lambda _: True, stop_scanner(words, stops))
    for length in range(5):
        for ids in product(range(4), repeat=length):
            matcher = start.fork()
            done = all(not matcher.finished and matcher.advance(token) for token in ids)
            texts = [b"".join(words.tokens[v] or b"" for v in ids[:n]) for n in range(length + 1)]
            stop = first_stop(texts[-1], stops)
            early = length > 0 and first_stop(texts[-2], stops) is not None
            content = texts[-1] if stop is None else texts[-1][: stop[0]]
            complete = not early and contains(language, content)
            assert (done and matcher.is_accepting()) == complete
            if complete and done:
                assert matcher.content == content


@settings(max_examples=100, deadline=None)
@given(words_of, stops_of, st.data())
def test_scanner_finds_the_first_stop(words: Vocabulary, stops: list[bytes], data: st.DataObject) -> None:
    scanner = stop_scanner(words, stops)
    state, text = 0, b""
    for _ in range(6):
        terminators = unpack(scanner.terminators(state), words.size)
        for token, piece in enumerate(words.tokens):
            assert terminators[token] == (first_stop(text + (piece or b""), stops) is not None)
        token = data.draw(st.integers(0, words.size - 2))
        state, end = scanner.step(state, token)
        stop = first_stop(text + (words.tokens[token] or b""), stops)
        assert end == (stop and stop[0] - len(text))
        if stop:
            return
        text += words.tokens[token] or b""


def test_a_stop_spelled_in_tokens_that_the_content_forbids() -> None:
    words = Vocabulary(tokens=(b"ab", b"E", b"N", b"D", b"xE", b"bEND!", None), eos=frozenset({6}))
    constraint = Regex("[a-z]+")
    matcher = StopMatcher(constraint.matcher(words), constraint.accepts, stop_scanner(words, ["END"]))
    assert unpack(matcher.mask(), 7).tolist() == [True, False, False, False, True, True, False]
    assert matcher.advance(0)
    assert matcher.advance(1)
    assert not matcher.is_accepting()
    assert unpack(matcher.mask(), 7).tolist() == [False, False, True, False, False, False, False]
    assert matcher.advance(2)
    assert matcher.advance(3)
    assert matcher.finished
    assert matcher.content == b"ab"


def test_final_checks_apply_to_the_content_at_the_stop() -> None:
    constraint = JsonSchema({"type": "array", "items": {"type": "integer"}, "uniqueItems": True})
    words = Vocabulary(tokens=(b"[1,1", b"[1,2", b"]", b"]\n", b"\n", None), eos=frozenset({5}))
    for first, expected in ((0, False), (1, True)):
        matcher = StopMatcher(constraint.matcher(words), constraint.accepts, stop_scanner(words, ["\n"]))
        assert matcher.advance(first)
        assert matcher.allows(3) == expected
        assert bool(unpack(matcher.mask(), 6)[3]) == expected
        assert matcher.advance(2)
        assert matcher.allows(4) == expected
        assert matcher.is_accepting() == expected


def test_the_longest_of_the_stops_that_end_together_counts() -> None:
    words = Vocabulary(tokens=(b"x", b"b", b"c", None), eos=frozenset({3}))
    scanner = stop_scanner(words, ["bc", "xbc"])
    matcher = StopMatcher(Choice(["", "x"]).matcher(words), lambda _: True, scanner)
    assert all(matcher.advance(token) for token in (0, 1, 2))
    assert matcher.content == b""
    only = StopMatcher(Choice(["x"]).matcher(words), lambda _: True, scanner)
    assert only.advance(0)
    assert not only.allows(1)


@pytest.mark.parametrize("stops", [[], [""], ["a", b""], "a"])
def test_stops_must_be_a_list_of_non_empty_strings(stops: list[str]) -> None:
    with pytest.raises(GrammarError):
        stop_scanner(Vocabulary.of_bytes(), stops)
