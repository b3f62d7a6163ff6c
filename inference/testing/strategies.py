"""Hypothesis strategies: random toy language models, constraints, targets and programs.

Small enough that every random path of a method with two particles can be followed. Needs the extra `testing`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from grammars.algebra import And, AnyText
from grammars.cfg import CFG
from grammars.choice import Choice
from grammars.constraint import Constraint
from grammars.errors import ContradictionError
from grammars.lark import Lark
from grammars.predicate import prefix_predicate, text_predicate
from grammars.regex import Regex
from grammars.rules import NonTerminal, Rule
from grammars.satisfiability import check_satisfiable
from inference.engines.table import TableLM
from ppl.potentials import potential
from ppl.primitives import condition, factor, memo, observe, sample
from ppl.program import Model, program
from ppl.targets import Categorical, Target, guide, power_mean

ALPHABET = ("a", "b")
"""Single characters, so that a text has one tokenization."""

_PATTERNS = ("a+", "b?a", "[ab]b", "a*b*", "(ab)+", "b", "a?", "[ab]*", "a|bb")


@st.composite
def toy_lms(draw: DrawFn, tokens: tuple[str, ...] = ALPHABET) -> TableLM:
    """Draw a random tabular LM, about one in three with tokens of probability 0."""
    return TableLM.random(
        tokens,
        draw(st.integers(0, 2**16)),
        concentration=draw(st.sampled_from([0.5, 1.0, 3.0])),
        sparsity=draw(st.sampled_from([0.0, 0.0, 0.3])),
    )


@prefix_predicate(complete=lambda text: text != "a")
def _at_most_one_b(text: str) -> bool:
    return text.count("b") <= 1


@text_predicate
def _palindrome(text: str) -> bool:
    return text == text[::-1]


_NESTED = CFG([Rule("start", (b"a", NonTerminal("start"), b"b")), Rule("start", ())])
_GREEDY = Lark('start: A "a" | "b"\nA: "a"+')
"""A greedy lexer would take every "a" for A."""
_MASKED = Lark('start: "a" start "b" | "b"?')
_TEXTS = tuple("".join(text) for n in range(4) for text in product(ALPHABET, repeat=n))


def _simple_constraints() -> SearchStrategy[Constraint]:
    regexes = st.sampled_from(_PATTERNS).map(Regex)
    texts = st.lists(st.text("ab", max_size=2), min_size=1, max_size=3, unique=True)
    others = st.sampled_from([_NESTED, _GREEDY, _MASKED, _at_most_one_b, _palindrome])
    return st.one_of(regexes, texts.map(Choice), others)


def constraints() -> SearchStrategy[Constraint]:
    """Draw a constraint over the characters a and b that some text of at most 3 characters satisfies.

    Regexes, choices, context-free grammars (some of Lark), predicates, and what `|`, `~`, `+` and `repeat` make of
    them.
    """

    def extend(inner: SearchStrategy[Constraint]) -> SearchStrategy[Constraint]:
        separators = st.sampled_from([None, "b", Regex("a?")])
        return st.one_of(
            st.builds(lambda x, y: x | y, inner, inner),
            st.builds(lambda x: ~x, inner),
            st.builds(lambda x, y: x + y, inner, inner | st.sampled_from(["a", "ab"])),
            st.builds(lambda x, n, s: x.repeat(n, 2, s), inner, st.integers(0, 2), separators),
        )

    drawn = st.recursive(_simple_constraints(), extend, max_leaves=3)
    return drawn.filter(lambda constraint: any(map(constraint.matches, _TEXTS)))


_DENSE = TableLM.random(ALPHABET, 7, concentration=3.0, name="dense")
"""What may be divided by: no token has probability 0."""


def _count_a(text: str) -> float:
    return 0.4 * text.count("a")


def _no_double_b(text: str) -> float:
    return -math.inf if "bb" in text else -0.2 * len(text)


_POTENTIALS = tuple(
    potential(f, at) for f in (_count_a, _no_double_b) for at in ("end", "token", "a", "(?<=a)b")
) + tuple(potential(f, "b", each=True) for f in (_count_a, _no_double_b))


@st.composite
def pools(draw: DrawFn, lm: TableLM, stop: tuple[str, ...] = (), max_tokens: int = 2) -> Target[str]:
    """Draw texts joined by powers, products, guidance and power means."""
    p, q = lm("", stop=stop, max_tokens=max_tokens), lm("x", stop=stop, max_tokens=max_tokens)
    other = _DENSE("", stop=stop, max_tokens=max_tokens)
    exponents, r = st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.sampled_from([1.0, 0.0, -1.0, 2.0, math.inf])
    expert = st.one_of(
        st.sampled_from([p, q, other]),
        st.builds(lambda t, b: t**b, st.sampled_from([p, q]), exponents),
        st.builds(lambda r, w: power_mean([p, other**0.5], r, [1.0, w]), r, st.sampled_from([1.0, 0.3])),
        st.builds(lambda w: guide(p, other, w), st.sampled_from([0.0, 0.5])),
    )
    return draw(st.one_of(expert, st.builds(lambda a, b: a * b, expert, expert)))


@st.composite
def text_targets(draw: DrawFn, lm: TableLM, max_tokens: int = 2) -> Target[str]:
    """Draw a text target: one text or a pool; sometimes with a stop string, constraints and potentials."""
    stop = draw(st.sampled_from([(), (), ("b",), ("ab",), ("b", "aa")]))
    longest = draw(st.integers(1, max_tokens))
    prompt = draw(st.sampled_from(["", "x"]))
    plain: SearchStrategy[Target[str]] = st.just(lm(prompt, stop=stop, max_tokens=longest))
    target = draw(st.one_of(plain, plain, pools(lm, stop, longest)))
    conjunction = draw(st.lists(constraints(), max_size=2).filter(_satisfiable))
    for constraint in conjunction:
        target = target & constraint
    if draw(st.booleans()):
        target = target * draw(st.sampled_from(_POTENTIALS))
    return draw(st.sampled_from([target, target, target**0.5]))


def _satisfiable(conjunction: list[Constraint]) -> bool:
    try:
        check_satisfiable(And.of(AnyText(), *conjunction))
    except ContradictionError:
        return False
    return True


Kind = Literal["text", "prompted", "choice", "condition", "factor", "observe", "memo", "branch"]
_KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Statement:
    """One line of a random program; what it does depends on the texts drawn so far."""

    kind: Kind
    target: Any = None
    number: float = 0.0


@dataclass(frozen=True)
class RandomProgram:
    """A straight list of statements, with a branch where a statement says so."""

    lm: TableLM
    statements: tuple[Statement, ...]

    def model(self) -> Model[tuple[Any, ...]]:
        """Return the program as a model; its value is the tuple of all that was drawn."""
        return _interpret(self)


@st.composite
def programs(draw: DrawFn, max_statements: int = 4) -> RandomProgram:
    """Draw a program with at most two text sites, between other statements."""
    lm = draw(toy_lms())
    statements = [Statement("text", draw(text_targets(lm)))]
    for _ in range(draw(st.integers(0, max_statements - 1))):
        statements.insert(draw(st.integers(0, len(statements))), draw(_statements(lm)))
    texts = 0
    kept = []
    for statement in statements:
        texts += statement.kind in ("text", "prompted", "branch")
        if statement.kind not in ("text", "prompted", "branch") or texts <= 2:
            kept.append(statement)
    return RandomProgram(lm, tuple(kept))


@st.composite
def _statements(draw: DrawFn, lm: TableLM) -> Statement:
    kind: Kind = draw(st.sampled_from(_KINDS))
    number = draw(st.sampled_from([-1.5, -0.3, 0.4, 1.1]))
    if kind in ("text", "branch"):
        return Statement(kind, draw(text_targets(lm, max_tokens=1)), number)
    if kind == "choice":
        weights = draw(st.lists(st.integers(0, 3), min_size=2, max_size=2).filter(any))
        return Statement(
            kind, Categorical("ab", weights) & draw(st.sampled_from([str, Regex("a|b"), Regex("a")]))
        )
    return Statement(kind, draw(st.sampled_from(["", "a", "ab"])), number)


@program
def _interpret(random: RandomProgram) -> tuple[Any, ...]:
    drawn: list[Any] = []
    for s in random.statements:
        _execute(s, random.lm, drawn)
    return tuple(drawn)


def _execute(s: Statement, lm: TableLM, drawn: list[Any]) -> None:
    text = "".join(map(str, drawn))
    if s.kind in ("text", "choice"):
        drawn.append(sample(s.target))
    elif s.kind == "prompted":
        drawn.append(sample(lm(text, max_tokens=1)))
    elif s.kind == "condition":
        condition(text.count("a") != len(s.target))
    elif s.kind == "factor":
        factor(s.number * len(text))
    elif s.kind == "observe":
        observe(lm(text, max_tokens=2), s.target)
    elif s.kind == "memo":
        factor(memo(len, text) * s.number)
    elif s.kind == "branch" and text.startswith("a"):
        drawn.append(sample(s.target))
