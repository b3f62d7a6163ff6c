"""Sets of Unicode characters as sorted ranges, and which characters a part of a regular expression matches.

The second is found by matching all of Unicode, 1,112,064 characters, in a few milliseconds. So classes,
properties and case folding are what the installed `regex` says, whatever version of Unicode the mask engine has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TypeAlias

import regex

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""First and last code point of each range, ascending, with gaps between the ranges."""

UNICODE: Ranges = ((0, 0xD7FF), (0xE000, 0x10FFFF))
"""All characters that a text can hold, without the surrogates."""


_LITERAL = re.compile(r"[^\\.\[]|\\[^a-zA-Z0-9]", re.DOTALL)


@lru_cache(maxsize=4096)
def characters(source: str, flags: str, version: int) -> Ranges:
    """Return the characters that `source`, a pattern of one character, matches under the inline `flags`."""
    if "i" not in flags and _LITERAL.fullmatch(source):
        return ((ord(source[-1]), ord(source[-1])),)
    scoped = f"(?{flags})" if flags else ""
    runs = regex.compile(f"{scoped}(?:{source})+", version, cache_pattern=False)
    return normal((ord(run[0]), ord(run[-1])) for run in runs.findall(_all()))


@cache
def _all() -> str:
    return "".join(chr(code) for first, last in UNICODE for code in range(first, last + 1))


def normal(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the union of ranges in normal form, without surrogates."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return tuple(part for piece in result for part in _without_surrogates(*piece))


def _without_surrogates(first: int, last: int) -> Iterable[tuple[int, int]]:
    for low, high in UNICODE:
        if first <= high and low <= last:
            yield max(first, low), min(last, high)


def intersection(x: Ranges, y: Ranges) -> Ranges:
    """Return the characters that are in both."""
    result = []
    i = j = 0
    while i < len(x) and j < len(y):
        first, last = max(x[i][0], y[j][0]), min(x[i][1], y[j][1])
        if first <= last:
            result.append((first, last))
        if x[i][1] < y[j][1]:
            i += 1
        else:
            j += 1
    return tuple(result)


def complement(x: Ranges) -> Ranges:
    """Return the characters that are not in `x`."""
    gaps = []
    begin = 0
    for first, last in x:
        if begin < first:
            gaps.append((begin, first - 1))
        begin = last + 1
    if begin <= 0x10FFFF:
        gaps.append((begin, 0x10FFFF))
    return normal(gaps)


def difference(x: Ranges, y: Ranges) -> Ranges:
    """Return the characters of `x` that are not in `y`."""
    return intersection(x, complement(y))


def partition(sets: Iterable[Ranges]) -> list[Ranges]:
    """Return the coarsest partition of all characters that tells the members of each of `sets` from the others."""
    parts = [UNICODE]
    for members in sets:
        parts = [
            piece
            for part in parts
            for piece in (intersection(part, members), difference(part, members))
            if piece
        ]
    return parts
