"""Kinds: a fixed prior over what may come next, which takes the place of a language model.

What may come falls into kinds, each with a weight that its allowed members share equally. Uniform over bytes would be
no good: in a JSON string 1 byte in 190 closes it. Over kinds it is 1 in 8, and nested arrays and objects die out.
Hints of the matcher, such as the names that an object lists, are a kind of their own, with as much weight as all else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

END = b""
"""The end of a text, beside the bytes and the hints that may come."""
_FREE = 64
"""Where more bytes than these are allowed, and there is no hint, text is written, and brackets close nothing."""
_HURRY = 64.0
"""How many times as much what closes weighs in the second half of a text."""


@dataclass(frozen=True)
class Kind:
    """Options that are alike: the weight that the allowed ones share, and the options, the simplest first."""

    weight: float
    options: tuple[bytes, ...]


def _kind(weight: float, symbols: Iterable[int]) -> Kind:
    return Kind(weight, tuple(bytes([symbol]) for symbol in symbols))


_END, _QUOTE = Kind(2.0, (END,)), _kind(2.0, b'"')
_OPENING, _CLOSING = _kind(1.0, b"([{<"), _kind(2.0, b")]}>")
_WORDS = (
    _kind(3.0, b"0123456789"),
    _kind(3.0, b"abcdefghijklmnopqrstuvwxyz"),
    _kind(1.5, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    _kind(1.0, b" "),
)
_NAMED = {option for kind in (_QUOTE, *_WORDS, _OPENING, _CLOSING) for option in kind.options}
_OTHERS = (
    _kind(1.5, (symbol for symbol in range(0x20, 0x7F) if bytes([symbol]) not in _NAMED)),
    _kind(0.25, b"\n\t\r"),
    _kind(0.5, range(0x80, 0x100)),
    _kind(0.1, (*(symbol for symbol in range(0x20) if symbol not in b"\n\t\r"), 0x7F)),
)


def kinds_of(allowed: Iterable[bytes], hints: tuple[bytes, ...] = (), *, late: bool = False) -> list[Kind]:
    """Return the kinds of what may come next, the simplest first: the end, then what closes.

    Parameters
    ----------
    allowed:
        `END` and single bytes.
    hints:
        Of the matcher.
    late:
        Whether the text should come to its end.
    """
    possible = set(allowed)
    closing = (_END, _QUOTE) if len(possible) > _FREE and not hints else (_END, _CLOSING)
    others = [kind for kind in (_QUOTE, *_WORDS, _OPENING, _CLOSING, *_OTHERS) if kind not in closing]
    first, rest = ([_among(kind, possible) for kind in kinds] for kinds in (closing, others))
    hinted = Kind(sum(kind.weight for kind in (*first, *rest) if kind.options) or 1.0, hints)
    hurry = _HURRY if late else 1.0
    kinds = [*(Kind(hurry * kind.weight, kind.options) for kind in first), hinted, *rest]
    return [kind for kind in kinds if kind.options]


def _among(kind: Kind, possible: set[bytes]) -> Kind:
    return Kind(kind.weight, tuple(option for option in kind.options if option in possible))


def weighted(kinds: Iterable[Kind]) -> tuple[list[bytes], list[float]]:
    """Return all options, the simplest first, and the weight of each."""
    pairs = [(option, kind.weight / len(kind.options)) for kind in kinds for option in kind.options]
    return [option for option, _ in pairs], [weight for _, weight in pairs]


def varied(kinds: Iterable[Kind]) -> list[bytes]:
    """Return all options, different ones early: the simplest of each kind first."""
    kinds = list(kinds)
    return [kind.options[0] for kind in kinds] + [option for kind in kinds for option in kind.options[1:]]
