"""Bytewise: a text of a constraint without a language model, a byte at a time.

The prior of `kinds` takes the model's place. What is forced takes no choice. In its second half a text hurries to its
end, and one that reaches `max_length` or a dead end is finished without further choices: on a short way that a search
finds (`completion`), if need be after going back by 1, 2, 4, ... options, to the beginning at last. So only where no
text is found at all is an example rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

from hypothesis import reject
from hypothesis.strategies import DrawFn

from grammars.algebra import AndMatcher
from grammars.constraint import Constraint, Matcher
from grammars.errors import ContradictionError
from grammars.utf8 import Utf8Matcher
from grammars.vocabulary import Vocabulary, unpack
from inference.strategies.choices import draw_unit, first_above
from inference.strategies.completion import TRIALS, shortest_completion
from inference.strategies.kinds import END, kinds_of, weighted

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
        self._tables: dict[object, tuple[list[bytes], list[float]]] = {}
        mask = self._start.mask()
        if not self._may_end(self._start, b"") and mask is not None and not mask.any():
            raise ContradictionError(
                f"no text matches {constraint}", hint="it allows neither a byte nor the end"
            )

    def draw(self, draw: DrawFn) -> str:
        """Return a text; reject the example where none is found."""
        matcher, data, trail = self._start.fork(), b"", [(b"", self._start)]
        while len(data) < self._max_length:
            may_end = self._may_end(matcher, data)
            option = self._option(draw, matcher, may_end, late=2 * len(data) >= self._max_length)
            if option == END:
                return data.decode()
            if option is None:
                break
            data += option
            trail.append((data, matcher.fork()))
        return self._finished(trail).decode()

    def _option(self, draw: DrawFn, matcher: Matcher, may_end: bool, *, late: bool) -> bytes | None:
        """Draw what comes next, which the matcher then has read, or the end; None at a dead end.

        What a check refuses is left out, and the same choice asked again.
        """
        options, weights = self._table(matcher, may_end, late)
        unit = draw_unit(draw) if len(options) > 1 else 0.0
        while options:
            at = first_above(list(accumulate(weights)), unit)
            if options[at] == END or matcher.consume(options[at]):
                return options[at]
            options, weights = options[:at] + options[at + 1 :], weights[:at] + weights[at + 1 :]
        return None

    def _table(self, matcher: Matcher, may_end: bool, late: bool) -> tuple[list[bytes], list[float]]:
        """Return what may come next, the simplest first, and its weights."""
        packed, hints = matcher.mask(), matcher.hints()
        mask = _VOCABULARY.text_mask if packed is None else packed
        key = (mask.tobytes(), hints, may_end, late)
        if key not in self._tables:
            if len(self._tables) >= _TABLES:
                self._tables.clear()
            allowed = [bytes([byte]) for byte in unpack(mask, _VOCABULARY.size)[:256].nonzero()[0].tolist()]
            self._tables[key] = weighted(kinds_of([*allowed, END] if may_end else allowed, hints, late=late))
        return self._tables[key]

    def _finished(self, trail: Sequence[tuple[bytes, Matcher]]) -> bytes:
        """Return a complete text for one that was left off after the last of these prefixes."""
        back = 1
        while back < len(trail):
            data, matcher = trail[-back]
            trials = (
                TRIALS // (1 if back == 1 else 4) // (1 if matcher.mask_is_exact else 8)
            )  # checks are dear
            rest = shortest_completion(matcher, data, self._constraint.accepts, trials=trials)
            if rest is not None:
                return data + rest
            back *= 2
        return reject() if self._shortest is None else self._shortest

    @cached_property
    def _shortest(self) -> bytes | None:
        return shortest_completion(self._start, b"", self._constraint.accepts)

    def _may_end(self, matcher: Matcher, data: bytes) -> bool:
        return matcher.is_accepting() and self._constraint.accepts(data)
