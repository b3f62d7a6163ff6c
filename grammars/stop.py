r"""Stop strings together with a constraint.

A token sequence spells bytes. The text ends where the first stop string is completed (`stop_scanner`); the
*content* is what stands before the stop, and what the last token holds behind it is discarded. A sequence may
also end with the end-of-text token; then all its bytes are content.

`StopMatcher` reads under a constraint c, such that the complete token sequences are exactly those whose
content is in L(c). The delicate tokens are those that cross from content into a stop: `}\n\n` completes the
stop `\n\n` if `}` completes the content, and with the stop `END` the token `E` may be the beginning of a stop
that no content allows. A *cut* is the content part of such a token; the cuts of a vocabulary are tabulated
once per state of the scanner, and a step only asks the matcher of c which cuts are complete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from grammars.constraint import Matcher
from grammars.stop_scanner import START, StopScanner, StopTable
from grammars.vocabulary import Mask


class StopMatcher(Matcher):
    """The state of reading content under a constraint, with stops.

    A token is allowed if the content matcher can consume it; or if it completes a stop and what stands before
    the stop is complete content; or if it continues a stop that began where the content was complete. The
    stop may then be the only way on: the content matcher itself is gone. `is_accepting` tells whether the
    end-of-text token may come: all bytes so far are content.

    Parameters
    ----------
    content:
        The matcher of the constraint c, before the first byte.
    accepts:
        `c.accepts`, asked of each piece of content on which the matcher is accepting.
    scanner:
        From `stop_scanner`, for the same vocabulary.
    """

    def __init__(self, content: Matcher, accepts: Callable[[bytes], bool], scanner: StopScanner) -> None:
        super().__init__(content.vocabulary)
        self.scanner = scanner
        self._accepts = accepts
        self._matcher: Matcher | None = content
        self._state = START
        self._text = b""
        self._complete: frozenset[int] = frozenset()  # the pending k such that text[:-k] is complete content
        self._end: int | None = None

    @property
    def finished(self) -> bool:
        """Whether a stop has been completed."""
        return self._end is not None

    @property
    def content(self) -> bytes:
        """The bytes of the text so far, without the stop if one has been completed."""
        return self._text if self._end is None else self._text[: self._end]

    @property
    @override
    def mask_is_exact(self) -> bool:
        return self._matcher is None or self._matcher.mask_is_exact

    @override
    def is_accepting(self) -> bool:
        return self.finished or self._is_content(self._matcher, self._text)

    @override
    def fork(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._matcher = self._matcher and self._matcher.fork()
        return other

    def consume(self, data: bytes) -> bool:
        """Advance by `data`; what follows a completed stop is discarded. False if that is not allowed."""
        if self.finished:
            return False
        automaton = self.scanner.automaton
        match = automaton.run(self._state, data)
        if match:
            _, begin, _ = match
            if begin < 0 and -begin not in self._complete:
                return False
            if begin >= 0 and not self._is_content(
                self._read(data[:begin], [])[0], self._text + data[:begin]
            ):
                return False
            self._end = len(self._text) + begin
            self._text += data
            return True
        state = automaton.after(self._state, data)
        begins = [len(data) - length for length in automaton.pending(state)]
        matcher, complete = self._read(data, [begin for begin in begins if begin >= 0])
        complete |= {begin for begin in begins if -begin in self._complete}
        lengths = frozenset(len(data) - begin for begin in complete)
        if matcher is None and not lengths:
            return False
        self._matcher, self._state, self._complete = matcher, state, lengths
        self._text += data
        return True

    @override
    def confirms(self, token: int) -> bool:
        """Ask the content matcher where the token neither completes nor begins a stop, else try the token."""
        if self.mask_is_exact:
            return True
        if self._matcher is not None and self._is_plain(token):
            return self._matcher.confirms(token)
        return self.allows(token)

    @override
    def prefetch(self, tokens: Sequence[int]) -> None:
        if self._matcher is not None:
            self._matcher.prefetch([token for token in tokens if self._is_plain(token)])

    def _is_plain(self, token: int) -> bool:
        data, automaton = self.vocabulary.tokens[token], self.scanner.automaton
        if not data or automaton.run(self._state, data):
            return False
        return not automaton.pending(automaton.after(self._state, data))

    @override
    def mask(self) -> Mask | None:
        if self.finished:
            return np.zeros(self.vocabulary.words, dtype=np.uint32)
        table = self.scanner.table(self._state)
        result = np.zeros(self.vocabulary.words, dtype=np.uint32)
        if self._matcher is not None:
            content = self._matcher.mask()
            if content is None:
                return None
            result = content & ~table.terminators
            for cut in self._complete_cuts(table, content, result):
                ids = table.members[table.bounds[cut] : table.bounds[cut + 1]]
                np.bitwise_or.at(result, ids // 32, np.uint32(1) << (ids % 32).astype(np.uint32))
            if not self._matcher.mask_is_exact or self._is_content(self._matcher, self._text):
                result |= table.bare  # where the mask is a superset anyway, the check asks when it is drawn
        for length, tokens in table.begun.items():
            if length in self._complete:
                result |= tokens
        return result

    def _is_content(self, matcher: Matcher | None, text: bytes) -> bool:
        return matcher is not None and matcher.is_accepting() and self._accepts(text)

    def _read(self, data: bytes, positions: Sequence[int]) -> tuple[Matcher | None, set[int]]:
        """Read `data`: return the content matcher after it, or None, and the complete ones of `positions`."""
        matcher = self._matcher and self._matcher.fork()
        complete: set[int] = set()
        done = 0
        for position in [*sorted(positions), len(data)]:
            if matcher is None or not matcher.consume(data[done:position]):
                return None, complete
            if position < len(data) and self._is_content(matcher, self._text + data[:position]):
                complete.add(position)
            done = position
        return matcher, complete

    def _complete_cuts(self, table: StopTable, content: Mask, allowed: Mask) -> list[int]:
        """Return the cuts that are complete content and whose tokens are not all allowed already.

        With an inexact mask a superset will do, since `confirms` asks: the cuts that may be complete content.
        Cuts whose head the content does not allow are dropped at once; each of the others is read on from the
        longest cut that it extends.
        """
        assert self._matcher is not None
        if not table.cuts:
            return []
        viable = (table.heads < 0) | _bits(content, np.maximum(table.heads, 0))
        useful = np.logical_or.reduceat(~_bits(allowed, table.members), table.bounds[:-1])
        complete: list[int] = []
        path: list[tuple[bytes, Matcher]] = [(b"", self._matcher)]
        blocked = b""
        if not self._matcher.mask_is_exact:
            return [int(cut) for cut in np.flatnonzero(viable & useful)]
        for cut in np.flatnonzero(viable & useful):
            part = table.cuts[cut]
            if blocked and part.startswith(blocked):
                continue
            while not part.startswith(path[-1][0]):
                path.pop()
            before, matcher = path[-1]
            matcher = matcher.fork()
            if not matcher.consume(part[len(before) :]):
                blocked = part
                continue
            path.append((part, matcher))
            if self._is_content(matcher, self._text + part):
                complete.append(int(cut))
        return complete


def _bits(mask: Mask, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the bits of a packed mask at `ids`, shape of `ids`."""
    return (mask[ids // 32] >> (ids % 32).astype(np.uint32) & np.uint32(1)).astype(bool)
