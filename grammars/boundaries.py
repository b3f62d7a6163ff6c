"""Tokens that cross from one part of a text into the next.

Such a token holds, behind its first byte, one of the bytes with which the next part may begin. Only the tokens that
do are tried, byte by byte, those with a common beginning together. Where that would take too many steps, or leads
into a part that a mask cannot look into, the tokens are left in untried: the mask is then a superset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from grammars.cache import per_vocabulary
from grammars.vocabulary import Mask, Vocabulary, pack, unpack

State = TypeVar("State", bound=Sequence[object])
STEPS = 512
"""Bytes that may be read for one mask."""


def crossing(vocabulary: Vocabulary, openings: Iterable[int]) -> Mask:
    """Return the mask of the tokens that hold one of the bytes `openings` behind their first byte."""
    rows = sorted(openings)
    if not rows:
        return pack([], vocabulary.size)
    result: Mask = np.bitwise_or.reduce(_holders(vocabulary, None)[rows], axis=0)
    return result


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
        `step(state, before, byte)` returns the state after one more byte of a token of which `before` was read; it is
        empty if no text goes on that way.
    is_opaque:
        Whether a state is not to be stepped on from.
    """
    ids = unpack(tokens, vocabulary.size).nonzero()[0].tolist()
    allowed: list[int] = []
    path: list[State | None] = [start]  # after each byte of the last token, until it is lost; None: not tried
    before, steps, all_tried = b"", STEPS, True
    for data, token in sorted((vocabulary.tokens[token] or b"", token) for token in ids):
        del path[_shared(before, data) + 1 :]
        before = data
        while path[-1] and (read := len(path) - 1) < len(data):
            if steps and not is_opaque(path[-1]):
                steps -= 1
                path.append(step(path[-1], data[:read], data[read : read + 1]))
            else:
                path.append(None)
        if path[-1] is None:
            all_tried = False
        if path[-1] is None or path[-1]:
            allowed.append(token)
    return pack(allowed, vocabulary.size), all_tried


def _shared(x: bytes, y: bytes) -> int:
    """Return the length of the longest common beginning."""
    return next((at for at, (a, b) in enumerate(zip(x, y, strict=False)) if a != b), min(len(x), len(y)))


@per_vocabulary(limit=1)
def _holders(vocabulary: Vocabulary, _: None) -> Mask:
    """Return for each byte, shape (256, words), the mask of the tokens that hold it behind their first byte."""
    holders: list[list[int]] = [[] for _ in range(256)]
    for token, data in enumerate(vocabulary.tokens):
        for byte in set(data[1:]) if data else ():
            holders[byte].append(token)
    return np.stack([pack(tokens, vocabulary.size) for tokens in holders])
