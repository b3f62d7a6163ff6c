"""Rules of context-free grammars over bytes: nonterminals, literals, sets of bytes.

A rule A -> X1 ... Xm says that an A is an X1, followed by an X2, and so on; with m = 0, that an A may be empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from grammars.errors import GrammarError


@dataclass(frozen=True)
class NonTerminal:
    """The texts of all rules whose left-hand side is `name`."""

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise GrammarError(
                f"not the name of a nonterminal: {self.name!r}", hint="as NonTerminal('value')"
            )

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class ByteSet:
    """One byte of a set.

    Parameters
    ----------
    values:
        The bytes, as integers from 0 to 255 or as a bytes object. The empty set matches nothing.

    Raises
    ------
    GrammarError
        If a value is no byte.
    """

    values: frozenset[int]

    def __init__(self, values: Iterable[int]) -> None:
        try:
            members = frozenset(values)
        except TypeError:
            raise GrammarError(f"not a set of bytes: {values!r}", hint="as ByteSet(b'abc')") from None
        for value in members:
            if type(value) is not int or not 0 <= value <= 255:
                raise GrammarError(
                    f"not a byte: {value!r}",
                    hint="bytes are the integers from 0 to 255, as in ByteSet(b'abc')",
                )
        object.__setattr__(self, "values", members)

    @classmethod
    def range(cls, first: int, last: int) -> ByteSet:
        """Return the bytes from `first` to `last`, both included."""
        return cls(range(first, last + 1))

    def __contains__(self, value: int) -> bool:
        return value in self.values

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self.values))

    def __len__(self) -> int:
        return len(self.values)

    def __or__(self, other: ByteSet) -> ByteSet:
        return ByteSet(self.values | other.values) if isinstance(other, ByteSet) else NotImplemented

    def __and__(self, other: ByteSet) -> ByteSet:
        return ByteSet(self.values & other.values) if isinstance(other, ByteSet) else NotImplemented

    def __sub__(self, other: ByteSet) -> ByteSet:
        return ByteSet(self.values - other.values) if isinstance(other, ByteSet) else NotImplemented

    def __invert__(self) -> ByteSet:
        return ByteSet(frozenset(range(256)) - self.values)

    def __str__(self) -> str:
        return f"[{bytes(self)!r}]"


Symbol = NonTerminal | ByteSet | bytes
"""What stands on the right-hand side of a rule: a nonterminal, one byte of a set, or these bytes."""


@dataclass(frozen=True)
class Rule:
    """One way to make a nonterminal: lhs -> rhs.

    Parameters
    ----------
    lhs:
        The name of the nonterminal.
    rhs:
        What it may consist of, in order; empty for the empty text.
    weight:
        Factor in the weight of every derivation that uses the rule, finite and not negative. A rule of weight
        0 might as well not be there; apart from that, `CFG` does not read weights, `PCFG` does.

    Raises
    ------
    GrammarError
        If a part of it is malformed.
    """

    lhs: str
    rhs: tuple[Symbol, ...] = ()
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.lhs, str) or not self.lhs:
            raise GrammarError(
                f"the left-hand side must be a name, not {self.lhs!r}", hint="as Rule('start', ...)"
            )
        if not isinstance(self.rhs, (tuple, list)):
            raise GrammarError(
                f"the right-hand side of `{self.lhs}` must be a tuple of symbols, not {self.rhs!r}",
                hint="a single symbol needs a comma: (b'a',)",
            )
        weight = self.weight
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
            raise GrammarError(
                f"the weight of a rule of `{self.lhs}` is {weight!r}",
                hint="weights are finite and not negative",
            )
        object.__setattr__(self, "rhs", tuple(self._symbol(symbol) for symbol in self.rhs))
        object.__setattr__(self, "weight", float(weight))

    def _symbol(self, symbol: object) -> Symbol:
        if isinstance(symbol, (NonTerminal, ByteSet, bytes)):
            return symbol
        if isinstance(symbol, (frozenset, set)):
            return ByteSet(symbol)
        raise GrammarError(
            f"in a rule of `{self.lhs}`, {symbol!r} is no symbol",
            hint="write NonTerminal('name'), bytes such as b'text', or ByteSet(b'abc')",
        )

    def __str__(self) -> str:
        right = " ".join(repr(symbol) if isinstance(symbol, bytes) else str(symbol) for symbol in self.rhs)
        return f"{self.lhs} -> {right or 'ε'}"
