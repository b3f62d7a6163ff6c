"""Voting: values that are equal put together, and the answer on which most of the weight agrees.

Self-consistency draws whole texts, reasoning included, projects each to its answer and takes the answer that most texts
agree on. With weights it is the mode of the posterior's image under the projection,

    argmax_a Σ_i W_i 1{f(x_i) = a},

which sums over all ways to get there, where the most probable text may lead somewhere else.

Reference: Wang et al. (2023), *Self-consistency improves chain of thought reasoning in language models*.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

V = TypeVar("V")

_TIE = 1e-9
"""Shares that differ by no more are equal: they are sums of rounded weights."""


class Ranked(NamedTuple, Generic[V]):
    """A distinct value with its posterior probability."""

    value: V
    probability: float


@dataclass(frozen=True)
class Vote(Generic[V]):
    """What the samples of a posterior agree on.

    Attributes
    ----------
    winner:
        The answer of the largest share; of several, the one that occurred first. None: the vote abstains, since no
        share reaches the least one, or no sample has an answer.
    share:
        The largest share, the posterior probability of that answer; 0 if no sample has one.
    tied:
        All answers of the largest share, in the order in which they occurred; one if there is no tie.
    shares:
        The answers with their shares, largest first. What is missing to 1 has no answer.
    """

    winner: V | None
    share: float
    tied: tuple[V, ...]
    shares: tuple[Ranked[V], ...]


def vote(answers: Sequence[V | None], weights: Sequence[float], least: float) -> Vote[V]:
    """Return the outcome of a vote with weights that sum to 1; an answer of None is none, its weight is not cast."""
    given = [i for i, answer in enumerate(answers) if answer is not None]
    groups = grouped([answers[i] for i in given])
    shares = [Ranked(answer, sum(weights[given[k]] for k in at)) for answer, at in groups]
    share = max((probability for _, probability in shares), default=0.0)
    tied = tuple(answer for answer, probability in shares if probability >= share - _TIE)
    winner = tied[0] if tied and share >= least - _TIE else None
    return Vote(winner, share, tied, tuple(sorted(shares, key=lambda ranked: -ranked.probability)))


def majority_probability(leader: float, other: float = 0.0) -> float:
    """Return P(p > 1/2) for p from Beta(leader + 1, other + 1): how sure the lead of one answer over another is.

    Parameters
    ----------
    leader, other:
        Votes, numbers of at least 0 that need not be whole, `leader` >= `other`.
    """
    nodes, weights = np.polynomial.legendre.leggauss(128)
    p = (
        nodes + 1.0
    ) / 4.0  # of the smaller half, in which the integrand is smooth also for votes that are not whole
    log_density = leader * np.log(p) + other * np.log1p(-p)
    log_total = math.lgamma(leader + 1.0) + math.lgamma(other + 1.0) - math.lgamma(leader + other + 2.0)
    return 1.0 - float(np.sum(weights * np.exp(log_density - log_total))) / 4.0


def grouped(values: Iterable[Any]) -> list[tuple[Any, list[int]]]:
    """Return the distinct values in order of first occurrence, those that cannot be hashed last, with their places."""
    groups: dict[Any, tuple[Any, list[int]]] = {}
    unhashable: list[tuple[Any, list[int]]] = []
    for i, value in enumerate(values):
        try:
            group = groups.setdefault(value, (value, []))
        except TypeError:
            group = _group_of(value, unhashable)
        group[1].append(i)
    return [*groups.values(), *unhashable]


def _group_of(value: Any, groups: list[tuple[Any, list[int]]]) -> tuple[Any, list[int]]:
    """Return the group of an unhashable value, added if there is none yet."""
    for group in groups:
        if group[0] is value or _equal(group[0], value):
            return group
    groups.append((value, []))
    return groups[-1]


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except ValueError:  # arrays compare elementwise
        return bool(np.array_equal(a, b))
