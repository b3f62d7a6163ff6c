"""Context-free grammars over bytes, with their textbook meaning: the texts that `start` derives.

There is no lexer, no greed and no priority: a text is in L(c) if any derivation gives it. So this is the
oracle that other engines are compared with. The matcher is exact: it allows a token if and only if a text
goes on that way. It checks; for small vocabularies it masks, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from typing_extensions import override

from grammars.cache import per_vocabulary
from grammars.constraint import Constraint, Matcher
from grammars.earley import Column, Recogniser
from grammars.errors import GrammarError
from grammars.reduced import ReducedGrammar
from grammars.rules import ByteSet, NonTerminal, Rule, Symbol
from grammars.token_index import token_index
from grammars.vocabulary import Mask, Vocabulary, pack

__all__ = ["CFG", "ByteSet", "CFGMatcher", "NonTerminal", "Rule", "Symbol", "checked_rules"]

_MASK_BYTES = 1024  # vocabularies with more text than this are only checked


@dataclass(frozen=True)
class CFG(Constraint):
    """The texts that a context-free grammar generates.

    Parameters
    ----------
    rules:
        The rules, in any order; of rules with equal left-hand sides any may be used. Left recursion, cycles,
        ambiguity and empty rules are allowed. Rules of weight 0 count for nothing; other weights are not read.
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
        object.__setattr__(self, "rules", checked_rules(rules, start))
        object.__setattr__(self, "start", start)
        self._recogniser  # noqa: B018 (refuses what has no meaning)

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return CFGMatcher(vocabulary, self._recogniser)

    @cached_property
    def _recogniser(self) -> Recogniser:
        distinct = {(rule.lhs, rule.rhs, rule.weight > 0): rule for rule in self.rules}
        return Recogniser(ReducedGrammar(tuple(distinct.values()), self.start))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.rules, self.start)  # without the tables of the recogniser

    def __str__(self) -> str:
        return f"CFG({self.rules[0]}, ... {len(self.rules)} rules, start={self.start!r})"


class CFGMatcher(Matcher):
    """The state of a grammar after a prefix: a column of the recogniser, which all states share."""

    def __init__(self, vocabulary: Vocabulary, recogniser: Recogniser) -> None:
        super().__init__(vocabulary)
        self._recogniser = recogniser
        self._column = recogniser.start

    @override
    def consume(self, data: bytes) -> bool:
        column = self._after(data)
        if column is None:
            return False
        self._column = column
        return True

    @override
    def is_accepting(self) -> bool:
        return self._column.accepting

    @override
    def fork(self) -> Self:
        other = object.__new__(type(self))
        other.vocabulary = self.vocabulary
        other._recogniser = self._recogniser
        other._column = self._column
        return other

    @override
    def allows(self, token: int) -> bool:
        data = self.vocabulary.tokens[token]
        return bool(data) and self._after(data) is not None  # type: ignore[arg-type]

    @property
    @override
    def mask_is_exact(self) -> bool:
        return _spellings(self.vocabulary, None) is not None

    @override
    def mask(self) -> Mask | None:
        spellings = _spellings(self.vocabulary, None)
        if spellings is None:
            return None
        allowed: list[int] = []
        path: list[Column] = [self._column]  # after each byte of the last token, up to where it fails
        for shared, data, ids in spellings:
            if shared < len(path):
                del path[shared + 1 :]
            elif shared >= len(path):
                continue  # it begins as the last token does, which failed there
            for byte in data[shared:]:
                column = self._recogniser.step(path[-1], byte)
                if column is None:
                    break
                path.append(column)
            else:
                allowed += ids
        return pack(allowed, self.vocabulary.size)

    def _after(self, data: bytes) -> Column | None:
        column: Column | None = self._column
        for byte in data:
            assert column is not None
            column = self._recogniser.step(column, byte)
            if column is None:
                return None
        return column


def checked_rules(rules: Iterable[Rule], start: str) -> tuple[Rule, ...]:
    """Return the rules as a tuple.

    Raises
    ------
    GrammarError
        If one of them is no rule, or `start` is no name.
    """
    if not isinstance(start, str):
        raise GrammarError(
            f"the start must be the name of a nonterminal, not {start!r}", hint="as start='sum'"
        )
    try:
        result = tuple(rules)
    except TypeError:
        raise GrammarError(
            f"not a sequence of rules: {rules!r}", hint="as [Rule('start', (b'a',))]"
        ) from None
    for rule in result:
        if not isinstance(rule, Rule):
            raise GrammarError(f"not a rule: {rule!r}", hint="as Rule('start', (b'a', NonTerminal('b')))")
    return result


@per_vocabulary(limit=1)
def _spellings(vocabulary: Vocabulary, _: None) -> list[tuple[int, bytes, list[int]]] | None:
    """Return the token strings, sorted, each with the length it shares with the one before, and its ids.

    None if the vocabulary is too large for a look at every token.
    """
    if sum(len(data or b"") for data in vocabulary.tokens) > _MASK_BYTES:
        return None
    index = token_index(vocabulary)
    result: list[tuple[int, bytes, list[int]]] = []
    before = b""
    for data in index.beginning_with(b""):
        pairs = enumerate(zip(before, data, strict=False))
        shared = next((at for at, (old, new) in pairs if old != new), len(before))
        result.append((shared, data, index.ids[data].tolist()))
        before = data
    return result
