"""Normal form of a target: one text distribution and a flat conjunction of constraints.

Every rewriting keeps the measure: p & a & b ≡ p & (a & b), p & (any text) ≡ p, and a constrained finite
distribution is the finite measure of the values that satisfy the constraint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from grammars.constraint import Constraint
from ppl.compiler.rules import STRUCTURAL, rewrite
from ppl.errors import InvalidArgument
from ppl.targets import Categorical, Constrained, Target, Text


@dataclass(frozen=True)
class TextForm:
    """p(x) · 1[x in c] with p one language model's texts; `constraint` is None where there is none."""

    text: Text
    constraint: Constraint | None
    rules: tuple[str, ...] = field(default=(), compare=False)
    """Names of the rewrite rules that led here."""

    def __str__(self) -> str:
        return str(self.text) if self.constraint is None else f"{self.text} & {self.constraint}"


@dataclass(frozen=True)
class FiniteForm:
    """A measure over finitely many values: their log-masses in nats."""

    values: tuple[object, ...]
    log_masses: tuple[float, ...]

    def __str__(self) -> str:
        return f"finite choice of {len(self.values)}"


NormalForm = TextForm | FiniteForm


def normal_form(target: Target[Any]) -> NormalForm:
    """Return the normal form of `target`: the same measure."""
    target, rules = rewrite(target, STRUCTURAL)
    constraint = target.constraint if isinstance(target, Constrained) else None
    base = target.target if isinstance(target, Constrained) else target
    if isinstance(base, Text):
        return TextForm(base, constraint, rules)
    if isinstance(base, Categorical):
        return _finite(base, constraint)
    raise InvalidArgument(f"{type(base).__name__} is not a target that can be sampled or observed")


def _finite(target: Categorical[Any], constraint: Constraint | None) -> FiniteForm:
    if constraint is not None and not all(isinstance(v, str) for v in target.values):
        raise InvalidArgument(
            f"{target} & {constraint}: a constraint is a set of texts, and not every value is a str",
            hint="sample the value, then use condition(...)",
        )
    masses = [
        math.log(p) if p > 0.0 and (constraint is None or constraint.matches(v)) else -math.inf
        for v, p in zip(target.values, target.probabilities, strict=True)
    ]
    return FiniteForm(target.values, tuple(masses))
