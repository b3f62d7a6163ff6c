"""Patterns of Python's `re`, taken apart into what regular languages are made of.

Python's own parser reads the pattern, and Python's own matcher tells which characters a class holds, so that
flags, escapes and Unicode classes mean what they mean in `re`. What is not regular (backreferences,
conditionals, atomic groups, possessive quantifiers) and what depends on the place in the whole text (anchors)
is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, TypeAlias

from grammars.characters import Characters, matched_by

_NOT_REGULAR = {
    codes.GROUPREF: "a backreference",
    codes.GROUPREF_EXISTS: "a conditional group",
    codes.ATOMIC_GROUP: "an atomic group",
    codes.POSSESSIVE_REPEAT: "a possessive quantifier",
}
_CATEGORIES = {
    codes.CATEGORY_DIGIT: r"\d",
    codes.CATEGORY_NOT_DIGIT: r"\D",
    codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_NOT_SPACE: r"\S",
    codes.CATEGORY_WORD: r"\w",
    codes.CATEGORY_NOT_WORD: r"\W",
}
_CHARACTER_FLAGS = re.IGNORECASE | re.ASCII


class UnsupportedPatternError(Exception):
    """A pattern that has no regular meaning; the text says what in it."""


@dataclass(frozen=True)
class One:
    """One character of a set."""

    characters: Characters


@dataclass(frozen=True)
class Sequence:
    """The parts, one after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of the options; the earlier is preferred."""

    options: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """The body, from `least` to `most` times; None: any number. A lazy repeat prefers fewer."""

    body: Node
    least: int
    most: int | None
    lazy: bool


@dataclass(frozen=True)
class Look:
    """Nothing, where the body follows (or `behind`: precedes) or, if `negative`, does not.

    `width` is the number of characters of a body behind.
    """

    body: Node
    behind: bool
    negative: bool
    width: int


Node: TypeAlias = One | Sequence | Choice | Repeat | Look


def parse(pattern: str) -> Node:
    """Return the parts of a pattern.

    Raises
    ------
    UnsupportedPatternError
        If the pattern is malformed or has no regular meaning.
    """
    try:
        parsed = _parser.parse(pattern)
        return _sequence(parsed, parsed.state.flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise UnsupportedPatternError(f"it is no regular expression of Python ({error})") from None


def _sequence(parsed: Any, flags: int) -> Node:
    parts = tuple(_node(code, argument, flags) for code, argument in parsed)
    return parts[0] if len(parts) == 1 else Sequence(parts)


def _node(code: Any, argument: Any, flags: int) -> Node:
    if code in (codes.LITERAL, codes.NOT_LITERAL, codes.ANY, codes.IN):
        return One(_characters(code, argument, flags))
    if code is codes.BRANCH:
        return Choice(tuple(_sequence(option, flags) for option in argument[1]))
    if code is codes.SUBPATTERN:
        _, add, remove, inner = argument
        return _sequence(inner, (flags | add) & ~remove)
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
        least, most, inner = argument
        limit = None if most is codes.MAXREPEAT else int(most)
        return Repeat(_sequence(inner, flags), int(least), limit, code is codes.MIN_REPEAT)
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        direction, inner = argument
        body = _sequence(inner, flags)
        return Look(body, direction < 0, code is codes.ASSERT_NOT, inner.getwidth()[0])
    if code is codes.AT:
        return _boundary(argument, flags)
    raise UnsupportedPatternError(f"it uses {_NOT_REGULAR.get(code, str(code).lower())}")


def _boundary(where: Any, flags: int) -> Node:
    r"""Return `\b` or `\B` in terms of looks."""
    if where not in (codes.AT_BOUNDARY, codes.AT_NON_BOUNDARY):
        raise UnsupportedPatternError("it uses an anchor: ^, $, \\A or \\Z")
    word = One(_characters(codes.IN, [(codes.CATEGORY, codes.CATEGORY_WORD)], flags))
    same = where is codes.AT_NON_BOUNDARY
    sides = (False, True)  # is the character before a word character?
    return Choice(
        tuple(
            Sequence((Look(word, True, not inside, 1), Look(word, False, inside is not same, 1)))
            for inside in sides
        )
    )


def _characters(code: Any, argument: Any, flags: int) -> Characters:
    if code is codes.ANY:
        everything = Characters.of([(0, 0x10FFFF)])
        return everything if flags & re.DOTALL else ~Characters.of([(10, 10)])
    if code is codes.LITERAL:
        items, negated = [(code, argument)], False
    elif code is codes.NOT_LITERAL:
        items, negated = [(codes.LITERAL, argument)], True
    else:
        negated = argument[0][0] is codes.NEGATE
        items = argument[1:] if negated else argument
    if flags & re.IGNORECASE or any(item[0] is codes.CATEGORY for item in items):
        written = "".join(_class_item(*item) for item in items)
        return matched_by(f"[{'^' if negated else ''}{written}]", flags & _CHARACTER_FLAGS)
    found = Characters.of((value, value) if item is codes.LITERAL else value for item, value in items)
    return ~found if negated else found


def _class_item(code: Any, value: Any) -> str:
    if code is codes.CATEGORY:
        return _CATEGORIES[value]
    first, last = (value, value) if code is codes.LITERAL else value
    return rf"\U{first:08x}-\U{last:08x}"


def sets(node: Node) -> Iterator[Characters]:
    """Yield the sets of characters in a pattern."""
    if isinstance(node, One):
        yield node.characters
    else:
        for inner in children(node):
            yield from sets(inner)


def looks(node: Node) -> Iterator[Look]:
    """Yield the look-arounds in a pattern, those within look-arounds after the outer."""
    if isinstance(node, Look):
        yield node
    for inner in children(node):
        yield from looks(inner)


def children(node: Node) -> tuple[Node, ...]:
    """Return the patterns that a pattern consists of."""
    match node:
        case Sequence(parts):
            return parts
        case Choice(options):
            return options
        case Repeat(body=body) | Look(body=body):
            return (body,)
    return ()
