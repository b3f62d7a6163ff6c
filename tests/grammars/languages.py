"""Constraints of every kind together with an independent definition of their languages, by brute force.

A language is a function of byte strings. Compound ones are defined by trying every way to cut a text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from context_free_languages import strings
from hypothesis import strategies as st
from regular_languages import contains, regexes

from grammars import (
    CFG,
    AnyText,
    Choice,
    Constraint,
    NonTerminal,
    Nothing,
    Regex,
    Rule,
    Vocabulary,
    prefix_predicate,
    text_predicate,
)

Member = Callable[[bytes], bool]


@dataclass(frozen=True)
class Named:
    """A constraint and its language."""

    constraint: Constraint
    member: Member


def _named(constraint: Constraint, member: Member) -> Named:
    return Named(constraint, cache(member))


def _complete(text: str) -> bool:
    return text != "a"


@prefix_predicate(complete=_complete)
def at_most_one_b(text: str) -> bool:
    return text.count("b") <= 1


@prefix_predicate
def short(text: str) -> bool:
    return len(text) <= 2


@text_predicate
def palindrome(text: str) -> bool:
    return text == text[::-1]


@text_predicate
def odd(text: str) -> bool:
    return len(text) % 2 == 1


_S = NonTerminal("start")
NESTED = CFG([Rule("start", (b"a", _S, b"b")), Rule("start", ())])
MIRRORED = CFG([Rule("start", (c, _S, c)) for c in (b"a", b"b")] + [Rule("start", (b"a",))])


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_nested(data: bytes) -> bool:
    half = len(data) // 2
    return data == b"a" * half + b"b" * half


FIXED = (
    _named(NESTED, _is_nested),
    _named(NESTED.by_check(), _is_nested),
    _named(MIRRORED, lambda x: x == x[::-1] and len(x) % 2 == 1 and x[len(x) // 2] == ord("a")),
    _named(at_most_one_b, lambda x: _is_text(x) and x.count(b"b") <= 1 and x != b"a"),
    _named(short, lambda x: _is_text(x) and len(x.decode()) <= 2),
    _named(palindrome, lambda x: _is_text(x) and x.decode() == x.decode()[::-1]),
    _named(odd, lambda x: _is_text(x) and len(x.decode()) % 2 == 1),
    _named(AnyText(), lambda x: True),
    _named(Nothing(), lambda x: False),
)


def union(x: Named, y: Named) -> Named:
    return _named(x.constraint | y.constraint, lambda text: x.member(text) or y.member(text))


def intersection(x: Named, y: Named) -> Named:
    return _named(x.constraint & y.constraint, lambda text: x.member(text) and y.member(text))


def complement(x: Named) -> Named:
    return _named(~x.constraint, lambda text: not x.member(text))


def concatenation(x: Named, y: Named) -> Named:
    def member(text: bytes) -> bool:
        return any(x.member(text[:at]) and y.member(text[at:]) for at in range(len(text) + 1))

    return _named(x.constraint + y.constraint, member)


def literal(text: str) -> Named:
    return _named(Choice([text]), lambda x: x == text.encode())


def repetition(x: Named, least: int, most: int | None, separator: Named | None) -> Named:
    between = literal("") if separator is None else separator

    def member(text: bytes) -> bool:
        # with n items of which more than len(text) + 1 are empty, fewer do as well, unless `least` forbids
        bound = max(least, len(text) * 2 + 2) if most is None else most
        if least == 0 and not text:
            return True
        ends = {0} if bound else set()  # where k items may have ended, with their separator
        for k in range(1, bound + 1):
            items = {j for i in ends for j in range(i, len(text) + 1) if x.member(text[i:j])}
            if k >= least and len(text) in items:
                return True
            ends = {j for i in items for j in range(i, len(text) + 1) if between.member(text[i:j])}
        return False

    made = x.constraint.repeat(least, most, None if separator is None else separator.constraint)
    return _named(made, member)


def regular_leaves(characters: str = "ab") -> st.SearchStrategy[Named]:
    regular = regexes(characters).map(lambda pair: _named(Regex(pair[0]), lambda x: contains(pair[1], x)))
    pieces = st.lists(st.text(characters, max_size=3), min_size=1, max_size=3, unique=True)
    chosen = pieces.map(lambda texts: _named(Choice(texts), lambda x: x in [t.encode() for t in texts]))
    return st.one_of(regular, chosen)


def leaves(characters: str = "ab") -> st.SearchStrategy[Named]:
    return st.one_of(regular_leaves(characters), st.sampled_from(FIXED))


def expressions(
    basis: st.SearchStrategy[Named] | None = None, max_leaves: int = 4
) -> st.SearchStrategy[Named]:
    """Constraints made with the operators of the algebra."""

    def extend(inner: st.SearchStrategy[Named]) -> st.SearchStrategy[Named]:
        counts = st.sampled_from([(0, None), (1, None), (2, None), (0, 2), (2, 3), (1, 1), (0, 0), (0, 1)])
        separators = st.one_of(st.none(), st.sampled_from([literal("b"), literal("")]), inner)
        return st.one_of(
            st.builds(union, inner, inner),
            st.builds(intersection, inner, inner),
            st.builds(complement, inner),
            st.builds(concatenation, inner, inner),
            st.builds(concatenation, st.sampled_from([literal("a"), literal("ab"), literal("")]), inner),
            st.builds(lambda x, c, s: repetition(x, *c, s), inner, counts, separators),
        )

    return st.recursive(leaves() if basis is None else basis, extend, max_leaves=max_leaves)


WORDS = Vocabulary(
    (b"a", b"b", b"ab", b"ba", b"aa", b"bab", b"aab", b"\xc3", b"\xa9a", b"a\xc3", b"abba", b"bb", None),
    frozenset({12}),
)
"""Overlapping tokens, some of which end or begin within a character."""

__all__ = ["WORDS", "Named", "expressions", "leaves", "regular_leaves", "strings"]
