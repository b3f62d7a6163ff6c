"""Context-free grammars: membership and viable prefixes against fixed points over all short strings."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Callable

import numpy as np
import pytest
from context_free_languages import ALPHABET, prefixes, rules, strings, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from regular_languages import Language

from grammars import (
    CFG,
    ByteSet,
    Constraint,
    ContradictionError,
    GrammarError,
    Matcher,
    MatcherError,
    NonTerminal,
    ParseError,
    Rule,
    Vocabulary,
    check_satisfiable,
    earley,
    unpack,
)

START, A, B = NonTerminal("start"), NonTerminal("A"), NonTerminal("B")
DIGIT = ByteSet.range(ord("0"), ord("9"))


def check(grammar: list[Rule], longest: int, start: str = "start") -> None:
    """Compare a grammar with its definition on every string of at most `longest` bytes."""
    positive = [rule for rule in grammar if rule.weight]
    language = texts(positive, longest)[start]
    viable = prefixes(positive, longest)[start]
    try:
        constraint = CFG(grammar, start)
    except ContradictionError:
        assert not viable
        return
    states: dict[bytes, Matcher] = {b"": constraint.matcher(Vocabulary.of_bytes())}
    assert b"" in viable
    for text in strings(longest):
        if text:
            parent = states.get(text[:-1])
            fork = parent.fork() if parent else None
            assert (fork is not None and fork.consume(text[-1:])) == (text in viable), text
            if fork is not None and text in viable:
                states[text] = fork
        if text in viable:
            assert states[text].is_accepting() == (text in language), text
        assert constraint.matches(text) == (text in language), text


@settings(max_examples=400, deadline=None)
@given(rules())
def test_grammars_are_their_definition(grammar: list[Rule]) -> None:
    check(grammar, 5)


@settings(max_examples=60, deadline=None)
@given(rules(), st.integers(1, 6))
def test_forgetting_tables_changes_nothing(grammar: list[Rule], limit: int) -> None:
    before = earley.COLUMNS
    earley.COLUMNS = limit
    try:
        check(grammar, 4)
    finally:
        earley.COLUMNS = before


HARD = {
    "A -> A": [Rule("start", (A,)), Rule("A", (A,)), Rule("A", (b"a",))],
    "A -> B -> A": [
        Rule("start", (A,)),
        Rule("A", (B,)),
        Rule("B", (A,)),
        Rule("B", (b"ab",)),
        Rule("A", ()),
    ],
    "left": [Rule("start", (START, b"a")), Rule("start", (b"b",))],
    "hidden left": [Rule("start", (A, START, b"a")), Rule("start", (b"b",)), Rule("A"), Rule("A", (b"a",))],
    "hidden right": [Rule("start", (b"a", START, A)), Rule("start", (b"b",)), Rule("A"), Rule("A", (b"b",))],
    "both": [Rule("start", (START, START)), Rule("start", (b"a",)), Rule("start")],
    "deep null": [Rule("start", (A, A, B, A)), Rule("A", (B, B)), Rule("B"), Rule("B", (b"b", A))],
    "middle": [Rule("start", (b"a", START, b"b")), Rule("start")],
    "palindromes": [
        *(Rule("start", (c, START, c)) for c in (b"a", b"b")),
        Rule("start"),
        Rule("start", (b"b",)),
    ],
    "unproductive": [Rule("start", (b"a", A)), Rule("start", (b"b",)), Rule("A", (b"a", A))],
    "weight 0": [Rule("start", (b"a",), 0), Rule("start", (b"b", b"b"))],
    "right, two ends": [
        Rule("start", (A, b"b")),
        Rule("A", (b"a", A)),
        Rule("A", (b"a", B)),
        Rule("B"),
        Rule("B", (A,)),
    ],
}


@pytest.mark.parametrize("name", HARD)
def test_recursion_of_every_kind(name: str) -> None:
    check(HARD[name], 7)


def linear(language: Language, *, right: bool) -> list[Rule]:
    """A right-linear (or left-linear) grammar, its nonterminals the states of Thompson's automaton."""
    found = [Rule("end")]

    def state(*ways: tuple[NonTerminal | bytes, ...]) -> NonTerminal:
        name = NonTerminal(str(len(found)))
        found.extend(Rule(name.name, way if right else way[::-1]) for way in ways)
        return name

    def build(part: Language, beyond: NonTerminal) -> NonTerminal:
        match part[0]:
            case "byte":
                return state((bytes([part[1]]), beyond))
            case "or":
                return state((build(part[1], beyond),), (build(part[2], beyond),))
            case "then":
                first, last = part[1:] if right else part[:0:-1]
                return build(first, build(last, beyond))
            case "star":
                loop = state((beyond,))
                found.append(Rule(loop.name, (build(part[1], loop),)))
                return loop
        return beyond

    entry = build(language, NonTerminal("end"))
    return [*found, Rule("start", (entry,))]


