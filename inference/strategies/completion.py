"""Completion: a short way from a prefix to a complete text.

A best-first search. What may come after a prefix is tried one by one, hints of the matcher and the simplest of each
kind first. Options after which the same may follow are taken for equal, and the first stands for them. A prefix costs 1
for each option and 4 for each that was not the first; so counted repetitions are followed straight on, and a way out
that is not the simplest byte is found nearby. The search is neither exhaustive nor exact, and gives up after a fixed
number of trials.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count

from grammars.constraint import Matcher
from grammars.vocabulary import unpack
from inference.strategies.kinds import kinds_of, varied

TRIALS = 1000
_TURN = 4


def shortest_completion(
    matcher: Matcher, data: bytes, accepts: Callable[[bytes], bool], *, trials: int = TRIALS
) -> bytes | None:
    """Return bytes that complete `data`, which `matcher` has read; None if none were found within so many trials."""
    order = count()
    queue = [(0, next(order), _Prefix(b"", matcher))]
    while queue and trials > 0:
        cost, _, prefix = heapq.heappop(queue)
        if prefix.is_new and prefix.matcher.is_accepting() and accepts(data + prefix.written):
            return prefix.written
        turn = 0 if prefix.is_new else _TURN
        tried, successor = prefix.next_successor()
        trials -= tried
        if successor is not None:
            heapq.heappush(queue, (cost + 1, next(order), successor))
            heapq.heappush(queue, (cost + _TURN - turn, next(order), prefix))
    return None


class _Prefix:
    """What was written, and what is left to be tried after it."""

    def __init__(self, written: bytes, matcher: Matcher) -> None:
        self.written, self.matcher = written, matcher
        self._options: Iterator[bytes] | None = None
        self._seen: set[object] = set()

    @property
    def is_new(self) -> bool:
        """Whether nothing was tried yet."""
        return self._options is None

    def next_successor(self) -> tuple[int, _Prefix | None]:
        """Return how many options were tried, and the next successor that is unlike those before; None at the end."""
        if self._options is None:
            self._options = iter(_options(self.matcher))
        for tried, option in enumerate(self._options, 1):
            successor = self.matcher.fork()
            if successor.consume(option):
                mask = successor.mask()
                like = (None if mask is None else mask.tobytes(), successor.is_accepting(), successor.hints())
                if like not in self._seen:
                    self._seen.add(like)
                    return tried, _Prefix(self.written + option, successor)
        return 1, None


def _options(matcher: Matcher) -> list[bytes]:
    """Return what may come after what a matcher over single bytes has read: every byte, where it has no mask."""
    packed = matcher.mask()
    allowed = range(256) if packed is None else unpack(packed, 256).nonzero()[0].tolist()
    hints = matcher.hints()
    return [*hints, *varied(kinds_of((bytes([byte]) for byte in allowed), hints))]
