"""Finding stop strings in tokens: the automaton of Aho and Corasick, tabulated over a vocabulary.

A text ends where the first stop string is completed: at the earliest byte that ends an occurrence of a stop;
of the stops that end there the longest counts. A stop may begin in one token and end in a later one.

Source: A. V. Aho and M. J. Corasick, Efficient string matching, Communications of the ACM 18 (1975).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from grammars.cache import per_vocabulary
from grammars.errors import GrammarError
from grammars.token_index import token_index
from grammars.vocabulary import Mask, Vocabulary, pack

START = 0
"""The automaton's state before the first byte: no stop has begun."""


class StopAutomaton:
    """The automaton of a set of stops. A state is the longest suffix of the text that begins a stop.

    Attributes
    ----------
    prefixes:
        State -> that suffix, as bytes.
    chain:
        State -> the lengths of all its non-empty suffixes that begin a stop, longest first.
    """

    def __init__(self, stops: tuple[bytes, ...]) -> None:
        self.stops = stops
        self.prefixes = sorted(
            {stop[:n] for stop in stops for n in range(len(stop) + 1)}, key=lambda p: (len(p), p)
        )
        self._states = {prefix: state for state, prefix in enumerate(self.prefixes)}
        self.chain = [
            tuple(n for n in range(len(p), 0, -1) if p[len(p) - n :] in self._states) for p in self.prefixes
        ]
        self._match = [max((len(s) for s in stops if p.endswith(s)), default=0) for p in self.prefixes]
        self._next = [self._row(prefix) for prefix in self.prefixes]
        self.pending = cache(self._pending)

    def _row(self, prefix: bytes) -> list[int]:
        row = [START] * 256
        for byte in {byte for stop in self.stops for byte in stop}:
            text = prefix + bytes([byte])
            row[byte] = next(self._states[text[n:]] for n in range(len(text) + 1) if text[n:] in self._states)
        return row

    def run(self, state: int, data: bytes) -> tuple[int, int, int] | None:
        """Read `data` up to the first completed stop.

        Returns
        -------
        tuple or None
            (state, begin, end): the stop is `data[begin:end]`, where `begin` is negative if it began earlier.
            None if no stop is completed; then `after` tells the state.
        """
        for position, byte in enumerate(data):
            state = self._next[state][byte]
            if self._match[state]:
                return state, position + 1 - self._match[state], position + 1
        return None

    def after(self, state: int, data: bytes) -> int:
        """Return the state after `data`, in which no stop is completed."""
        for byte in data:
            state = self._next[state][byte]
        return state

    def differs(self, state: int, byte: int) -> bool:
        """Return whether `state` and the start go on differently with `byte`."""
        return self._next[state][byte] != self._next[START][byte]

    def _pending(self, state: int) -> tuple[int, ...]:
        """Return the lengths in `chain` of those beginnings that can become the first completed stop."""
        lengths = []
        for length in self.chain[state]:
            begun = self.prefixes[state][len(self.prefixes[state]) - length :]
            rests = [stop[length:] for stop in self.stops if stop.startswith(begun)]
            found = ((self.run(state, rest), rest) for rest in rests)
            if any(match and match[1:] == (-length, len(rest)) for match, rest in found):
                lengths.append(length)
        return tuple(lengths)


@dataclass(frozen=True, eq=False)
class StopTable:
    """What every token does to the stops from one state of the automaton.

    Attributes
    ----------
    terminators:
        Mask of the tokens that complete a stop.
    begun:
        k -> mask of the tokens that continue or complete a stop begun k bytes before the token.
    cuts:
        The distinct non-empty content parts, sorted, of the tokens in which a stop begins; C of them.
    heads:
        (C,) the token that spells the longest prefix of the cut that a token spells, or -1.
    members:
        The tokens that each cut belongs to, one cut after the other.
    bounds:
        (C + 1,) where in `members` each cut starts; then its length.
    bare:
        Mask of the tokens whose stop begins with the token itself: the content part is empty.
    """

    terminators: Mask
    begun: dict[int, Mask]
    cuts: tuple[bytes, ...]
    heads: NDArray[np.int64]
    members: NDArray[np.int64]
    bounds: NDArray[np.int64]
    bare: Mask


