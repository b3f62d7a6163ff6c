"""Normal form of a target: a pool of experts, one constraint, and potentials.

    Π p_i(x)^{a_i} · 1[x in c] · exp Σ f_j(x)

The rules that lead there keep the measure (`ppl.compiler.rules`). A finite distribution, a power or a product of them
is a list of masses. A nested program is its own normal form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from grammars.constraint import Constraint
from ppl.compiler.algebra_rules import factors, product
from ppl.compiler.pool import PLAIN, Expert, Mean, Pool, show_form
from ppl.compiler.rules import STRUCTURAL, rewrite
from ppl.errors import InvalidArgument, UnboundedTarget
from ppl.lm import LM
from ppl.mdm import Infill
from ppl.nested import Nested
from ppl.potentials import FunctionPotential, Potential, score
from ppl.targets import Categorical, Constrained, Power, PowerMean, Product, Target, Text, Twisted


@dataclass(frozen=True)
class TextForm:
    """A measure over texts; `constraint` is None where there is none.

    Attributes
    ----------
    text:
        The first expert, with the smallest `max_tokens` of all.
    pool, texts:
        What the next tokens are drawn by, and the texts of its experts.
    """

    text: Text
    pool: Pool
    texts: tuple[Text, ...]
    constraint: Constraint | None
    potentials: tuple[Potential, ...] = ()
    rules: tuple[str, ...] = field(default=(), compare=False)
    """Names of the rewrite rules that led here."""

    def __str__(self) -> str:
        return show_form(self.pool, self.texts, self.constraint, self.potentials)


@dataclass(frozen=True)
class FiniteForm:
    """A measure over finitely many values: their log-masses in nats."""

    values: tuple[object, ...]
    log_masses: tuple[float, ...]

    def __str__(self) -> str:
        return f"finite choice of {len(self.values)}"


@dataclass(frozen=True)
class InfillForm:
    """A measure over the paths of masked-diffusion models; `constraint` is None where there is none."""

    pool: Pool
    infills: tuple[Infill, ...]
    constraint: Constraint | None
    potentials: tuple[Potential, ...] = ()
    rules: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return show_form(self.pool, self.infills, self.constraint, self.potentials)


NormalForm = TextForm | InfillForm | FiniteForm | Nested[Any]


def normal_form(target: Target[Any]) -> NormalForm:
    """Return the normal form of `target`: the same measure.

    Raises
    ------
    InvalidArgument
        If the target has no meaning, such as a product of a text and a finite distribution.
    UnboundedTarget
        If it has infinite mass, as far as that shows without a language model.
    """
    original = target
    target, rules = rewrite(target, STRUCTURAL)
    potentials: list[Potential] = []
    while isinstance(target, Twisted):
        potentials.insert(0, target.potential)
        target = target.target
    constraint = target.constraint if isinstance(target, Constrained) else None
    base = target.target if isinstance(target, Constrained) else target
    kinds = _kinds(base)
    if Nested in kinds:
        if isinstance(target, Nested) and not potentials:
            return target
        raise InvalidArgument(
            f"{original}: a nested program is no part of another target",
            hint="sample its value, then use condition(...) or factor(...)",
        )
    if kinds == {Categorical}:
        if potentials:
            raise InvalidArgument(
                f"{original}: potentials are functions of texts",
                hint="sample the value, then use factor(...)",
            )
        return _finite(base, constraint)
    if kinds == {Infill}:
        return _infill_form(base, constraint, tuple(potentials), rules)
    if kinds != {Text}:
        raise InvalidArgument(
            f"{original} cannot be sampled or observed: it has parts of {_named(kinds)}",
            hint="powers, products and ensembles are of texts, such as lm(prompt), or of finite distributions",
        )
    return _text_form(base, constraint, tuple(potentials), rules)


def _kinds(target: Target[Any]) -> set[type[Any]]:
    """Return the types of what powers, products and means are made of."""
    if isinstance(target, Power):
        return _kinds(target.target)
    if isinstance(target, Product):
        return _kinds(target.left) | _kinds(target.right)
    if isinstance(target, PowerMean):
        return set[type[Any]]().union(*map(_kinds, target.targets))
    return {type(target)}


def _named(kinds: set[type[Any]]) -> str:
    return ", ".join(sorted(kind.__name__ for kind in kinds))


# Texts.


def _text_form(
    base: Target[Any],
    constraint: Constraint | None,
    potentials: tuple[Potential, ...],
    rules: tuple[str, ...],
) -> TextForm:
    if isinstance(base, Text):
        return TextForm(base, PLAIN, (base,), constraint, potentials, rules)
    base, foreign = _native(base)
    potentials += foreign
    texts: list[Text] = []
    pool = _pool(base, texts)
    first, *others = texts
    for other in others:
        _require_common(first, other, pool)
    text = replace(first, max_tokens=min(t.max_tokens for t in texts))
    return TextForm(text, pool, tuple(texts), constraint, potentials, rules)


def _native(base: Target[Any]) -> tuple[Target[Any], tuple[Potential, ...]]:
    """Return the product of the experts that have the first one's tokens, and the scores of the others.

    A model with other tokens cannot weigh a token, but it can weigh the text that the tokens spell.
    """
    pairs = factors(base)
    home = _first_text(base).lm
    foreign = [(expert, a) for expert, a in pairs if not same_tokens(home, _first_text(expert).lm)]
    kept = product([pair for pair in pairs if pair not in foreign])
    return kept, tuple(score(expert, at="word").scaled(a) for expert, a in foreign)


def _first_text(target: Target[Any]) -> Text:
    """Return the first text that a pool is made of."""
    if isinstance(target, Power):
        return _first_text(target.target)
    if isinstance(target, Product):
        return _first_text(target.left)
    if isinstance(target, PowerMean):
        return _first_text(target.targets[0])
    assert isinstance(target, Text)
    return target


def same_tokens(a: LM, b: LM) -> bool:
    """Return whether two language models write with the same tokens."""
    left, right = a.vocabulary, b.vocabulary
    return left is right or (left.tokens == right.tokens and left.eos == right.eos)


def _pool(target: Target[Any], texts: list[Any]) -> Pool:
    """Return the pool of a product of powers; its experts are added to `texts`, each once."""
    if isinstance(target, Product):
        return Pool(_pool(target.left, texts).terms + _pool(target.right, texts).terms)
    expert, exponent = (target.target, target.exponent) if isinstance(target, Power) else (target, 1.0)
    if isinstance(expert, PowerMean):
        pools = tuple(_pool(part, texts) for part in expert.targets)
        return Pool(((Mean(pools, expert.r, expert.weights), exponent),))
    assert isinstance(expert, Text | Infill)
    same = [i for i, text in enumerate(texts) if text == expert]
    if not same:
        texts.append(expert)
    return Pool(((Expert(same[0] if same else len(texts) - 1), exponent),))


def _require_common(first: Text, other: Text, pool: Pool) -> None:
    """Raise `InvalidArgument` unless two texts are measures over the same sequences of tokens."""
    if not same_tokens(first.lm, other.lm):
        raise InvalidArgument(
            f"{first.lm.name!r} and {other.lm.name!r} have different tokens, of which there is no power mean",
            hint="let one write and the other judge: p * q",
        )
    if first.stop != other.stop:
        raise InvalidArgument(
            f"one text ends at stop={list(first.stop)}, the other at stop={list(other.stop)}",
            hint="the texts of a product must end alike: pass the same `stop` to each",
        )
    if pool.divides and first.max_tokens != other.max_tokens:
        raise InvalidArgument(
            f"a quotient of texts with max_tokens={first.max_tokens} and max_tokens={other.max_tokens}",
            hint="longer texts would be divided by 0: pass the same `max_tokens` to each",
        )


# Masked diffusion.


def _infill_form(
    base: Target[Any],
    constraint: Constraint | None,
    potentials: tuple[Potential, ...],
    rules: tuple[str, ...],
) -> InfillForm:
    infills: list[Infill] = []
    pool = _pool(base, infills)
    first, *others = infills
    for other in others:
        if first.mdm.size != other.mdm.size or first.mdm.mask != other.mdm.mask:
            raise InvalidArgument(
                f"{first.mdm.name!r} and {other.mdm.name!r} have different tokens",
                hint="the experts of a product fill the same positions with the same tokens",
            )
        if len(first.masked) != len(other.masked):
            raise InvalidArgument(
                f"{first} and {other} have different numbers of masked positions",
                hint="the experts of a product fill the same positions: pass equal lengths",
            )
        if (first.order, first.per_step) != (other.order, other.per_step):
            raise InvalidArgument(
                f"{first} and {other} are unmasked in different orders",
                hint="pass the same order and per_step",
            )
    for p in potentials:
        if not isinstance(p, FunctionPotential) or p.lookahead or p.at not in ("end", "token"):
            raise InvalidArgument(
                f"{p} on a masked-diffusion model",
                hint='a function asked at="end", or at="token" after each step',
            )
    return InfillForm(pool, tuple(infills), constraint, potentials, rules)


# Finite distributions.


def _finite(base: Target[Any], constraint: Constraint | None) -> FiniteForm:
    form = _masses(base)
    if constraint is None:
        return form
    if not all(isinstance(v, str) for v in form.values):
        raise InvalidArgument(
            f"{base} & {constraint}: a constraint is a set of texts, and not every value is a str",
            hint="sample the value, then use condition(...)",
        )
    pairs = zip(form.values, form.log_masses, strict=True)
    masses = (w if constraint.matches(str(v)) else -math.inf for v, w in pairs)
    return FiniteForm(form.values, tuple(masses))


def _masses(target: Target[Any]) -> FiniteForm:
    if isinstance(target, Categorical):
        return FiniteForm(target.values, tuple(map(_log, target.probabilities)))
    pairs: list[tuple[Categorical[Any], float]] = []
    for factor, exponent in factors(target):
        if not isinstance(factor, Categorical):
            raise InvalidArgument(
                f"{target}: power means are of texts", hint="mix the weights of one Categorical"
            )
        pairs.append((factor, exponent))
    values: list[Any] = []
    for factor, _ in pairs:
        values += [v for v in factor.values if not any(v == u for u in values)]
    return FiniteForm(tuple(values), tuple(_log_mass(v, pairs, target) for v in values))


def _log_mass(value: Any, pairs: list[tuple[Categorical[Any], float]], target: Target[Any]) -> float:
    """Return Σ a_i log p_i(value): -inf if a positive power of 0 is in it."""
    logs = [
        (a, _log(sum(w for v, w in zip(p.values, p.probabilities, strict=True) if v == value)))
        for p, a in pairs
    ]
    if any(a > 0.0 and w == -math.inf for a, w in logs):
        return -math.inf
    if any(a < 0.0 and w == -math.inf for a, w in logs):
        raise UnboundedTarget(
            f"{target}: a negative power of the probability of {value!r}, which is 0",
            hint="what is divided by must give every value a positive probability",
        )
    return sum(a * w for a, w in logs if a != 0.0)


def _log(p: float) -> float:
    return math.log(p) if p > 0.0 else -math.inf
