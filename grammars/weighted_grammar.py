"""What a weighted grammar's parser needs to know beforehand: total weights, empty weights, chains of rules.

Numbers are natural logarithms; -inf is the weight 0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from functools import cache
from typing import NamedTuple

from grammars.partition import Monomial, Row, chain_sums, log_add, total_weights
from grammars.reduced import ReducedGrammar

_ZERO = -math.inf


class Passed(NamedTuple):
    """Where a dot may come to rest, passing symbols that may be empty, with log-weights.

    `end` is the weight with which it comes to the end of its rule.
    """

    stays: tuple[tuple[int, float], ...]
    end: float


class Prediction:
    """The items that begin at a column: their dots, at the left but for empty symbols, with log-weights.

    Attributes
    ----------
    waiting:
        By the nonterminal after the dot: the items after it.
    """

    def __init__(self, weights: WeightedGrammar, names: frozenset[int]) -> None:
        grammar = weights.grammar
        self.waiting: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
        self._scans: list[tuple[frozenset[int], int, float]] = []
        self._on_byte: dict[int, list[tuple[int, float]]] = {}
        for name in names:
            for first in grammar.first[name]:
                for item, log_empty in weights.passed(first).stays:
                    log_weight = math.log(grammar.weights[item]) + log_empty
                    symbol = grammar.after[item]
                    if isinstance(symbol, int):
                        self.waiting[symbol].append((item + 1, log_weight))
                    elif symbol is not None:
                        self._scans.append((symbol, item + 1, log_weight))

    def scan(self, byte: int) -> list[tuple[int, float]]:
        """Return the items after a byte."""
        if byte not in self._on_byte:
            self._on_byte[byte] = [(item, w) for symbol, item, w in self._scans if byte in symbol]
        return self._on_byte[byte]


class WeightedGrammar:
    """The sums over a grammar that its parser needs.

    Attributes
    ----------
    grammar:
        The grammar, reduced.
    totals, empty:
        Of each nonterminal the log of the total weight of its texts, and of the empty text.
    rest:
        Of each item the log of the total weight of what follows the dot.
    corners:
        Of each nonterminal A and each B the log of the sum over the chains by which A begins with B.
    units:
        Of each nonterminal B and each A the log of the sum over the chains by which A consists of B alone.
    """

    def __init__(self, grammar: ReducedGrammar) -> None:
        self.grammar = grammar
        self.empty = self._totals(empty=True)
        self.totals = self._totals(empty=False)
        self.rest = [0.0] * len(grammar.after)
        for item in reversed(range(len(grammar.after))):
            symbol = grammar.after[item]
            if symbol is not None:
                total = self.totals[symbol] if isinstance(symbol, int) else math.log(len(symbol))
                self.rest[item] = total + self.rest[item + 1]
        self.passed = cache(self._passed)
        self.predict = cache(self._predict)
        self.corners = self._chains(units=False)
        self.units: list[list[tuple[int, float]]] = [[] for _ in grammar.names]
        for whole, row in enumerate(self._chains(units=True)):
            for part, log_sum in row.items():
                self.units[part].append((whole, log_sum))

    def _totals(self, *, empty: bool) -> list[float]:
        """Return the log total weight of each nonterminal, or of the empty text alone."""
        grammar = self.grammar
        equations: list[list[Monomial]] = [[] for _ in grammar.names]
        for name, starts in enumerate(grammar.first):
            for item in starts:
                symbols = grammar.rhs(item)
                if empty and not all(symbol in grammar.nullable for symbol in symbols):
                    continue
                log_bytes = sum(math.log(len(symbol)) for symbol in symbols if not isinstance(symbol, int))
                calls = tuple(symbol for symbol in symbols if isinstance(symbol, int))
                equations[name].append((math.log(grammar.weights[item]) + log_bytes, calls))
        return total_weights(equations, grammar.names)

    def _chains(self, *, units: bool) -> list[Row]:
        """Return the sums over chains, of left corners or of units.

        P(A, B) is scaled by Z(B) / Z(A): then it is the probability of a step in the grammar's distribution
        over derivations, and no entry is above 1.
        """
        grammar = self.grammar
        rows: list[Row] = [{} for _ in grammar.names]
        for name, starts in enumerate(grammar.first):
            for first in starts:
                for item, log_empty in self.passed(first).stays:
                    called = grammar.after[item]
                    if not isinstance(called, int):
                        continue
                    log_after = self.passed(item + 1).end if units else self.rest[item + 1]
                    log_step = math.log(grammar.weights[item]) + log_empty + log_after
                    if log_step > _ZERO:
                        log_step += self.totals[called] - self.totals[name]
                        rows[name][called] = log_add(rows[name].get(called, _ZERO), log_step)
        return [
            {part: log_sum + self.totals[whole] - self.totals[part] for part, log_sum in row.items()}
            for whole, row in enumerate(chain_sums(rows, grammar.names))
        ]

    def _passed(self, start: int) -> Passed:
        grammar = self.grammar
        stays: list[tuple[int, float]] = []
        log_weight = 0.0
        for item in range(start, len(grammar.after)):
            symbol = grammar.after[item]
            if symbol is None and item != grammar.accept:
                return Passed(tuple(stays), log_weight)
            if symbol not in grammar.silent:
                stays.append((item, log_weight))
            if not isinstance(symbol, int) or symbol not in grammar.nullable:
                break
            log_weight += self.empty[symbol]
        return Passed(tuple(stays), _ZERO)

    def _predict(self, calls: frozenset[int]) -> Prediction:
        return Prediction(self, frozenset(name for call in calls for name in self.corners[call]))
