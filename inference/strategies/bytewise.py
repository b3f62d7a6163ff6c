"""Bytewise: a text of a constraint without a language model, a byte at a time.

The prior of `kinds` takes the model's place. A byte that is forced takes no choice. A text that reaches `max_length`
is completed by a search for a short completion (`completion`), without further choices.
"""

from __future__ import annotations

from itertools import accumulate

from hypothesis import reject
from hypothesis.strategies import DrawFn

from grammars.algebra import AndMatcher
from grammars.constraint import Constraint, Matcher
from grammars.errors import ContradictionError
from grammars.utf8 import Utf8Matcher
from grammars.vocabulary import Vocabulary, unpack
from inference.strategies.choices import draw_unit, first_above
from inference.strategies.completion import shortest_completion
from inference.strategies.kinds import END, options_of

_VOCABULARY = Vocabulary.of_bytes()
_TABLES = 4096


class BytewiseTexts:
    """The texts of a constraint, each a function of Hypothesis's choices.

    Parameters
    ----------
    constraint:
        Of the texts.
    max_length:
        Bytes after which a text is completed on the shortest way that is found.

    Raises
    ------
    ContradictionError
        If no text can begin.
    """

    def __init__(self, constraint: Constraint, max_length: int) -> None:
        self._constraint = constraint
        self._max_length = max_length
        self._start = AndMatcher((Utf8Matcher(_VOCABULARY), constraint.matcher(_VOCABULARY)))
        self._tables: dict[tuple[bytes, bool], tuple[list[int], list[float]]] = {}
        mask = self._start.mask()
        if not self._may_end(self._start, b"") and mask is not None and not mask.any():
            raise ContradictionError(
                f"no text matches {constraint}", hint="it allows neither a byte nor the end"
            )

    def draw(self, draw: DrawFn) -> str:
        """Return a text; reject the example at a dead end."""
        matcher, data = self._start.fork(), bytearray()
        while len(data) < self._max_length:
            symbol = self._symbol(draw, matcher, bytes(data))
            if symbol == END:
                return data.decode()
            data.append(symbol)
        rest = shortest_completion(matcher, bytes(data), self._constraint.accepts)
        return reject() if rest is None else (bytes(data) + rest).decode()

    def _symbol(self, draw: DrawFn, matcher: Matcher, data: bytes) -> int:
        """Draw the next byte, which the matcher then has read, or the end.

        What a check refuses is left out, and the same choice asked again.
        """
        symbols, weights = self._table(matcher, data)
        unit = draw_unit(draw) if len(symbols) > 1 else 0.0
        while symbols:
            at = first_above(list(accumulate(weights)), unit)
            if symbols[at] == END or matcher.advance(symbols[at]):
                return symbols[at]
            symbols, weights = symbols[:at] + symbols[at + 1 :], weights[:at] + weights[at + 1 :]
        return reject()

    def _table(self, matcher: Matcher, data: bytes) -> tuple[list[int], list[float]]:
        """Return what may come next, the simplest first, and its weights."""
        packed = matcher.mask()
        mask = _VOCABULARY.text_mask if packed is None else packed
        key = (mask.tobytes(), self._may_end(matcher, data))
        if key not in self._tables:
            if len(self._tables) >= _TABLES:
                self._tables.clear()
            allowed = unpack(mask, _VOCABULARY.size).nonzero()[0].tolist()
            self._tables[key] = options_of([*allowed, END] if key[1] else allowed)
        return self._tables[key]

    def _may_end(self, matcher: Matcher, data: bytes) -> bool:
        return matcher.is_accepting() and self._constraint.accepts(data)