languages = st.recursive(
    st.sampled_from([("empty",), *(("byte", byte) for byte in ALPHABET)]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["or", "then"]), inner, inner), st.tuples(st.just("star"), inner)
    ),
    max_leaves=5,
)


def pattern(language: Language) -> bytes:
    match language[0]:
        case "or":
            return b"(?:" + pattern(language[1]) + b"|" + pattern(language[2]) + b")"
        case "then":
            return pattern(language[1]) + pattern(language[2])
        case "star":
            return b"(?:" + pattern(language[1]) + b")*"
        case "byte":
            return bytes([language[1]])
    return b""


@settings(max_examples=100, deadline=None)
@given(languages)
def test_regular_grammars_are_what_re_matches(language: Language) -> None:
    compiled = re.compile(pattern(language))
    for right in (True, False):
        constraint = CFG(linear(language, right=right))
        for text in strings(6):
            assert constraint.matches(text) == bool(compiled.fullmatch(text)), (text, right)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_tokens_are_their_bytes(data: st.DataObject) -> None:
    grammar = data.draw(rules())
    pieces = st.one_of(st.none(), st.binary(max_size=1), st.text("ab", max_size=3).map(str.encode))
    tokens = data.draw(st.lists(pieces, min_size=1, max_size=30))
    words = Vocabulary(tokens=(*tokens, None), eos=frozenset({len(tokens)}))
    try:
        constraint = CFG(grammar)
    except ContradictionError:
        return
    viable = prefixes(grammar, 6)["start"]
    matcher, text = constraint.matcher(words), b""
    for _ in range(2):
        expected = [bool(token) and text + (token or b"") in viable for token in words.tokens]
        assert [matcher.allows(token) for token in range(words.size)] == expected
        mask = matcher.mask()
        assert mask is not None
        assert matcher.mask_is_exact
        assert unpack(mask, words.size).tolist() == expected
        refused = [token for token, allowed in enumerate(expected) if not allowed]
        assert not any(matcher.advance(token) for token in refused)
        assert np.array_equal(matcher.mask(), mask)
        if not any(expected):
            return
        token = data.draw(st.sampled_from(np.flatnonzero(expected).tolist()))
        assert matcher.advance(token)
        text += words.tokens[token] or b""


def test_large_vocabularies_are_only_checked() -> None:
    words = Vocabulary(tokens=(*(b"a" * n for n in range(100)), None), eos=frozenset({100}))
    matcher = CFG(HARD["left"]).matcher(words)
    assert matcher.mask() is None
    assert not matcher.mask_is_exact


def expressions() -> CFG:
    """Sums of products, left-recursive."""
    e, t, f, n = map(NonTerminal, "etfn")
    return CFG(
        [
            Rule("e", (e, ByteSet(b"+-"), t)),
            Rule("e", (t,)),
            Rule("t", (t, ByteSet(b"*/"), f)),
            Rule("t", (f,)),
            Rule("f", (b"(", e, b")")),
            Rule("f", (n,)),
            Rule("n", (n, DIGIT)),
            Rule("n", (DIGIT,)),
        ],
        start="e",
    )


@pytest.mark.filterwarnings("ignore:.* is not callable:SyntaxWarning")
@settings(max_examples=200, deadline=None)
@given(st.text("12+*()", max_size=12))
def test_expressions_are_those_of_python(text: str) -> None:
    unary, power, call = r"(?:^|[+*(])\+", r"\*\*", r"[12)]\(|\(\)"
    try:
        compile(text, "", "eval")
        valid = not re.search(f"{unary}|{power}|{call}", text)
    except SyntaxError:
        valid = False
    assert expressions().matches(text) == valid


def json_lists() -> list[Rule]:
    """Nested lists of digits and strings, right-recursive."""
    value, items, chars = map(NonTerminal, ("start", "items", "chars"))
    return [
        Rule("start", (DIGIT,)),
        Rule("start", (b'"', chars, b'"')),
        Rule("start", (b"[]",)),
        Rule("start", (b"[", items, b"]")),
        Rule("items", (value,)),
        Rule("items", (value, b",", items)),
        Rule("chars"),
        Rule("chars", (~ByteSet(b'"\\'), chars)),
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(st.integers(0, 9) | st.text("xyé∀,[", max_size=4), lambda x: st.lists(x, max_size=4)),
    st.integers(0, 50),
)
def test_nested_lists(value: object, at: int) -> None:
    constraint = CFG(json_lists())
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert constraint.parse(text) == text
    broken = text[:at] + "]" + text[at:]
    try:
        json.loads(broken)
        valid = True
    except ValueError:
        valid = False
    assert constraint.matches(broken) == valid


