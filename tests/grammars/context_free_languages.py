"""An independent definition of context-free languages: least fixed points over all strings up to a length."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hypothesis import strategies as st

from grammars import ByteSet, NonTerminal, Rule

Symbols = tuple[NonTerminal | ByteSet | bytes, ...]
Languages = dict[str, frozenset[bytes]]

NAMES = ("start", "A", "B")
ALPHABET = b"ab"


def strings(longest: int, alphabet: bytes = ALPHABET) -> list[bytes]:
    return [bytes(s) for n in range(longest + 1) for s in itertools.product(alphabet, repeat=n)]


def rules(weights: st.SearchStrategy[float] | None = None) -> st.SearchStrategy[list[Rule]]:
    """Small grammars with empty rules, cycles, useless rules, and every kind of recursion."""
    weight = st.just(1.0) if weights is None else weights
    terminals = [b"a", b"b", b"a", b"b", b"ab", b"", ByteSet(b"ab"), ByteSet(b"a"), ByteSet(b"")]
    terminal, call = st.sampled_from(terminals), st.sampled_from(NAMES).map(NonTerminal)
    right = st.one_of(
        st.lists(st.one_of(terminal, call), min_size=1, max_size=3),
        st.lists(call, min_size=1, max_size=3),
        st.lists(terminal, max_size=2),
    )

    def rule(lhs: st.SearchStrategy[str]) -> st.SearchStrategy[Rule]:
        return st.builds(Rule, lhs, right.map(tuple), weight)

    one_each = st.tuples(*(rule(st.just(name)) for name in NAMES))
    more = st.lists(rule(st.sampled_from(NAMES)), min_size=3, max_size=7)
    return st.tuples(one_each, more).map(lambda pair: [*pair[0], *pair[1]])


def fixed_point(grammar: list[Rule], of: Callable[[Rule, Languages], frozenset[bytes]]) -> Languages:
    """The least sets X[A] with X[A] = union of of(rule, X) over the rules of A."""
    found: Languages = {rule.lhs: frozenset() for rule in grammar}
    while True:
        following = {
            name: frozenset().union(*(of(rule, found) for rule in grammar if rule.lhs == name))
            for name in found
        }
        if following == found:
            return found
        found = following


def texts(grammar: list[Rule], longest: int) -> Languages:
    """Of each nonterminal the texts of at most `longest` bytes."""
    return fixed_point(grammar, lambda rule, found: concatenation(rule.rhs, found, longest))


def concatenation(symbols: Symbols, found: Languages, longest: int) -> frozenset[bytes]:
    result = {b""}
    for symbol in symbols:
        parts = meaning(symbol, found)
        result = {x + y for x in result for y in parts if len(x + y) <= longest}
    return frozenset(result)


def meaning(symbol: NonTerminal | ByteSet | bytes, found: Languages) -> frozenset[bytes]:
    if isinstance(symbol, NonTerminal):
        return found[symbol.name]
    return frozenset({symbol}) if isinstance(symbol, bytes) else frozenset(bytes([b]) for b in symbol)


def prefixes(grammar: list[Rule], longest: int) -> Languages:
    """Of each nonterminal the prefixes of its texts, of any length, cut to at most `longest` bytes."""
    whole = texts(grammar, longest)
    # a nonterminal is productive if it derives something when every byte counts for nothing
    productive = fixed_point(grammar, _shadow)

    def begin(rule: Rule, found: Languages) -> frozenset[bytes]:
        result: set[bytes] = set()
        if not _shadow(rule, productive):
            return frozenset()
        for i, symbol in enumerate(rule.rhs):
            before = concatenation(rule.rhs[:i], whole, longest)
            parts = meaning(symbol, found)
            if isinstance(symbol, bytes):
                parts = frozenset(symbol[:n] for n in range(len(symbol) + 1))
            result |= {(x + y)[:longest] for x in before for y in parts}
        return frozenset(result | {b""})

    return fixed_point(grammar, begin)


def _shadow(rule: Rule, found: Languages) -> frozenset[bytes]:
    for symbol in rule.rhs:
        if not (found[symbol.name] if isinstance(symbol, NonTerminal) else meaning(symbol, found)):
            return frozenset()
    return frozenset({b""})
