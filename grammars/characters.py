"""Sets of Unicode characters, and the bytes that UTF-8 spells them with.

A `Characters` is a sorted tuple of ranges of code points. Surrogates, which no UTF-8 text holds, are never in
one. An `Alphabet` cuts several sets into *classes*, such that each set is a union of classes: whoever reads
characters need only tell classes apart.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_LEADS = ((0x7F, 0x00, 0), (0x7FF, 0xC0, 6), (0xFFFF, 0xE0, 12), (_LAST, 0xF0, 18))

Range: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Characters:
    """A set of characters.

    Attributes
    ----------
    ranges:
        Disjoint ranges of code points, first and last, ascending, as few as possible, without surrogates.
    """

    ranges: tuple[Range, ...]

    @classmethod
    def of(cls, ranges: Iterable[Range]) -> Characters:
        """Return the set of the characters in any of `ranges`, in any order; surrogates are left out."""
        merged: list[list[int]] = []
        for first, last in sorted(part for given in ranges for part in _without_surrogates(*given)):
            if merged and first <= merged[-1][1] + 1:
                merged[-1][1] = max(merged[-1][1], last)
            else:
                merged.append([first, last])
        return cls(tuple((first, last) for first, last in merged))

    def __invert__(self) -> Characters:
        gaps = []
        begin = 0
        for first, last in self.ranges:
            gaps.append((begin, first - 1))
            begin = last + 1
        return Characters.of([*gaps, (begin, _LAST)])

    def __or__(self, other: Characters) -> Characters:
        return Characters.of(self.ranges + other.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def lead_bytes(self) -> frozenset[int]:
        """Return the first bytes of the characters in UTF-8."""
        found: set[int] = set()
        for first, last in self.ranges:
            found.update(range(_lead_byte(first), _lead_byte(last) + 1))
        return frozenset(found)

    def to_regex(self) -> str:
        """Return a character class of the common dialect of regexes, with code points in hexadecimal."""
        inverse = ~self
        if not inverse:
            return r"(?s:.)"
        negated = len(inverse.ranges) < len(self.ranges)
        parts = (
            rf"\x{{{first:X}}}" if first == last else rf"\x{{{first:X}}}-\x{{{last:X}}}"
            for first, last in (inverse if negated else self).ranges
        )
        return f"[{'^' if negated else ''}{''.join(parts)}]"


def _without_surrogates(first: int, last: int) -> Iterable[Range]:
    low, high = _SURROGATES
    parts = ((first, min(last, low - 1)), (max(first, high + 1), last))
    return [(begin, end) for begin, end in parts if begin <= end]


def _lead_byte(code: int) -> int:
    return next(mark | code >> shift for limit, mark, shift in _LEADS if code <= limit)


@lru_cache(maxsize=256)
def matched_by(pattern: str, flags: int) -> Characters:
    """Return the characters that a pattern of Python's `re`, which matches single characters, matches."""
    found = re.finditer(f"(?:{pattern})+", _all_characters(), flags)
    return Characters.of(part for run in found for part in _code_points(run.start(), run.end() - 1))


@lru_cache(maxsize=1)
def _all_characters() -> str:
    low, high = _SURROGATES
    return "".join(map(chr, (*range(low), *range(high + 1, _LAST + 1))))


def _code_points(first: int, last: int) -> list[Range]:
    """Return the code points at a range of indices of the string of all characters."""
    low, high = _SURROGATES
    gap = high - low + 1
    parts = ((first, min(last, low - 1), 0), (max(first, low), last, gap))
    return [(begin + shift, end + shift) for begin, end, shift in parts if begin <= end]


class Alphabet:
    """The classes into which sets of characters cut the set of all characters.

    Parameters
    ----------
    sets:
        The sets to tell apart.

    Attributes
    ----------
    classes:
        The classes by number: disjoint, none empty, together all characters.
    """

    def __init__(self, sets: Iterable[Characters]) -> None:
        distinct = {Characters.of([(0, _LAST)]), *sets}
        edges: defaultdict[int, list[int]] = defaultdict(list)  # code point -> the sets that change there
        for number, characters in enumerate(distinct):
            for first, last in characters.ranges:
                edges[first].append(number)
                edges[last + 1].append(number)
        inside: set[int] = set()
        pieces: defaultdict[frozenset[int], list[Range]] = defaultdict(list)
        cuts = sorted(edges)
        for begin, end in pairwise(cuts):
            inside.symmetric_difference_update(edges[begin])
            if inside:
                pieces[frozenset(inside)].append((begin, end - 1))
        self.classes = [Characters.of(ranges) for ranges in pieces.values()]
        members: dict[Characters, set[int]] = {characters: set() for characters in distinct}
        numbered = list(distinct)
        for index, signature in enumerate(pieces):
            for number in signature:
                members[numbered[number]].add(index)
        self._members = {characters: frozenset(found) for characters, found in members.items()}

    def classes_of(self, characters: Characters) -> frozenset[int]:
        """Return the classes that make up one of the sets given."""
        return self._members[characters]

    def union(self, classes: Iterable[int]) -> Characters:
        """Return the characters of several classes."""
        return Characters.of(part for index in classes for part in self.classes[index].ranges)
