"""Terms that denote sets of texts, closed under Boolean operations, for `regex_spelling` to write down.

    Chars(R)           the characters in R
    Cat(x, y, ...)     x y ..., one after another; of nothing, the empty text
    Either(x, y, ...)  x ∪ y ∪ ...; of nothing, the empty set
    Both(x, y, ...)    x ∩ y ∩ ...
    Loop(x, m, n)      x^m ∪ ... ∪ x^n, or x^m ∪ x^(m+1) ∪ ... if n is None
    Not(x)             all byte strings that are not in x
    Enlarged(x)        x, marked as a superset of what was meant

Build them with the functions of this module, which simplify. Parts are shared, not copied.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TypeAlias

from typing_extensions import override

from grammars.regex_characters import UNICODE, Ranges, intersection, normal


class _Term:
    """Equality by structure. Hashes are kept, since parts are shared so widely that a tree of them is huge."""

    @cached_property
    def _values(self) -> tuple[object, ...]:
        return (type(self), *(getattr(self, field.name) for field in fields(self)))  # type: ignore[arg-type]

    @cached_property
    def _hash(self) -> int:
        return hash(self._values)

    @override
    def __hash__(self) -> int:
        return self._hash

    @override
    def __eq__(self, other: object) -> bool:
        same_hash = isinstance(other, _Term) and self._hash == other._hash
        return self is other or (same_hash and self._values == other._values)  # type: ignore[attr-defined]

    @cached_property
    def nullable(self) -> bool:
        """Whether the empty text is in."""
        match self:
            case Cat(parts) | Both(parts):
                return all(part.nullable for part in parts)
            case Either(parts):
                return any(part.nullable for part in parts)
            case Loop(body, least, _):
                return least == 0 or body.nullable
            case Not(body):
                return not body.nullable
            case Enlarged(body):
                return body.nullable
        return False

    @cached_property
    def size(self) -> int:
        """The number of parts and of ranges of characters, each counted as often as it is used."""
        match self:
            case Chars(ranges):
                return len(ranges)
            case Cat(parts) | Both(parts) | Either(parts):
                return 1 + sum(part.size for part in parts)
            case Loop(body) | Not(body) | Enlarged(body):
                return 1 + body.size
        return 1

    @cached_property
    def exact(self) -> bool:
        """Whether no part is marked as enlarged."""
        match self:
            case Cat(parts) | Both(parts) | Either(parts):
                return all(part.exact for part in parts)
            case Loop(body) | Not(body):
                return body.exact
        return not isinstance(self, Enlarged)


@dataclass(frozen=True, eq=False)
class Chars(_Term):
    """One of these characters."""

    ranges: Ranges


@dataclass(frozen=True, eq=False)
class Cat(_Term):
    """The parts one after another."""

    parts: tuple[Language, ...]


@dataclass(frozen=True, eq=False)
class Either(_Term):
    """The union of the parts."""

    parts: tuple[Language, ...]


@dataclass(frozen=True, eq=False)
class Both(_Term):
    """The intersection of the parts."""

    parts: tuple[Language, ...]


@dataclass(frozen=True, eq=False)
class Loop(_Term):
    """`body` repeated."""

    body: Language
    least: int
    most: int | None


@dataclass(frozen=True, eq=False)
class Not(_Term):
    """The complement of `body`."""

    body: Language


@dataclass(frozen=True, eq=False)
class Enlarged(_Term):
    """The texts of `body`, which are perhaps more than were meant."""

    body: Language


Language: TypeAlias = Chars | Cat | Either | Both | Loop | Not | Enlarged

EPSILON = Cat(())
NOTHING = Either(())
ANY = Loop(Chars(UNICODE), 0, None)
"""All texts."""


def chars(ranges: Ranges) -> Language:
    """Return the set of these characters."""
    return Chars(ranges) if ranges else NOTHING


def cat(*parts: Language) -> Language:
    """Return the concatenation."""
    if NOTHING in parts:
        return NOTHING
    flat = [piece for part in parts for piece in (part.parts if isinstance(part, Cat) else (part,))]
    return flat[0] if len(flat) == 1 else Cat(tuple(flat))


def either(*parts: Language) -> Language:
    """Return the union."""
    flat = [piece for part in parts for piece in (part.parts if isinstance(part, Either) else (part,))]
    single = [piece for piece in flat if isinstance(piece, Chars)]
    if len(single) > 1:
        merged = Chars(normal(pair for piece in single for pair in piece.ranges))
        flat = [merged, *(piece for piece in flat if not isinstance(piece, Chars))]
    kept = _distinct(flat)
    if ANY in kept:
        return ANY
    return kept[0] if len(kept) == 1 else Either(tuple(kept))


def both(*parts: Language) -> Language:
    """Return the intersection; all parts but complements must consist of texts, not of any bytes."""
    flat = [piece for part in parts for piece in (part.parts if isinstance(part, Both) else (part,))]
    if NOTHING in flat:
        return NOTHING
    if EPSILON in flat:
        exact = all(part.exact for part in flat)
        only = EPSILON if exact else enlarged(EPSILON)
        return only if all(part.nullable for part in flat) else NOTHING
    kept = [piece for piece in _distinct(flat) if piece not in (ANY, Not(NOTHING))]
    return ANY if not kept else kept[0] if len(kept) == 1 else Both(tuple(kept))


def loop(body: Language, least: int, most: int | None) -> Language:
    """Return the repetition."""
    if most == 0 or body == EPSILON:
        return EPSILON
    if body == NOTHING:
        return NOTHING if least else EPSILON
    return body if (least, most) == (1, 1) else Loop(body, least, most)


def negation(language: Language) -> Language:
    """Return the complement, which is to be intersected with texts."""
    return NOTHING if language == ANY else language.body if isinstance(language, Not) else Not(language)


def enlarged(language: Language) -> Language:
    """Mark a superset of what was meant."""
    return Enlarged(language) if language.exact and language != NOTHING else language


def ending(language: Language, last: Ranges) -> Language:
    """Return the texts of `language` whose last character is one of `last`."""
    match language:
        case Chars(ranges):
            return chars(intersection(ranges, last))
        case Cat((*before, part)) if not part.nullable:
            return cat(*before, ending(part, last))
        case Either(parts):
            return either(*(ending(part, last) for part in parts))
        case Loop(Chars(ranges), least, most):
            shorter = loop(Chars(ranges), max(least - 1, 0), None if most is None else most - 1)
            return cat(shorter, chars(intersection(ranges, last)))
    return language if last == UNICODE and not language.nullable else both(language, cat(ANY, chars(last)))


def literal(text: str) -> Language:
    """Return the set of one text."""
    return cat(*(Chars(((ord(character), ord(character)),)) for character in text))


def words(language: Language, limit: int) -> tuple[str, ...] | None:
    """Return the texts of a finite language in any order, or None if there seem to be more than `limit`."""
    match language:
        case Chars(ranges):
            if sum(last - first + 1 for first, last in ranges) > limit:
                return None
            return tuple(chr(code) for first, last in ranges for code in range(first, last + 1))
        case Either(parts):
            lists = [words(part, limit) for part in parts]
            found = dict.fromkeys(word for each in lists for word in each or ())
            return None if None in lists or len(found) > limit else tuple(found)
        case Cat(parts):
            result: tuple[str, ...] = ("",)
            for part in parts:
                ends = words(part, limit)
                if ends is None or len(result) * len(ends) > limit:
                    return None
                result = tuple(begin + end for begin in result for end in ends)
            return tuple(dict.fromkeys(result))
        case Loop(body, least, int(most)) if most <= limit:
            return words(either(*(cat(*[body] * n) for n in range(least, most + 1))), limit)
    return None


def _distinct(parts: Iterable[Language]) -> list[Language]:
    return list(dict.fromkeys(parts))
