"""Random patterns against brute force: all short texts, matched by `regex`."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import ContradictionError, GrammarError, Matcher, MatcherError, Regex, Vocabulary, unpack

ALPHABET = "ab\n"
LONGEST = 4
TEXTS = ["".join(t) for n in range(LONGEST + 1) for t in itertools.product(ALPHABET, repeat=n)]
BYTES = Vocabulary.of_bytes()

LEAVES = [*"ab.^$", "[ab]", "[^a]", r"\w", r"\s", r"\n?", "", r"\b", r"\B", r"\A", r"\Z", r"\m", r"\M", r"\R"]
LEAVES += ["(?i:A)", "(?m:^)", "(?m:$)", "(?s:.)", "(*FAIL)", "(*PRUNE)", r"\K", r"\G"]
COUNTS = ["*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}"]
WORDS = ["a", "ab", "aba|bb", "[ab]b", r"a\n"]


def patterns(leaves: list[str], wrapped: list[Callable[[str], str]]) -> st.SearchStrategy[str]:
    """Patterns of the leaves, joined, repeated and put into groups; group 1 is there to be referred to."""

    def extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        pairs = st.tuples(inner, inner)
        return st.one_of(
            pairs.map("".join),
            pairs.map(lambda p: f"(?:{p[0]}|{p[1]})"),
            st.tuples(inner, st.sampled_from(COUNTS), st.sampled_from(["", "", "?", "+"])).map(
                lambda p: f"(?:{p[0]}){p[1]}{p[2]}"
            ),
            *(inner.map(wrap) for wrap in wrapped),
        )

    return st.recursive(st.sampled_from(leaves), extend, max_leaves=10)


REGULAR = patterns(
    LEAVES,
    [
        lambda p: f"({p})",
        lambda p: f"(?={p})",
        lambda p: f"(?!{p})",
        lambda p: f"(?<={p})",
        lambda p: f"(?<!{p})",
        lambda p: f"(?>{p})",
        lambda p: f"(?m:{p})",
        lambda p: f"(?(?={p})a|{p})",
        lambda p: f"(?(?!{p}){p}|b)",
        lambda p: f"(?:(?!{p})[ab])*",
    ],
)
REFERRING = patterns(
    [*LEAVES, *[r"\1", r"(?i:\1)", r"(?:(?!\1).)*", r"(?(1)a|b)"] * 3],
    [
        lambda p: f"(?={p})",
        lambda p: f"(?!{p})",
        lambda p: f"(?<={p})",
        lambda p: f"(?>{p})",
        lambda p: f"(?(1){p}|b)",
        lambda p: f"(?(1)a|{p})",
        lambda p: f"(?(?<={p})a|{p})",
    ],
)
IRREGULAR = st.tuples(
    patterns([*LEAVES, "(?m:^)"], [lambda p: f"(?={p})", lambda p: f"(?>{p})"]),
    REFERRING | REFERRING.map(lambda p: f"{p}(?1)"),
    st.sampled_from(
        [
            "{0}{1}",
            "(?:{0}|b){1}",
            "{0}?{1}",
            "(?={0}){1}",
            "(?:{0}|{1})*",
            "(?:{1}|b){0}",
            "(?:{0}|{1}){{2}}",
        ]
    ),
).map(lambda p: p[2].format(f"({p[0]})", p[1]))


def check(pattern: str) -> None:
    """A matcher allows all that can be completed; a text is in where `regex` says so; masks contain the checks."""
    try:
        expected = regex.compile(pattern, regex.V0)
        members = {text for text in TEXTS if expected.fullmatch(text, timeout=0.3)}
        constraint = Regex(pattern)
    except (regex.error, TimeoutError, MemoryError):
        return
    except ContradictionError:
        assert not members
        return
    except GrammarError:  # a call that never ends
        assert "(?1)" in pattern
        return
    begun = {text[:n] for text in members for n in range(len(text) + 1)}

    def explore(text: str, matcher: Matcher) -> None:
        assert (matcher.is_accepting() and constraint.accepts(text.encode())) == (text in members), repr(text)
        if len(text) == LONGEST:
            return
        mask = matcher.mask()
        assert mask is not None
        masked = unpack(mask, 256)
        for character in ALPHABET:
            following = matcher.fork()
            allowed = following.consume(character.encode())
            assert allowed or text + character not in begun, repr(text + character)
            assert allowed == (masked[ord(character)] and matcher.confirms(ord(character)))
            if allowed:
                explore(text + character, following)

    with contextlib.suppress(MatcherError):  # a check that takes too long
        explore("", constraint.matcher(BYTES))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([".", "a", "[ab]", "(?s:.)"]),
    st.sampled_from(WORDS),
    st.sampled_from(["*", "+", "{1,3}", "*?"]),
    REGULAR,
)
def test_loops_that_avoid_words(step: str, word: str, count: str, rest: str) -> None:
    check(f"(?:(?!{word}){step}){count}{rest}")


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["(a|b)", "(?:(a|ab)|b)", "(a)?", "(?:(a)|b){2}", "(?|(a)|(bb))"]), REFERRING)
def test_groups_that_are_followed(group: str, pattern: str) -> None:
    check(group.replace("{{", "{").replace("}}", "}") + pattern.replace("(?1)", r"(?(1)\1|b)"))


@settings(max_examples=120, deadline=None)
@given(REGULAR)
def test_look_arounds_and_atomic_groups(pattern: str) -> None:
    check(pattern)


@settings(max_examples=160, deadline=None)
@given(IRREGULAR)
def test_references_calls_and_conditions(pattern: str) -> None:
    check(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"a\b.*",  # at the end of a prefix, a word may go on
        r"a*(?<=aaa)b",  # and so may a loop before a look-behind
        r"(?:a|\n)+(?!b*$)b",  # a negation of the end
        r"(?:(a)|b)*\1",  # a reference that is not yet set
        r"(?>(?=a*\b)|a)ab",  # an atomic group that would choose too early
        r"(?=(a*\b))\1b?",  # a capture that may change
        r"(?>(?:(?=a*$)|a)*)b",
        r"(?:(a)|b)*(?(1)a|(?!))b",
        r"((?>a*)b)\1?(?<!ab)",
        r"(?(?!b)(?:ab|a)|b)|(?(?<![ab])(?:[^a]b|a)|b)",  # where `regex` itself overlooks a match
        r"(?:(?!a).)*((?=(?(?!)|b)))",  # and where it finds one too many
        r"(?m)(?!(?:\b){2,}?(?>^))",
        r"(?m)(?=\Z(?<=\M))",
    ],
)
def test_traps_of_partial_matching(pattern: str) -> None:
    check(pattern)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_characters_cut_into_bytes(data: st.DataObject) -> None:
    """Checks in the middle of a character ask about the characters before it."""
    pattern = data.draw(st.sampled_from([r"(é|∀)+\1", "(?:(?!é∀).)+", "(é)?(?(1)∀|é{2})", r"é\b.*\w"]))
    text = "".join(data.draw(st.lists(st.sampled_from("é∀a"), max_size=4)))
    matches = bool(regex.fullmatch(pattern, text))
    constraint = Regex(pattern)
    assert constraint.matches(text) == matches
    assert not constraint.matches(text.encode() + b"\xc3")
    assert not constraint.matches(text.encode() + b"\xff")
    matcher = constraint.matcher(BYTES)
    for byte in text.encode():
        before = matcher.allows(byte)
        assert before or not matches
        if not matcher.advance(byte):
            break
