"""Tokens that cross from one part of a text into the next.

Such a token holds, behind its first byte, one of the bytes with which the next part may begin. Only the tokens that
do are tried, byte by byte, in sorted order, so that what tokens begin with in common is read once, and where that
fails all of them are skipped. Where there is too much to read, or a part that a mask cannot look into, the tokens are
left in untried: the mask is then a superset.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from grammars.cache import per_vocabulary
from grammars.vocabulary import Mask, Vocabulary, pack, unpack

State = TypeVar("State", bound=Sequence[object])
STEPS = 1024
"""Bytes that may be read for one mask, by all parts of the states together."""


def crossing(vocabulary: Vocabulary, openings: Iterable[int], within: Mask) -> Mask:
    """Return the tokens that may cross: in which one of the bytes `openings` stands behind the first byte.

    Parameters
    ----------
    vocabulary:
        The tokens.
    openings:
        The bytes with which a following part may begin.
    within:
        The mask of what the parts that are being read allow. What it holds is left out, and so are the tokens that
        begin with a byte which it does not hold though a token spells it.
    """
    rows = sorted(openings)
    if not rows:
        return pack([], vocabulary.size)
    table = _table(vocabulary, None)
    candidates: Mask = np.bitwise_or.reduce(table.holding[rows], axis=0) & ~within
    refused = (table.single >= 0) & ~unpack(within, vocabulary.size)[np.maximum(table.single, 0)]
    candidates &= ~np.bitwise_or.reduce(table.beginning[refused], axis=0)
    return candidates


def try_tokens(
    vocabulary: Vocabulary,
    tokens: Mask,
    start: State,
    step: Callable[[State, bytes, bytes], State],
    is_opaque: Callable[[State], bool],
) -> tuple[Mask, bool]:
    """Return those of `tokens` that may come, and whether all of them were tried to their end.

    Parameters
    ----------
    vocabulary, tokens:
        The candidates.
    start:
        The state before the token.
    step:
        `step(state, before, byte)` returns the state after one more byte of a token of which `before` was read: the
        parts that may be read there, none if no text goes on that way.
    is_opaque:
        Whether a state is not to be stepped on from.
    """
    if not tokens.any():
        return tokens, True
    table = _table(vocabulary, None)
    places = np.flatnonzero(
        unpack(tokens, vocabulary.size)[table.order]
    )  # of the candidates, in sorted order
    allowed: list[NDArray[np.int64]] = []
    path: list[State | None] = [start]  # after each byte of the last token, until it is lost; None: not tried
    before, steps, all_tried, at = b"", STEPS, True, 0
    while at < len(places):
        data = table.texts[places[at]]
        del path[_shared(before, data) + 1 :]
        before = data
        while path[-1] and (read := len(path) - 1) < len(data):
            if steps > 0 and not is_opaque(path[-1]):
                steps -= len(path[-1])
                path.append(step(path[-1], data[:read], data[read : read + 1]))
            else:
                path.append(None)
        end = at + 1
        if not path[-1]:  # so it is with all that begin alike
            end = int(np.searchsorted(places, table.end_of(data[: len(path) - 1])))
        if path[-1] is None or path[-1]:
            allowed.append(table.order[places[at:end]])
        all_tried &= path[-1] is not None
        at = end
    return pack(np.concatenate(allowed) if allowed else [], vocabulary.size), all_tried


def _shared(x: bytes, y: bytes) -> int:
    """Return the length of the longest common beginning."""
    return next((at for at, (a, b) in enumerate(zip(x, y, strict=False)) if a != b), min(len(x), len(y)))


class _Table:
    """The tokens of a vocabulary, sorted and by their bytes.

    Attributes
    ----------
    order, texts:
        The ids that have text, sorted by it, and the texts in this order.
    single:
        For each byte an id that spells it, or -1; shape (256,).
    beginning, holding:
        For each byte the mask of the tokens that begin with it, and of those that hold it behind their first byte;
        shape (256, words).
    """

    def __init__(self, tokens: Sequence[bytes | None]) -> None:
        pairs = sorted((data, token) for token, data in enumerate(tokens) if data)
        self.order = np.array([token for _, token in pairs], dtype=np.int64)
        self.texts = [data for data, _ in pairs]
        self.single = np.full(256, -1, dtype=np.int64)
        beginning: list[list[int]] = [[] for _ in range(256)]
        holding: list[list[int]] = [[] for _ in range(256)]
        for data, token in pairs:
            beginning[data[0]].append(token)
            for byte in set(data[1:]):
                holding[byte].append(token)
            if len(data) == 1:
                self.single[data[0]] = token
        self.beginning = np.stack([pack(ids, len(tokens)) for ids in beginning])
        self.holding = np.stack([pack(ids, len(tokens)) for ids in holding])

    def end_of(self, prefix: bytes) -> int:
        """Return the place behind the texts that begin with `prefix`, which is not empty."""
        stem = prefix.rstrip(b"\xff")
        return bisect_left(self.texts, stem[:-1] + bytes([stem[-1] + 1])) if stem else len(self.texts)


@per_vocabulary(limit=1)
def _table(vocabulary: Vocabulary, _: None) -> _Table:
    return _Table(vocabulary.tokens)
