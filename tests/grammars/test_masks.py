"""Masks, checks and the byte-level definition agree for every token, after random walks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regular_languages import byte_strings, contains, regexes, viable

from grammars import (
    AnyText,
    Choice,
    Constraint,
    EngineGrammar,
    JsonSchema,
    Lark,
    Matcher,
    Regex,
    Vocabulary,
    unpack,
)
from grammars.errors import ContradictionError

CHARACTERS = "abé∀"


def vocabulary(tokens: list[bytes | None]) -> Vocabulary:
    return Vocabulary(tokens=(*tokens, None), eos=frozenset({len(tokens)}))


def vocabularies(characters: str = CHARACTERS, longest: int = 6) -> st.SearchStrategy[Vocabulary]:
    """Vocabularies with split characters, repeated spellings and ids without text."""
    token = st.one_of(byte_strings(characters, longest), st.sampled_from([None, b"", b"\xff", b"a\xff"]))
    return st.lists(token, min_size=1, max_size=40).map(vocabulary)


def check_walk(
    constraint: Constraint,
    words: Vocabulary,
    viable_text: Callable[[bytes], bool],
    is_text: Callable[[bytes], bool],
    draw: Callable[[list[int]], int],
    steps: int = 5,
) -> None:
    """Compare a matcher with the definition along one random walk of allowed tokens."""
    matcher = constraint.matcher(words)
    text = b""
    for _ in range(steps):
        mask = matcher.mask()
        assert mask is not None
        assert mask.dtype == np.uint32
        assert mask.shape == (words.words,)
        assert not (mask & ~words.text_mask).any()
        allowed = unpack(mask, words.size)
        for token, data in enumerate(words.tokens):
            expected = bool(data) and viable_text(text + (data or b""))
            assert allowed[token] == expected, (text, token, data)
            assert matcher.allows(token) == expected
            fork = matcher.fork()
            assert fork.advance(token) == expected
            if expected:
                assert fork.is_accepting() == is_text(text + (data or b""))
            else:
                assert np.array_equal(fork.mask(), mask)
        assert matcher.is_accepting() == is_text(text)
        assert np.array_equal(matcher.mask(), mask)  # forks are independent
        choices = np.flatnonzero(allowed).tolist()
        if not choices:
            return
        token = draw(choices)
        assert matcher.advance(token)
        text += words.tokens[token] or b""


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_regex_masks_are_the_definition(data: st.DataObject) -> None:
    pattern, language = data.draw(regexes(CHARACTERS))
    words = data.draw(vocabularies())
    check_walk(
        Regex(pattern),
        words,
        lambda text: viable(language, text),
        lambda text: contains(language, text),
        lambda choices: data.draw(st.sampled_from(choices)),
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_choice_masks_are_the_definition(data: st.DataObject) -> None:
    options = data.draw(st.lists(st.text(CHARACTERS, max_size=5), min_size=1, max_size=8, unique=True))
    encoded = [option.encode() for option in options]
    check_walk(
        Choice(options),
        data.draw(vocabularies()),
        lambda text: any(option.startswith(text) for option in encoded),
        lambda text: text in encoded,
        lambda choices: data.draw(st.sampled_from(choices)),
    )


@pytest.mark.parametrize(
    "constraint",
    [
        Regex("abc(?:abc)?d"),
        Choice(["abcabcd", "abcd"]),
        Lark('start: "abc" tail\ntail: "d" | "abcd"'),
        EngineGrammar('%llguidance {"no_forcing": false}\nstart: "abc" "abc"? "d"'),
    ],
    ids=str,
)
def test_forced_bytes_allow_every_spelling(constraint: Constraint) -> None:
    texts = [b"abcd", b"abcabcd"]
    pieces = sorted({t[i:j] for t in texts for i in range(len(t)) for j in range(i + 1, len(t) + 1)})
    words = vocabulary([*pieces, *pieces[:5], b"x", b"dx"])
    for start in range(4):
        check_walk(
            constraint,
            words,
            lambda text: any(t.startswith(text) for t in texts),
            lambda text: text in texts,
            lambda choices, start=start: choices[start % len(choices)],
        )


def test_forced_json_allows_every_spelling() -> None:
    schema = {
        "type": "object",
        "properties": {"ab": {"const": "cd"}},
        "required": ["ab"],
        "additionalProperties": False,
    }
    text = b'{"ab":"cd"}'
    pieces = sorted({text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)})
    check_walk(
        JsonSchema(schema, whitespace="compact"),
        vocabulary([*pieces, *pieces]),
        text.startswith,
        lambda t: t == text,
        lambda choices: choices[0],
        steps=12,
    )


BALANCED = Lark('start: item*\nitem: "(" item* ")" | "é"')


def depth(text: bytes) -> int | None:
    """The parentheses that are open after a prefix of a balanced text, or None if it is no such prefix."""
    level = 0
    for character in text.removesuffix(b"\xc3").decode("utf-8", "surrogateescape"):
        level += {"(": 1, ")": -1, "é": 0}.get(character, -(10**9))
        if level < 0:
            return None
    return level


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_masks_of_a_context_free_grammar_are_the_definition(data: st.DataObject) -> None:
    check_walk(
        BALANCED,
        data.draw(vocabularies("()é", 5)),
        lambda text: depth(text) is not None,
        lambda text: depth(text) == 0 and not text.endswith(b"\xc3"),
        lambda choices: data.draw(st.sampled_from(choices)),
    )


BY_BYTES = {
    "object": JsonSchema({"properties": {"a": {"type": "integer"}, "é": {"enum": ["é", None]}}}),
    "array": JsonSchema({"type": "array", "items": {"type": "string", "maxLength": 2}}),
    "any": JsonSchema(True, whitespace="any"),
    "number": JsonSchema({"type": "number", "minimum": -2, "maximum": 13.5}),
    "choice": JsonSchema({"anyOf": [{"const": "ab"}, {"const": "abc"}, {"type": "null"}]}),
    "lark": Lark('start: "a" start "b" | WORD\nWORD: /[é∀]{1,3}/\n%ignore / /'),
    "and": JsonSchema({"type": "string"}) & Regex('"[ab]*"') & Regex(".{2,4}"),
    "and-choice": Choice(["ab", "aé", "é∀"]) & Regex("a.|é."),
}


@pytest.mark.parametrize("name", BY_BYTES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_masks_are_what_reading_byte_by_byte_allows(name: str, data: st.DataObject) -> None:
    """Any vocabulary sees the language that single bytes see."""
    constraint = BY_BYTES[name]
    start = constraint.matcher(Vocabulary.of_bytes())

    def read(text: bytes) -> Matcher | None:
        matcher = start.fork()
        return matcher if all(matcher.advance(byte) for byte in text) else None

    def is_text(text: bytes) -> bool:
        matcher = read(text)
        assert constraint.matches(text) == (
            matcher is not None and matcher.is_accepting() and constraint.accepts(text)
        )
        return matcher is not None and matcher.is_accepting()

    check_walk(
        constraint,
        data.draw(vocabularies('{}[]",:ab é∀0123.-n', 3)),
        lambda text: read(text) is not None,
        is_text,
        lambda choices: data.draw(st.sampled_from(choices)),
    )


def test_any_text() -> None:
    words = vocabulary([b"a", None, b"\xff\xfe", b""])
    check_walk(AnyText(), words, lambda _: True, lambda _: True, lambda choices: choices[-1])


def test_bytes_of_a_character_over_several_tokens() -> None:
    words = vocabulary([b"\xe2", b"\x88", b"\x80", b"\x88\x80b", b"\xe2\x88"])
    matcher = Regex("∀b?").matcher(words)
    assert matcher.advance(4)
    assert unpack(matcher.mask(), 6).tolist() == [False, False, True, False, False, False]
    assert not matcher.consume(b"\x88")
    assert matcher.consume(b"\x80")
    assert matcher.is_accepting()


@pytest.mark.parametrize("pattern", ["(?!)", "(?V1)[a&&b]", "a(*FAIL)"])
def test_empty_languages_are_contradictions(pattern: str) -> None:
    with pytest.raises(ContradictionError):
        Regex(pattern)
