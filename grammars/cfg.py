"""Context-free grammars over bytes, with their textbook meaning: the texts that `start` derives.

There is no lexer, no greed and no priority: a text is in L(c) if any derivation gives it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from typing_extensions import override

from grammars.constraint import Constraint, Matcher
from grammars.rules import ByteSet, NonTerminal, Rule, Symbol
from grammars.vocabulary import Vocabulary

__all__ = ["CFG", "ByteSet", "NonTerminal", "Rule", "Symbol"]


@dataclass(frozen=True)
class CFG(Constraint):
    """The texts that a context-free grammar generates.

    Parameters
    ----------
    rules:
        The rules, in any order; of rules with equal left-hand sides any may be used. Left recursion, cycles
        and empty rules are allowed.
    start:
        The nonterminal of a whole text.

    Raises
    ------
    GrammarError
        If a nonterminal has no rule.
    ContradictionError
        If no text matches.
    """

    rules: tuple[Rule, ...]
    start: str = "start"

    def __init__(self, rules: Iterable[Rule], start: str = "start") -> None:
        object.__setattr__(self, "rules", tuple(rules))
        object.__setattr__(self, "start", start)

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        raise NotImplementedError
