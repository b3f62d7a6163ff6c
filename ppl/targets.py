"""Targets: what can be sampled and observed, as unnormalised measures over values.

A target is an immutable description. The algebra (`&` so far) only builds descriptions; `ppl.compiler` brings
them to normal form and `inference` computes.
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

T = TypeVar("T")


class Target(ABC, Generic[T]):
    """An unnormalised measure over values of type T."""

    def __and__(self, constraint: Any) -> Target[T]:
        """Return the measure p(x) · 1[x in c]; `constraint` is a `grammars` constraint or a Python type."""
        return Constrained(self, constraint_of(constraint))


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
