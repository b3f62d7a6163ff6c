"""Automata as constraints; `test_predicate` compares them with brute force."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from unicode_texts import vocabulary

from grammars import (
    Automaton,
    Incremental,
    PredicateError,
    check_consistent,
)


@dataclass(frozen=True)
class Nested(Automaton):
    """Balanced parentheses to a depth."""

    depth: int
    start: int = 0

    def step(self, state: int, symbol: str) -> int | None:
        state += {"(": 1, ")": -1, "é": 0}.get(symbol, -(10**6))
        return state if 0 <= state <= self.depth else None

    def accept(self, state: int) -> bool:
        return state == 0


@dataclass(frozen=True)
class Even(Automaton):
    """An even number of bytes, of any kind."""

    over = "bytes"
    start: int = 0

    def step(self, state: int, symbol: int) -> int:
        assert 0 <= symbol < 256
        return 1 - state

    def accept(self, state: int) -> bool:
        return state == 0


def test_automata() -> None:
    assert Nested(2) == Nested(2) != Nested(3)
    assert Nested(2).matches("(()é)()")
    assert not Nested(1).matches("(())")
    assert not Nested(1).matches("(é")
    assert Even().matches(b"\xff\x80")
    assert Even().matches("é")
    assert not Even().matches("∀")
    check_consistent(Nested(1), ["(é)()"], alphabet="()é", depth=3)
    check_consistent(Even(), [b"\xff\xff"], alphabet=["a", b"\x80"])
    matcher = Nested(1).matcher(vocabulary([b"(\xc3", b"\xa9)", b"\xa9", b")"]))
    assert [matcher.allows(token) for token in range(4)] == [True, False, False, False]
    assert matcher.advance(0)
    assert not matcher.is_accepting()
    assert [matcher.allows(token) for token in range(4)] == [False, True, True, False]
    fork = matcher.fork()
    assert fork.advance(1)
    assert fork.is_accepting()
    assert matcher.advance(2)
    assert not matcher.is_accepting()


def test_failures_of_automata_show_the_text() -> None:
    def raises(state: int, symbol: str) -> int:
        return state + {"a": 1}[symbol]

    with pytest.raises(PredicateError) as caught:
        Incremental(0, raises, bool).matches("aé")
    assert "raised KeyError: 'é'\n  text: 'aé'" in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(PredicateError, match=r"returned \['a'\], which is no immutable state"):
        Incremental((), lambda state, symbol: [symbol], bool).matches("a")
    with pytest.raises(PredicateError, match="returned 1, which is no bool"):
        Incremental(0, lambda state, symbol: 1, lambda state: state).matches("a")
