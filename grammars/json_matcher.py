"""The matcher of JSON whose members come in any order: the engine's grammar, and `Members` beside it.

The engine's mask is right but for tokens with which a name comes twice, or an object ends too early or goes on
too long. Few tokens can do that: those with a brace, a comma or a quote in the right place. They are read one by
one, once for each state of `Members`, and taken out of the mask.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Self

import numpy as np
from typing_extensions import override

from grammars.cache import per_vocabulary
from grammars.constraint import Matcher
from grammars.json_frames import (
    AFTER,
    ESCAPED,
    FIRST_NAME,
    NAME,
    NAME_ESCAPED,
    NEXT_NAME,
    SCALAR,
    STRING,
    State,
)
from grammars.json_members import Members
from grammars.llguidance import GrammarMatcher
from grammars.vocabulary import Mask, Vocabulary, pack

REMEMBERED = 512
"""States whose refused tokens are kept, for each vocabulary and schema; the least recently used go first."""


class MembersMatcher(Matcher):
    """The state of a grammar and of `members` after a prefix. The mask is exact."""

    def __init__(self, vocabulary: Vocabulary, grammar: str, members: Members) -> None:
        super().__init__(vocabulary)
        self._grammar = GrammarMatcher(vocabulary, grammar)
        self._members = members
        self._state = members.start
        self._refusals = _refusals(vocabulary, members)

    @override
    def consume(self, data: bytes) -> bool:
        state = self._members.read(self._state, data)
        if state is None or not self._grammar.consume(data):
            return False
        self._state = state
        return True

    @override
    def advance(self, token: int) -> bool:
        state = self._members.read(self._state, self.vocabulary.tokens[token] or b"")
        if state is None or not self._grammar.advance(token):
            return False
        self._state = state
        return True

    @override
    def allows(self, token: int) -> bool:
        return (
            self._grammar.allows(token)
            and self._members.read(self._state, self.vocabulary.tokens[token] or b"") is not None
        )

    @override
    def is_accepting(self) -> bool:
        return self._members.is_complete(self._state) and self._grammar.is_accepting()

    @override
    def mask(self) -> Mask:
        place = self._members.place_of_name(self._state)
        mask = self._grammar.mask() if place is None else self._refusals.at(place, self._grammar)
        return self._refusals.without(mask, self._members, self._state, self.vocabulary)

    @override
    def hints(self) -> tuple[bytes, ...]:
        return self._members.listed_names(self._state)

    @override
    def fork(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._grammar = self._grammar.fork()
        return other


class _Refusals:
    """The tokens that `Members` refuses, for the states that were asked about, and masks of the grammar."""

    def __init__(self) -> None:
        self._known: OrderedDict[State, tuple[Mask, Mask]] = OrderedDict()
        self._masks: OrderedDict[Any, Mask] = OrderedDict()

    def at(self, place: Any, grammar: GrammarMatcher) -> Mask:
        """Return the mask of the grammar at a place, where it takes long to find."""
        if place not in self._masks:
            self._masks[place] = grammar.mask()
            if len(self._masks) > REMEMBERED:
                self._masks.popitem(last=False)
        self._masks.move_to_end(place)
        return self._masks[place].copy()

    def without(self, mask: Mask, members: Members, state: State, vocabulary: Vocabulary) -> Mask:
        """Return the mask without the tokens that are refused in a state."""
        suspects = _suspects(vocabulary, None).among(mask, state, members)
        if not suspects.any():
            return mask
        asked, refused = self._entry(state, mask)
        new = suspects & ~asked
        tokens = vocabulary.tokens
        for word in np.flatnonzero(new).tolist():
            bits = int(new[word])
            while bits:
                bit = bits & -bits
                if members.read(state, tokens[32 * word + bit.bit_length() - 1] or b"") is None:
                    refused[word] |= np.uint32(bit)
                bits ^= bit
        asked |= new
        return mask & ~refused

    def _entry(self, state: State, like: Mask) -> tuple[Mask, Mask]:
        """Return which tokens were asked about, and which of them are refused."""
        if state not in self._known:
            self._known[state] = np.zeros_like(like), np.zeros_like(like)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(state)
        return self._known[state]


class _Suspects:
    """The tokens of a vocabulary that may be refused, by what they hold."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        def holding(*signs: bytes) -> Mask:
            texts = enumerate(vocabulary.tokens)
            return pack(
                [v for v, data in texts if data and any(sign in data for sign in signs)], vocabulary.size
            )

        self._quoting = holding(b'"')
        ending, opening = holding(b"}", b","), holding(b"{")
        twice = pack(
            [v for v, data in enumerate(vocabulary.tokens) if (data or b"").count(b'"') > 1], vocabulary.size
        )
        escaped = self._quoting & holding(b"\\")
        self._in_string = self._quoting & ending
        self._after_value = ending
        self._before_value = ending | (self._quoting & opening)
        self._at_name = ending | twice | opening
        self._in_name = (self._quoting & (ending | opening)) | escaped
        self._to_quote: dict[bytes, list[int]] = {}
        for v, data in enumerate(vocabulary.tokens):
            if data and b'"' in data:
                self._to_quote.setdefault(data.partition(b'"')[0], []).append(v)

    def among(self, mask: Mask, state: State, members: Members) -> Mask:
        """Return the tokens of a mask that may be refused in a state."""
        where, frame, begun = state
        if where in (STRING, ESCAPED):
            return mask & self._in_string
        if where in (SCALAR, AFTER):
            return mask & self._after_value
        if where not in (FIRST_NAME, NEXT_NAME, NAME, NAME_ESCAPED):
            return mask & self._before_value
        assert frame is not None
        if frame.names is not None:
            return mask
        if where in (FIRST_NAME, NEXT_NAME):
            return mask & self._at_name
        ends = members.ends(frame, begun)
        if ends is None:
            return mask & self._quoting
        suspects = self._in_name.copy()
        for end in ends:
            for v in self._to_quote.get(end, ()):
                suspects[v // 32] |= np.uint32(1 << v % 32)
        found: Mask = mask & suspects
        return found


@per_vocabulary(limit=1)
def _suspects(vocabulary: Vocabulary, _: None) -> _Suspects:
    return _Suspects(vocabulary)


@per_vocabulary(limit=64)
def _refusals(vocabulary: Vocabulary, members: Members) -> _Refusals:
    return _Refusals()
