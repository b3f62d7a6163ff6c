"""Completion: a short way from a prefix to a complete text.

A best-first search. From each prefix only one byte of each *successor* is followed: bytes after which the same may
follow are taken for equal, and the simplest stands for them. A prefix costs its length and 4 for each byte that was not
the simplest; so counted repetitions are followed straight on, and a way out that is not the simplest byte is found
nearby. The search is neither exhaustive nor exact, and gives up after a fixed number of bytes tried.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from grammars.constraint import Matcher
from grammars.vocabulary import unpack
from inference.strategies.kinds import END, options_of

_TRIALS = 8000
_TURN = 4


def shortest_completion(matcher: Matcher, data: bytes, accepts: Callable[[bytes], bool]) -> bytes | None:
    """Return bytes that complete `data`, which `matcher` has read; None if none were found."""
    order = count()
    queue = [(0, next(order), b"", matcher)]
    trials = 0
    while queue and trials < _TRIALS:
        cost, _, written, state = heapq.heappop(queue)
        if state.is_accepting() and accepts(data + written):
            return written
        allowed = _allowed(state)
        trials += len(allowed)
        for rank, (byte, successor) in enumerate(_successors(state, allowed)):
            turned = cost + 1 + (_TURN if rank else 0)
            heapq.heappush(queue, (turned, next(order), written + bytes([byte]), successor))
    return None


def _allowed(matcher: Matcher) -> list[int]:
    """Return the bytes that the mask holds, the simplest first; all where there is none."""
    packed = matcher.mask()
    return options_of(range(END) if packed is None else unpack(packed, END).nonzero()[0].tolist())[0]


def _successors(matcher: Matcher, allowed: list[int]) -> list[tuple[int, Matcher]]:
    """Return one byte for each set of what may follow it, the simplest first, with the state after it."""
    seen: dict[tuple[bytes | None, bool], tuple[int, Matcher]] = {}
    for byte in allowed:
        successor = matcher.fork()
        if successor.advance(byte):
            mask = successor.mask()
            key = (None if mask is None else mask.tobytes(), successor.is_accepting())
            seen.setdefault(key, (byte, successor))
    return list(seen.values())
