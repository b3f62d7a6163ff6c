"""Weighted context-free grammars over bytes: weights of texts, and of all texts that begin with a prefix.

The weight of a derivation is the product of the weights of its rules, that of a text the sum over its
derivations. With rule probabilities (a PCFG) the weight of a text is its probability.

The prefix weight is the best possible potential of its kind: exact at the end, and before the end the sum of
what may still come. As the twist of a sampler it looks ahead as far as the grammar can see.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from grammars.cfg import CFG, checked_rules
from grammars.constraint import text_bytes
from grammars.reduced import ReducedGrammar
from grammars.rules import Rule
from grammars.weighted_earley import WeightedColumn, WeightedParser


@dataclass(frozen=True)
class PCFG:
    """A weighted context-free grammar: a measure over texts.

    Parameters
    ----------
    rules:
        The rules; each counts, also where two are equal. Their weights may be probabilities, or any
        non-negative numbers with which all texts together have a finite weight. A set of bytes stands for
        any of them, each with factor 1: for a uniform choice among n, give the rule the weight 1/n.
    start:
        The nonterminal of a whole text.

    Raises
    ------
    GrammarError
        If a nonterminal has no rule, or the total weight is infinite.
    ContradictionError
        If no text has a positive weight.
    """

    rules: tuple[Rule, ...]
    start: str = "start"

    def __init__(self, rules: Iterable[Rule], start: str = "start") -> None:
        object.__setattr__(self, "rules", checked_rules(rules, start))
        object.__setattr__(self, "start", start)
        self._parser  # noqa: B018 (refuses what has no meaning)

    @property
    def support(self) -> CFG:
        """The constraint of the texts with a positive weight."""
        return CFG(self.rules, self.start)

    @property
    def log_total_weight(self) -> float:
        """Log of the weight of all texts, in nats; 0 for a proper PCFG."""
        return self.state().log_prefix_weight

    def state(self) -> PCFGState:
        """Return the state before the first byte."""
        return PCFGState(self._parser, self._parser.start)

    def log_weight(self, text: str | bytes) -> float:
        """Return the log of the weight of a text, in nats; -inf if nothing derives it.

        Raises
        ------
        ParseError
            If `text` is no text.
        MatcherError
            If the grammar is too ambiguous for a text of this length.
        """
        state = self._after(text)
        return -math.inf if state is None else state.log_weight

    def log_prefix_weight(self, prefix: str | bytes) -> float:
        """Return the log of the summed weights of all texts that begin with `prefix`, in nats.

        Raises
        ------
        ParseError
            If `prefix` is no text.
        MatcherError
            If the grammar is too ambiguous for a prefix of this length.
        """
        state = self._after(prefix)
        return -math.inf if state is None else state.log_prefix_weight

    def _after(self, text: str | bytes) -> PCFGState | None:
        try:
            data = text_bytes(text)
        except UnicodeEncodeError:
            return None  # a lone surrogate: no bytes spell it
        return self.state().read(data)

    @cached_property
    def _parser(self) -> WeightedParser:
        return WeightedParser(ReducedGrammar(self.rules, self.start))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.rules, self.start)  # without the tables of the parser

    def __str__(self) -> str:
        return f"PCFG({self.rules[0]}, ... {len(self.rules)} rules, start={self.start!r})"


@dataclass(frozen=True, eq=False, repr=False)
class PCFGState:
    """A weighted grammar after a prefix. A state never changes, so that it is its own fork."""

    _parser: WeightedParser
    _column: WeightedColumn | None

    def advance(self, byte: int) -> PCFGState:
        """Return the state after one more byte."""
        return (
            self if self._column is None else PCFGState(self._parser, self._parser.step(self._column, byte))
        )

    def read(self, data: bytes) -> PCFGState:
        """Return the state after more bytes."""
        column = self._column
        for byte in data:
            if column is None:
                break
            column = self._parser.step(column, byte)
        return PCFGState(self._parser, column)

    @property
    def log_prefix_weight(self) -> float:
        """Log of the summed weights of all texts that begin with this prefix, in nats."""
        return -math.inf if self._column is None else self._column.log_prefix

    @property
    def log_weight(self) -> float:
        """Log of the weight of this prefix as a text, in nats."""
        return -math.inf if self._column is None else self._column.log_text
