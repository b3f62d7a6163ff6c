"""Kinds: a fixed prior over the bytes that may come next, which takes the place of a language model.

What may come falls into kinds, each with a weight that its allowed members share equally. Uniform over bytes would be
no good: in a JSON string 1 byte in 190 closes it. Over kinds it is 1 in 8, and nested arrays and objects die out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

END = 256
"""The end of a text, beside the bytes 0 to 255."""
_FREE = 64
"""Where more bytes than these are allowed, text is written, and brackets close nothing."""


@dataclass(frozen=True)
class Kind:
    """Symbols that are alike: the weight that the allowed ones share, and the symbols, the simplest first."""

    weight: float
    symbols: tuple[int, ...]


_ENDS = (Kind(2.0, (END,)), Kind(2.0, tuple(b'"')))
_WORDS = (
    Kind(3.0, tuple(b"0123456789")),
    Kind(3.0, tuple(b"abcdefghijklmnopqrstuvwxyz")),
    Kind(1.5, tuple(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    Kind(1.0, tuple(b" ")),
)
_OPENING, _CLOSING = Kind(1.0, tuple(b"([{<")), Kind(2.0, tuple(b")]}>"))
_NAMED = {symbol for kind in (*_ENDS, *_WORDS, _OPENING, _CLOSING) for symbol in kind.symbols}
_OTHERS = (
    Kind(1.5, tuple(symbol for symbol in range(0x20, 0x7F) if symbol not in _NAMED)),
    Kind(0.25, tuple(b"\n\t\r")),
    Kind(0.5, tuple(range(0x80, 0x100))),
    Kind(0.1, (*(symbol for symbol in range(0x20) if symbol not in b"\n\t\r"), 0x7F)),
)
_IN_STRUCTURE = (*_ENDS, _CLOSING, *_WORDS, _OPENING, *_OTHERS)
_IN_TEXT = (*_ENDS, *_WORDS, _OPENING, _CLOSING, *_OTHERS)
"""The simplest kind first. The end, a quote and, in structure, brackets that close come before all else."""


def options_of(allowed: Iterable[int]) -> tuple[list[int], list[float]]:
    """Return the allowed symbols, the simplest first, and the weight of each."""
    possible = set(allowed)
    symbols: list[int] = []
    weights: list[float] = []
    for kind in _IN_TEXT if len(possible) > _FREE else _IN_STRUCTURE:
        members = [symbol for symbol in kind.symbols if symbol in possible]
        symbols += members
        weights += [kind.weight / max(len(members), 1)] * len(members)
    return symbols, weights
