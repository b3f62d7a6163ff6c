"""Earley's algorithm with weights: the weight of a text, and of all texts that begin with it.

A column holds items A -> α • β with their origin and their *inner* weight: the sum over the derivations of the
bytes since the origin from α. Two sums close the recursion that a column cannot follow step by step: [1]

* over the *left corners* that may be predicted, R = (I - P)^-1 with P(A, B) the weight of the rules by which an
  A begins with a B;
* over the *unit* rules that complete an A with a B, in the same way.

The weight of a prefix is a sum over the items that have just read its last byte,

    inner weight of the item · total weight of the symbols after the dot · outer weight of A at the origin,

where the outer weight of A at a column is that of all ways to come to an A there and to go on after it. It
depends on the column only, so columns are immutable, and states that share a prefix share them.

As in `grammars.earley`, the dot passes symbols that may be empty (with the weight of the empty text), and what
the end of a nonterminal brings about, through all chains of rules that end with it, is worked out once for
each column; here it is a linear map. All numbers are natural logarithms: no prefix is so improbable that its
weight becomes 0.

References
----------
.. [1] A. Stolcke. "An efficient probabilistic context-free parsing algorithm that computes prefix
   probabilities". Computational Linguistics 21(2), 1995.
.. [2] A. Opedal, R. Zmigrod, T. Vieira, R. Cotterell, J. Eisner. "Efficient semiring-weighted Earley parsing".
   ACL 2023.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

from grammars.errors import MatcherError
from grammars.partition import Row, log_add
from grammars.reduced import ReducedGrammar
from grammars.weighted_grammar import WeightedGrammar

STEPS_PER_BYTE = 500_000  # about 0.5 s
COLUMNS = 20_000  # about 50 MB
_ZERO = -math.inf

Found: TypeAlias = "dict[tuple[WeightedColumn, int], float]"
"""Origin and item -> log inner weight."""


class WeightedColumn:
    """What the parser knows of a prefix.

    Attributes
    ----------
    log_prefix, log_text:
        Log-weight of all texts with this prefix, and of the prefix as a text.
    scans:
        Of the items before a byte: origin, item after it, log inner weight, the set of bytes.
    waiting:
        By the nonterminal after the dot: origin, item after it, log inner weight.
    calls:
        For each of these nonterminals the log outer weight of its beginning here on behalf of these items.
    prediction:
        The items that begin here.
    successors:
        The columns after each byte tried so far; None where no text goes on that way.
    reductions:
        For a nonterminal that begins here what its end brings about: origin, item, log factor.
    """

    __slots__ = (
        "_outer",
        "calls",
        "log_prefix",
        "log_text",
        "prediction",
        "reductions",
        "scans",
        "successors",
        "waiting",
    )

    def __init__(
        self, weights: WeightedGrammar, found: Found, calls: Row, log_prefix: float, log_text: float
    ) -> None:
        grammar = weights.grammar
        self.log_prefix = log_prefix
        self.log_text = log_text
        self.scans: list[tuple[WeightedColumn, int, float, frozenset[int]]] = []
        self.waiting: defaultdict[int, list[tuple[WeightedColumn, int, float]]] = defaultdict(list)
        self.calls = calls
        for (origin, item), log_inner in found.items():
            symbol = grammar.after[item]
            if isinstance(symbol, int):
                self.waiting[symbol].append((origin, item + 1, log_inner))
                log_call = log_inner + weights.rest[item + 1] + origin.outer(weights, grammar.lhs[item])
                calls[symbol] = log_add(calls.get(symbol, _ZERO), log_call)
            elif symbol is not None:
                self.scans.append((origin, item + 1, log_inner, symbol))
        self.prediction = weights.predict(frozenset(calls))
        self._outer: Row = {}
        self.successors: dict[int, WeightedColumn | None] = {}
        self.reductions: dict[int, tuple[tuple[WeightedColumn, int, float], ...]] = {}

    def outer(self, weights: WeightedGrammar, name: int) -> float:
        """Return the log-weight of all ways to come to a nonterminal that begins here and to go on after it."""
        log_outer = self._outer.get(name)
        if log_outer is None:
            log_outer = _ZERO
            for called, log_call in self.calls.items():
                log_outer = log_add(log_outer, log_call + weights.corners[called].get(name, _ZERO))
            self._outer[name] = log_outer
        return log_outer


class WeightedParser:
    """The columns of one weighted grammar, and the way from each to the next.

    Parameters
    ----------
    grammar:
        The grammar, reduced.

    Attributes
    ----------
    start:
        The column of the empty prefix.
    """

    def __init__(self, grammar: ReducedGrammar) -> None:
        self._grammar = grammar
        self._weights = WeightedGrammar(grammar)
        self._remembering: list[WeightedColumn] = []
        self._steps_left = STEPS_PER_BYTE
        weights = self._weights
        self.start = WeightedColumn(weights, {}, {grammar.whole: 0.0}, weights.totals[0], weights.empty[0])

    def step(self, column: WeightedColumn, byte: int) -> WeightedColumn | None:
        """Return the column after one more byte, or None if no text goes on that way.

        Raises
        ------
        MatcherError
            If that takes more than `STEPS_PER_BYTE` steps.
        """
        try:
            return column.successors[byte]
        except KeyError:
            pass
        if len(self._remembering) >= COLUMNS:
            self._forget()
        self._steps_left = STEPS_PER_BYTE
        moved = [(origin, item, w) for origin, item, w, symbol in column.scans if byte in symbol]
        moved += [(column, item, w) for item, w in column.prediction.scan(byte)]
        following = self._column(moved) if moved else None
        column.successors[byte] = following
        self._remembering.append(column)
        return following

    def _forget(self) -> None:
        """Drop every table that grows, so that only the columns stay that someone holds."""
        for column in self._remembering:
            column.successors.clear()
        self._remembering.clear()
        self._weights.predict.cache_clear()

    def _column(self, moved: Iterable[tuple[WeightedColumn, int, float]]) -> WeightedColumn:
        """Return the column in which these items have just read a byte."""
        weights, grammar = self._weights, self._grammar
        found: Found = {}
        ended: Found = {}
        log_prefix = _ZERO
        for origin, item, log_inner in moved:
            name = grammar.lhs[item]
            log_prefix = log_add(log_prefix, log_inner + weights.rest[item] + origin.outer(weights, name))
            self._pass(origin, item, log_inner, found, ended)
        for (origin, name), log_inner in ended.items():
            reduction = origin.reductions.get(name) or self._reduce(origin, name)
            self._spread(reduction, log_inner, found)
        log_text = found.pop((self.start, grammar.accept), _ZERO)
        return WeightedColumn(weights, found, {}, log_prefix, log_text)

    def _pass(
        self, origin: WeightedColumn, item: int, log_inner: float, found: Found, ended: Found | None
    ) -> None:
        """Let a dot pass what may be empty: add the items to `found`, and the end of the rule to `ended`."""
        stays, log_end = self._weights.passed(item)
        for stay, log_empty in stays:
            key = (origin, stay)
            log_weight = log_inner + log_empty
            found[key] = log_add(found[key], log_weight) if key in found else log_weight
        if ended is not None and log_end > _ZERO:
            key = (origin, self._grammar.lhs[item])
            ended[key] = log_add(ended.get(key, _ZERO), log_inner + log_end)

    def _spread(
        self, reduction: tuple[tuple[WeightedColumn, int, float], ...], log_inner: float, found: Found
    ) -> None:
        self._count(len(reduction) - 1)
        for origin, item, log_factor in reduction:
            key = (origin, item)
            log_weight = log_inner + log_factor
            found[key] = log_add(found[key], log_weight) if key in found else log_weight

    def _count(self, steps: int) -> None:
        self._steps_left -= steps
        if self._steps_left < 0:
            raise MatcherError(
                f"a byte took more than {STEPS_PER_BYTE} steps of the weighted parser",
                hint="the grammar is too ambiguous for so long a text; bound its repetitions, or rewrite it",
            )

    def _reduce(self, column: WeightedColumn, ended: int) -> tuple[tuple[WeightedColumn, int, float], ...]:
        """Return what the end of a nonterminal that began at `column` brings about: origins, items, factors.

        Reductions need reductions of earlier columns, down to the start of the text: hence the stack.
        """
        stack = [(column, ended)]
        while stack:
            begin, name = stack[-1]
            if name in begin.reductions:
                stack.pop()
                continue
            found, further = self._consequences(begin, name)
            missing = [key for key in further if key[1] not in key[0].reductions]
            if missing:
                stack += missing
                continue
            for (origin, other), log_inner in further.items():
                self._spread(origin.reductions[other], log_inner, found)
            begin.reductions[name] = tuple((origin, item, w) for (origin, item), w in found.items())
            stack.pop()
        return column.reductions[ended]

    def _consequences(self, begin: WeightedColumn, ended: int) -> tuple[Found, Found]:
        """Return the items that the end of a nonterminal moves, and the nonterminals that end with it.

        Of those that begin at the same column, and end with it by unit rules, `units` has the sum.
        """
        found: Found = {}
        further: Found = {}
        for name, log_unit in self._weights.units[ended]:
            if name == self._grammar.whole:
                if begin is self.start:
                    found[(begin, self._grammar.accept)] = log_unit
                continue
            for item, log_weight in begin.prediction.waiting.get(name, ()):
                self._pass(begin, item, log_unit + log_weight, found, None)
            waiting = begin.waiting.get(name, ())
            self._count(len(waiting) - 1)
            for origin, item, log_inner in waiting:
                self._pass(origin, item, log_unit + log_inner, found, further)
        return found, further