@pytest.mark.parametrize(
    "grammar",
    [
        [Rule("start", (b"a", START)), Rule("start", (b"b",))],
        [Rule("start", (ByteSet(b"a"), START)), Rule("start")],
        [Rule("start", (START, b"a")), Rule("start", (b"b",)), Rule("start")],
        [Rule("start", (b"a", A)), Rule("A", (b"a", A, B)), Rule("A", (b"b",)), Rule("B")],
    ],
    ids=["right", "right, empty", "left", "right, then nothing"],
)
def test_recursion_at_the_ends_is_linear(grammar: list[Rule], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the length, a byte takes few steps, and a column holds few items."""
    monkeypatch.setattr(earley, "STEPS_PER_BYTE", 8)
    matcher = CFG(grammar).matcher(Vocabulary.of_bytes())
    assert matcher.consume(b"a" * 20_000)
    assert matcher.consume(b"b") or matcher.is_accepting()
    assert matcher.is_accepting()


def test_equal_states_are_shared() -> None:
    constraint = expressions()
    one, other = (constraint.matcher(Vocabulary.of_bytes()) for _ in range(2))
    assert one.consume(b"1+(2*")
    assert other.consume(b"1+(2*")
    assert one._column is other._column
    assert one.fork()._column is one._column


def test_an_explosion_is_an_error_and_no_dead_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earley, "STEPS_PER_BYTE", 1000)
    matcher = CFG(HARD["both"]).matcher(Vocabulary.of_bytes())
    with pytest.raises(MatcherError, match="steps") as caught:
        matcher.consume(b"a" * 200)
    assert caught.value.hint
    assert matcher.is_accepting()  # where it was
    monkeypatch.undo()
    assert matcher.consume(b"a" * 60)


def test_values() -> None:
    constraint = expressions()
    assert constraint == expressions()
    assert hash(constraint) == hash(expressions())
    assert constraint != CFG(constraint.rules, start="t")
    assert constraint.matches("1+2")
    for other in (pickle.loads(pickle.dumps(constraint)), copy.deepcopy(constraint)):
        assert other == constraint
        assert other.matches("(1)")
    assert Rule("A", ({97}, b"b")) == Rule("A", (ByteSet(b"a"), b"b"), 1)
    assert str(Rule("A", (START, b"x", ByteSet(b"ba")))) == "A -> start b'x' [b'ab']"
    assert set(~ByteSet.range(1, 255)) == {0}
    assert (ByteSet(b"abc") & ByteSet(b"bcd")) | ByteSet(b"x") == ByteSet(b"bcx")
    assert ByteSet(b"abc") - ByteSet(b"a") == ByteSet(b"bc")


def test_conjunctions() -> None:
    both = CFG(HARD["middle"]) & CFG([Rule("start", (START, ByteSet(b"ab"))), Rule("start", (b"aab",))])
    assert both.matches("aabb")
    assert not both.matches("ab")
    check_satisfiable(both)
    with pytest.raises(ContradictionError):
        check_satisfiable(CFG(HARD["middle"]) & CFG([Rule("start", (b"aba",))]))


def test_parse_says_what_failed() -> None:
    with pytest.raises(ParseError, match="does not match CFG"):
        expressions().parse("1+")
    assert isinstance(expressions(), Constraint)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CFG([]), "no rule for the start"),
        (lambda: CFG([Rule("a", (b"x",))]), "no rule for the start"),
        (lambda: CFG([Rule("start", (NonTerminal("vlue"),)), Rule("value")]), "no rule for `vlue`"),
        (lambda: CFG(["start"]), "not a rule"),
        (lambda: CFG(3), "not a sequence"),
        (lambda: CFG([Rule("start")], start=None), "name of a nonterminal"),
        (lambda: Rule("start", (b"a",), -1), "weight"),
        (lambda: Rule("start", (b"a",), float("nan")), "weight"),
        (lambda: Rule("start", (b"a",), float("inf")), "weight"),
        (lambda: Rule("start", b"a"), "tuple of symbols"),
        (lambda: Rule("start", ("a",)), "no symbol"),
        (lambda: Rule(""), "left-hand side"),
        (lambda: ByteSet([256]), "not a byte"),
        (lambda: ByteSet("a"), "not a byte"),
        (lambda: ByteSet(3), "not a set of bytes"),
        (lambda: Rule("start", ({-1},)), "not a byte"),
        (lambda: NonTerminal(""), "name of a nonterminal"),
    ],
)
def test_errors_say_what_to_do(make: Callable[[], object], message: str) -> None:
    with pytest.raises(GrammarError, match=message) as caught:
        make()
    assert caught.value.hint


@pytest.mark.parametrize(
    "grammar",
    [[Rule("start", (START,))], [Rule("start", (b"a", ByteSet(b"")))], [Rule("start", (b"a",), 0)]],
    ids=["endless", "empty set", "weight 0"],
)
def test_empty_languages_are_contradictions(grammar: list[Rule]) -> None:
    with pytest.raises(ContradictionError, match="no text") as caught:
        CFG(grammar)
    assert caught.value.hint
