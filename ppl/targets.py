"""Targets: what can be sampled and observed, as unnormalised measures over values.

A target is an immutable description. The algebra only builds descriptions; `ppl.compiler` brings them to normal form
and `inference` computes. A text x is a sequence of tokens with its end, and p(x) the product of their probabilities.

==============================  ==========================================================
`p & c`                         p(x) · 1[x in c]
`p ** b`                        p(x)^b, annealed
`p * q`                         p(x) q(x), the product of experts
`p * potential(f)`              p(x) · exp f(x)
`guide(p, q, w)`                p(x)^(1+w) q(x)^(-w), classifier-free guidance
`power_mean([p, q, ...], r)`    Π_t M_r(p(x_t | x_<t), q(x_t | x_<t), ...), an ensemble
==============================  ==========================================================

None of these is normalised: the mass of what is sampled counts in the evidence. That is what tells p ** b from a low
temperature, and guidance from added logits: those choose each token by its own score and forget what the choice costs
later.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from grammars.constraint import Constraint
from grammars.types import constraint_of
from ppl.errors import InvalidArgument
from ppl.lm import LM
from ppl.potentials import Potential

T = TypeVar("T")


class Target(ABC, Generic[T]):
    """An unnormalised measure over values of type T."""

    def __and__(self, constraint: Any) -> Target[T]:
        """Return the measure p(x) · 1[x in c]; `constraint` is a `grammars` constraint or a Python type."""
        return Constrained(self, constraint_of(constraint))

    def __pow__(self, exponent: float) -> Target[T]:
        """Return the measure p(x)^b, with 0^0 = 1; b is finite."""
        return Power(self, _number("exponent", exponent))

    def __mul__(self, other: Any) -> Target[T]:
        """Return the measure p(x) q(x) for a target q, or p(x) · exp f(x) for a potential f."""
        if isinstance(other, Potential):
            return Twisted(self, other)
        return Product(self, other) if isinstance(other, Target) else NotImplemented

    def __rmul__(self, other: Any) -> Target[T]:
        """Return `self * other`, for a potential on the left."""
        if isinstance(other, Constraint):
            raise InvalidArgument(
                f"a constraint times a target: {other} * {self}", hint="`*` binds before `&`: write p * q & c"
            )
        return Twisted(self, other) if isinstance(other, Potential) else NotImplemented


@dataclass(frozen=True)
class Text(Target[str]):
    """The distribution of the texts with which a language model continues a prompt (see `LM.__call__`)."""

    lm: LM
    prompt: tuple[int, ...]
    shown: str
    stop: tuple[str, ...]
    max_tokens: int

    def __str__(self) -> str:
        prompt = self.shown if len(self.shown) <= 60 else f"{self.shown[:40]}…{self.shown[-18:]}"
        stop = f", stop={list(self.stop)}" if self.stop else ""
        return f"{self.lm.name}({prompt!r}{stop}, max_tokens={self.max_tokens})"


@dataclass(frozen=True)
class Constrained(Target[T]):
    """The measure p(x) · 1[x in c]."""

    target: Target[T]
    constraint: Constraint

    def __str__(self) -> str:
        return f"{self.target} & {self.constraint}"


@dataclass(frozen=True)
class Power(Target[T]):
    """The measure p(x)^b."""

    target: Target[T]
    exponent: float

    def __str__(self) -> str:
        return f"{_grouped(self.target)} ** {self.exponent:g}"


@dataclass(frozen=True)
class Product(Target[T]):
    """The measure p(x) q(x)."""

    left: Target[T]
    right: Target[T]

    def __str__(self) -> str:
        return f"{_grouped(self.left)} * {_grouped(self.right)}"


@dataclass(frozen=True)
class Twisted(Target[T]):
    """The measure p(x) · exp f(x)."""

    target: Target[T]
    potential: Potential

    def __str__(self) -> str:
        return f"{_grouped(self.target)} * {self.potential}"


@dataclass(frozen=True)
class PowerMean(Target[str]):
    """The measure Π_t M_r(p_i(x_t | x_<t)), a mean of next-token probabilities with `weights` that sum to 1."""

    targets: tuple[Target[str], ...]
    r: float
    weights: tuple[float, ...]

    def __str__(self) -> str:
        equal = len(set(self.weights)) == 1
        weights = "" if equal else f", weights={[round(w, 3) for w in self.weights]}"
        return f"power_mean([{', '.join(map(str, self.targets))}], r={self.r:g}{weights})"


def guide(p: Target[T], q: Target[T], w: float) -> Target[T]:
    """Return classifier-free guidance, the measure p(x)^(1+w) q(x)^(-w), as an exact target.

    Parameters
    ----------
    p:
        What is wanted, such as a prompt with an instruction.
    q:
        What it is to differ from, such as the prompt without it. It must give positive probability to what p does.
    w:
        The strength of guidance, at least 0; 0 is p itself, and -1 would be q.

    References
    ----------
    Sanchez et al. (2023), *Stay on topic with classifier-free guidance*, whose sampler adds logits token by token.
    """
    w = _number("w", w)
    return Product(Power(p, 1.0 + w), Power(q, -w))


def power_mean(targets: Iterable[Target[str]], r: float, weights: Iterable[float] | None = None) -> PowerMean:
    """Return an ensemble that takes a power mean of next-token masses: Π_t (Σ_i w_i p_i(x_t | x_<t)^r)^(1/r).

    Parameters
    ----------
    targets:
        Texts, or products and powers of texts.
    r:
        1 is the arithmetic mean, 0 the geometric, -1 the harmonic; `math.inf` the maximum, `-math.inf` the minimum.
    weights:
        Positive, one each; equal if left out. They are normalised to sum to 1.

    Notes
    -----
    For r = 1 and texts it is a normalised distribution of its own. For r = 0 it equals Π_i p_i ** w_i.
    """
    parts = tuple(targets)
    masses = (1.0,) * len(parts) if weights is None else tuple(float(w) for w in weights)
    if not parts or len(masses) != len(parts) or not all(isinstance(p, Target) for p in parts):
        raise InvalidArgument(
            f"power_mean got {len(parts)} targets and {len(masses)} weights",
            hint="pass at least one target, such as lm(prompt), and one weight for each",
        )
    if not all(math.isfinite(w) and w > 0.0 for w in masses):
        raise InvalidArgument(f"power_mean got weights {masses}", hint="weights are finite and positive")
    if math.isnan(r):
        raise InvalidArgument("power_mean got r=nan", hint="1, 0, -1 or any other number")
    return PowerMean(parts, float(r), tuple(w / math.fsum(masses) for w in masses))


def _number(name: str, value: float) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidArgument(f"{name}={value!r}", hint=f"{name} is a finite number")
    return float(value)


def _grouped(target: Target[Any]) -> str:
    """Return a target as an operand of `*` and `**`."""
    return f"({target})" if isinstance(target, Constrained | Product | Power | Twisted) else str(target)


@dataclass(frozen=True, init=False)
class Categorical(Target[T]):
    """The distribution over finitely many Python values with the given probabilities.

    Parameters
    ----------
    values:
        The values, at least one; a mapping gives values with their weights.
    weights:
        Non-negative, one each, normalised to sum to 1; equal if left out.
    """

    values: tuple[T, ...]
    probabilities: tuple[float, ...]

    def __init__(
        self, values: Iterable[T] | Mapping[T, float], weights: Iterable[float] | None = None
    ) -> None:
        if isinstance(values, Mapping) and weights is None:
            weights = tuple(values.values())
        values = tuple(values)
        masses = (1.0,) * len(values) if weights is None else tuple(float(w) for w in weights)
        if len(masses) != len(values) or not values:
            raise InvalidArgument(
                f"Categorical got {len(values)} values and {len(masses)} weights",
                hint="pass at least one value, and one weight for each",
            )
        if not all(math.isfinite(w) and w >= 0.0 for w in masses) or sum(masses) == 0.0:
            raise InvalidArgument(
                f"Categorical got weights {masses}", hint="weights are finite, non-negative and not all zero"
            )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "probabilities", tuple(w / math.fsum(masses) for w in masses))

    def __str__(self) -> str:
        pairs = ", ".join(
            f"{v!r}: {p:.3g}" for v, p in zip(self.values[:6], self.probabilities, strict=False)
        )
        return f"Categorical({pairs}{', …' if len(self.values) > 6 else ''})"