class StopScanner:
    """Finds the end of a text in its tokens. Immutable; get one from `stop_scanner`.

    States are integers; `START` is the first. Its tables hold no vocabulary, so that they can be kept with
    one.
    """

    def __init__(self, vocabulary: Vocabulary, stops: tuple[bytes, ...]) -> None:
        self.stops = stops
        self.automaton = StopAutomaton(stops)
        self.table = cache(self._table)
        self._tokens = tokens = vocabulary.tokens
        self._index = token_index(vocabulary)
        beginnings = tuple({stop[:n] for stop in stops for n in range(1, len(stop))})
        self._relevant = [
            token
            for token, data in enumerate(tokens)
            if data and (data.endswith(beginnings) or any(stop in data for stop in stops))
        ]

    def step(self, state: int, token: int) -> tuple[int, int | None]:
        """Read one token.

        Returns
        -------
        tuple
            The next state and None; or, if the token completes a stop, any state and the position in the
            token at which the content ends, negative if the stop began in an earlier token.
        """
        data = self._tokens[token] or b""
        match = self.automaton.run(state, data)
        return (match[0], match[1]) if match else (self.automaton.after(state, data), None)

    def terminators(self, state: int) -> Mask:
        """Return the mask of the tokens that complete a stop in `state`."""
        return self.table(state).terminators.copy()

    def _table(self, state: int) -> StopTable:
        """Look once at every token that may matter in `state`."""
        relevant = set(self._relevant)
        if state != START:
            for byte in filter(lambda byte: self.automaton.differs(state, byte), range(256)):
                for data in self._index.beginning_with(bytes([byte])):
                    relevant.update(map(int, self._index.ids[data]))
        terminators: list[int] = []
        begun: dict[int, list[int]] = {}
        cuts: dict[bytes, list[int]] = {}
        for token in sorted(relevant):
            data = self._tokens[token] or b""
            match = self.automaton.run(state, data)
            if match:
                terminators.append(token)
                begins: Sequence[int] = (match[1],)
            else:
                begins = [len(data) - n for n in self.automaton.pending(self.automaton.after(state, data))]
            for begin in begins:
                if begin < 0:
                    begun.setdefault(-begin, []).append(token)
                else:
                    cuts.setdefault(data[:begin], []).append(token)
        size = len(self._tokens)
        bare = pack(cuts.pop(b"", []), size)
        parts = sorted(cuts)
        return StopTable(
            terminators=pack(terminators, size),
            begun={length: pack(tokens, size) for length, tokens in begun.items()},
            cuts=tuple(parts),
            heads=np.array([self._head(part) for part in parts], dtype=np.int64),
            members=np.array([token for part in parts for token in cuts[part]], dtype=np.int64),
            bounds=np.cumsum([0, *(len(cuts[part]) for part in parts)]),
            bare=bare,
        )

    def _head(self, part: bytes) -> int:
        ids = self._index.ids
        return next((int(ids[part[:n]][0]) for n in range(len(part), 0, -1) if part[:n] in ids), -1)


@per_vocabulary(limit=64)
def _scanner(vocabulary: Vocabulary, stops: tuple[bytes, ...]) -> StopScanner:
    return StopScanner(vocabulary, stops)


def stop_scanner(vocabulary: Vocabulary, stops: Sequence[str | bytes]) -> StopScanner:
    """Return the scanner of `stops` over `vocabulary`; tables are built once for each pair.

    Raises
    ------
    GrammarError
        If there is no stop, or one is empty.
    """
    if isinstance(stops, (str, bytes)):
        raise GrammarError(f"stops must be a list of strings, not {stops!r}", hint=f"[{stops!r}]")
    encoded = {stop.encode("utf-8", "surrogateescape") if isinstance(stop, str) else stop for stop in stops}
    if not encoded or b"" in encoded:
        raise GrammarError(
            "stop strings must not be empty", hint="leave `stop` out to end at the end token only"
        )
    return _scanner(vocabulary, tuple(sorted(encoded)))
