"""Weighted grammars: weights of texts and prefixes against fixed-point iteration over all short strings."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from context_free_languages import ALPHABET, rules, strings
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grammars import (
    PCFG,
    ByteSet,
    ContradictionError,
    GrammarError,
    MatcherError,
    NonTerminal,
    Rule,
    partition,
    weighted_earley,
)

START, A, B, C = map(NonTerminal, ("start", "A", "B", "C"))
DIGIT = ByteSet.range(ord("0"), ord("9"))
Series = NDArray[np.float64]


class Definition:
    """Weights by Kleene iteration, over the strings of at most `longest` bytes.

    `texts[A]` has the weight of each string as a text of A, `prefixes[A]` that of all texts that begin with it.
    """

    def __init__(self, grammar: list[Rule], longest: int) -> None:
        self.strings = strings(longest)
        self._index = {text: at for at, text in enumerate(self.strings)}
        pairs = itertools.product(enumerate(self.strings), repeat=2)
        splits = [(i, j, self._index[x + y]) for (i, x), (j, y) in pairs if len(x + y) <= longest]
        self._left, self._right, self._joined = np.array(splits).T
        self._rules = [(rule, self._symbols(rule)) for rule in grammar]
        names = {rule.lhs for rule in grammar}
        self.totals: dict[str, float] = self._iterate(names, 0.0, self._total)
        self.texts: dict[str, Series] = self._iterate(names, np.zeros(len(self.strings)), self._text)
        self.prefixes: dict[str, Series] = self._iterate(names, np.zeros(len(self.strings)), self._prefix)
        for name in names:
            self.prefixes[name][0] = self.totals[name]

    def _symbols(self, rule: Rule) -> list[str | Series]:
        result: list[str | Series] = []
        for symbol in rule.rhs:
            if isinstance(symbol, NonTerminal):
                result.append(symbol.name)
                continue
            for values in [[b] for b in symbol] if isinstance(symbol, bytes) else [sorted(symbol)]:
                series = np.zeros(len(self.strings))
                series[[self._index[bytes([b])] for b in values]] = 1
                result.append(series)
        return result

    def _iterate(self, names: set[str], zero: object, of: Callable) -> dict:
        found = dict.fromkeys(names, zero)
        for _ in range(5000):
            following = dict.fromkeys(names, zero)
            for rule, symbols in self._rules:
                following[rule.lhs] = following[rule.lhs] + rule.weight * of(symbols, found)
            # an iteration takes away at least a tenth of the error
            done = all(np.all(following[name] - found[name] <= 1e-13 * following[name]) for name in names)
            found = following
            if done:
                return found
        raise AssertionError("the iteration did not converge")

    def _product(self, x: Series, y: Series) -> Series:
        products = x[self._left] * y[self._right]
        return np.bincount(self._joined, products, minlength=len(self.strings))

    def _total(self, symbols: list[str | Series], totals: dict[str, float]) -> float:
        return math.prod(totals[s] if isinstance(s, str) else s.sum() for s in symbols)

    def _text(self, symbols: list[str | Series], texts: dict[str, Series]) -> Series:
        result = np.zeros(len(self.strings))
        result[0] = 1
        for symbol in symbols:
            result = self._product(result, texts[symbol] if isinstance(symbol, str) else symbol)
        return result

    def _prefix(self, symbols: list[str | Series], prefixes: dict[str, Series]) -> Series:
        """The last byte of a prefix lies in exactly one symbol; those before are whole, those after free."""
        result = np.zeros(len(self.strings))
        for at, symbol in enumerate(symbols):
            within = (prefixes[symbol] if isinstance(symbol, str) else symbol).copy()
            within[0] = 0
            before = self._text(symbols[:at], self.texts)
            result = result + self._product(before, within) * self._total(symbols[at + 1 :], self.totals)
        return result


def normalised(grammar: list[Rule], mass: float) -> list[Rule]:
    """The same rules, the weights of each nonterminal scaled so that they add up to `mass`, bytes included."""
    size = {rule: math.prod(len(s) for s in rule.rhs if isinstance(s, ByteSet)) for rule in grammar}
    sums = {
        name: sum(r.weight * size[r] for r in grammar if r.lhs == name) for name in {r.lhs for r in grammar}
    }
    return [Rule(r.lhs, r.rhs, r.weight * mass / sums[r.lhs] if sums[r.lhs] else r.weight) for r in grammar]


def check(grammar: list[Rule], longest: int = 4, tolerance: float = 1e-10) -> None:
    """Compare with the definition on every string of at most `longest` bytes."""
    expected = Definition(grammar, longest)
    try:
        weighted = PCFG(grammar)
    except ContradictionError:
        assert expected.totals["start"] == 0
        return
    support = weighted.support
    assert math.exp(weighted.log_total_weight) == pytest.approx(expected.totals["start"], rel=tolerance)
    states = {b"": weighted.state()}
    for at, text in enumerate(expected.strings):
        if text:
            states[text] = states[text[:-1]].advance(text[-1])
        state = states[text]
        weight, prefix = expected.texts["start"][at], expected.prefixes["start"][at]
        assert math.exp(state.log_weight) == pytest.approx(weight, rel=tolerance, abs=1e-300), text
        assert math.exp(state.log_prefix_weight) == pytest.approx(prefix, rel=tolerance, abs=1e-300), text
        assert (state.log_weight > -math.inf) == support.matches(text)
        assert weighted.log_weight(text) == state.log_weight
        assert weighted.log_prefix_weight(text) == state.log_prefix_weight
        longer = [state.advance(byte).log_prefix_weight for byte in ALPHABET]
        parts = sum(map(math.exp, [state.log_weight, *longer]))
        assert math.exp(state.log_prefix_weight) == pytest.approx(parts, rel=tolerance, abs=1e-300)


weights = st.sampled_from([1.0, 1.0, 0.5, 0.1, 3.0, 0.0])


@settings(max_examples=150, deadline=None)
@given(rules(weights), st.sampled_from([0.9, 0.6]))
def test_weights_are_their_definition(grammar: list[Rule], mass: float) -> None:
    check(normalised(grammar, mass))


@settings(max_examples=30, deadline=None)
@given(rules(weights), st.integers(1, 5))
def test_forgetting_tables_changes_nothing(grammar: list[Rule], limit: int) -> None:
    before = weighted_earley.COLUMNS
    weighted_earley.COLUMNS = limit
    try:
        check(normalised(grammar, 0.8), longest=3)
    finally:
        weighted_earley.COLUMNS = before


HARD = {
    "unit cycle": [
        Rule("start", (A,), 0.5),
        Rule("A", (B,), 0.7),
        Rule("B", (A,), 0.6),
        Rule("B", (b"a",), 0.4),
    ],
    "self loop": [Rule("start", (START,), 0.9), Rule("start", (b"a",), 0.1)],
    "empty cycle": [Rule("start", (START, START), 0.3), Rule("start", (), 0.4), Rule("start", (b"a",), 0.3)],
    "hidden left": [
        Rule("start", (A, START, b"a"), 0.5),
        Rule("start", (b"b",), 0.5),
        Rule("A", (), 0.3),
        Rule("A", (b"a",), 0.7),
    ],
    "hidden units": [
        Rule("start", (A, B, A), 1.0),
        Rule("A", (), 0.8),
        Rule("A", (A, B), 0.2),
        Rule("B", (), 0.5),
        Rule("B", (A, A), 0.25),
        Rule("B", (b"b",), 0.25),
    ],
    "silent": [Rule("start", (A, b"a", A, START, A), 0.5), Rule("start", (b"b",)), Rule("A", (), 0.7)],
    "twice the same": [
        Rule("start", (b"a",), 0.25),
        Rule("start", (b"a",), 0.25),
        Rule("start", (b"b",), 0.5),
    ],
    "ambiguous": [Rule("start", (START, START), 0.4), Rule("start", (ByteSet(b"ab"),), 0.3)],
    "no probabilities": [Rule("start", (b"a", START), 0.99), Rule("start", (b"b",), 500.0)],
    "middle": [Rule("start", (b"a", START, b"b"), 0.8), Rule("start", (), 0.2)],
}


@pytest.mark.parametrize("name", HARD)
def test_recursion_of_every_kind(name: str) -> None:
    check(HARD[name], longest=6)


def test_a_random_walk_has_a_closed_form() -> None:
    """start -> start start (p) | a (1 - p): the Catalan numbers count the trees."""
    p = 0.3
    tree = PCFG([Rule("start", (START, START), p), Rule("start", (b"a",), 1 - p)])
    assert tree.log_total_weight == pytest.approx(0, abs=1e-14)
    texts = [math.comb(2 * n, n) // (n + 1) * p**n * (1 - p) ** (n + 1) for n in range(40)]
    for n, weight in enumerate(texts):
        assert tree.log_weight("a" * (n + 1)) == pytest.approx(math.log(weight), abs=1e-12)
        shorter = sum(texts[:n])
        assert math.exp(tree.log_prefix_weight("a" * (n + 1))) == pytest.approx(1 - shorter, abs=1e-12)


def test_a_supercritical_grammar_has_the_smaller_solution() -> None:
    tree = PCFG([Rule("start", (START, START), 0.6), Rule("start", (b"a",), 0.4)])
    assert tree.log_total_weight == pytest.approx(math.log(2 / 3), abs=1e-12)


def test_a_critical_grammar_converges_to_half_the_digits() -> None:
    tree = PCFG([Rule("start", (START, START), 0.5), Rule("start", (b"a",), 0.5)])
    assert tree.log_total_weight == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    "grammar",
    [
        [Rule("start", (START, START), 0.6), Rule("start", (b"a",), 0.5)],
        [Rule("start", (START, START), 3), Rule("start", (b"a",), 1)],
        [Rule("start", (b"a", START)), Rule("start", (b"b",))],
        [Rule("start", (START,)), Rule("start", (b"b",))],
        [Rule("start", (ByteSet(b"ab"), START), 0.5), Rule("start", (), 0.5)],
        [Rule("start", (A,)), Rule("A", (B, b"a"), 2), Rule("B", (A,), 0.6), Rule("B", (b"a",), 0.6)],
        [
            Rule("start", (A, A)),
            Rule("A", (A, B, A), 0.5),
            Rule("A", (), 0.5),
            Rule("B", (A, A), 9),
            Rule("B"),
        ],
    ],
)
def test_infinite_weights_are_refused(grammar: list[Rule]) -> None:
    with pytest.raises(GrammarError, match="finite sum") as caught:
        PCFG(grammar)
    assert caught.value.hint


def test_weights_beyond_the_range_of_floats() -> None:
    """Long literals and improbable branches keep their weights: everything is in logarithms."""
    wide = PCFG([Rule("start", (ByteSet(range(256)),) * 300)])
    assert wide.log_total_weight == pytest.approx(300 * math.log(256))
    assert wide.log_prefix_weight(b"x" * 100) == pytest.approx(200 * math.log(256))
    branches = PCFG(
        [
            Rule("start", (A, b"x"), 0.5),
            Rule("start", (B, b"y"), 0.5),
            Rule("A", (b"a", A), 0.9),
            Rule("A", (), 0.1),
            Rule("B", (b"a", B), 0.001),
            Rule("B", (), 0.999),
        ]
    )
    n = 2000
    expected = math.log(0.5) + n * math.log(0.001) + math.log(0.999)
    assert branches.log_weight(b"a" * n + b"y") == pytest.approx(expected, rel=1e-12)
    assert branches.log_prefix_weight(b"a" * n) == pytest.approx(math.log(0.5) + n * math.log(0.9), rel=1e-12)


@pytest.mark.parametrize(
    "grammar",
    [
        [Rule("start", (START, START), 0.5), Rule("start", (A, A), 1.0), Rule("A", (b"a",), 1e-300)],
        [Rule("start", (A, A, A)), Rule("A", (b"a",), 1e-200), Rule("A", (b"b", START), 1e-200)],
    ],
)
def test_mutual_recursion_out_of_range_is_an_error_that_says_so(grammar: list[Rule]) -> None:
    with pytest.raises(GrammarError, match="range of float64") as caught:
        PCFG(grammar)
    assert caught.value.hint


@pytest.mark.parametrize("right", [True, False], ids=["right", "left"])
def test_recursion_at_the_ends_is_linear(right: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weighted_earley, "STEPS_PER_BYTE", 8)
    body = (b"a", START) if right else (START, b"a")
    weighted = PCFG([Rule("start", body, 0.5), Rule("start", (b"b",), 0.5)])
    n = 5000
    text = b"a" * n + b"b" if right else b"b" + b"a" * n
    assert weighted.log_weight(text) == pytest.approx((n + 1) * math.log(0.5))
    assert weighted.log_prefix_weight(text[:-1]) == pytest.approx(
        (n if right else n - 1) * math.log(0.5), abs=1e-8
    )


def test_an_explosion_is_an_error_and_no_dead_end(monkeypatch: pytest.MonkeyPatch) -> None:
    weighted = PCFG(HARD["ambiguous"])
    monkeypatch.setattr(weighted_earley, "STEPS_PER_BYTE", 500)
    with pytest.raises(MatcherError, match="steps") as caught:
        weighted.log_weight("a" * 100)
    assert caught.value.hint
    monkeypatch.undo()
    assert weighted.log_weight("a" * 40) > -math.inf


def test_states_are_values() -> None:
    weighted = PCFG(HARD["middle"])
    state = weighted.state().read(b"aa")
    other = state.advance(ord("b"))
    assert state.log_prefix_weight == weighted.log_prefix_weight("aa")
    assert other.log_prefix_weight == weighted.log_prefix_weight("aab")
    dead = other.advance(ord("a"))
    assert dead.log_weight == dead.log_prefix_weight == dead.advance(ord("b")).log_weight == -math.inf
    assert state.read(b"ba").log_prefix_weight == -math.inf
    assert weighted.log_weight("\ud800") == -math.inf


def test_values() -> None:
    weighted = PCFG(HARD["middle"])
    assert weighted == PCFG(HARD["middle"])
    assert hash(weighted) == hash(PCFG(HARD["middle"]))
    assert pickle.loads(pickle.dumps(weighted)).log_weight("ab") == weighted.log_weight("ab")
    assert str(weighted).startswith("PCFG(start -> b'a' start b'b'")
    with pytest.raises(GrammarError, match="no rule for `A`"):
        PCFG([Rule("start", (A,))])
    with pytest.raises(ContradictionError):
        PCFG([Rule("start", (b"a",), 0)])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sets(st.integers(0, 9)), max_size=10))
def test_components_are_mutual_reachability_callees_first(edges: list[set[int]]) -> None:
    graph = [{v for v in targets if v < len(edges)} for targets in edges]
    reach = np.eye(len(graph), dtype=bool)
    for u, targets in enumerate(graph):
        reach[u, list(targets)] = True
    for k in range(len(graph)):
        reach |= np.outer(reach[:, k], reach[k])
    components = partition.strongly_connected(graph)
    place = {node: at for at, component in enumerate(components) for node in component}
    assert sorted(node for component in components for node in component) == list(range(len(graph)))
    for u, v in itertools.product(range(len(graph)), repeat=2):
        assert (place[u] == place[v]) == (reach[u, v] and reach[v, u])
        assert not reach[u, v] or place[v] <= place[u]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 5), st.floats(1e-3, 1)), min_size=1, max_size=6))
def test_chain_sums_are_inverses(rows: list[dict[int, float]]) -> None:
    size = len(rows)
    matrix = np.zeros((size, size))
    for u, row in enumerate(rows):
        for v, entry in row.items():
            if v < size:
                matrix[u, v] = entry / (1.1 * sum(row.values()))
    sums = partition.chain_sums(
        [{v: math.log(x) for v, x in enumerate(row) if x} for row in matrix.tolist()],
        [str(u) for u in range(size)],
    )
    found = np.array([[math.exp(row.get(v, -math.inf)) for v in range(size)] for row in sums])
    np.testing.assert_allclose(found, np.linalg.inv(np.eye(size) - matrix), rtol=1e-11, atol=1e-14)
