"""Optimal resampling: of M weighted outcomes at most N, without bias, each at most once.

The weights w_1, ..., w_M become w'_j with E[w'_j] = w_j, at most N of them above 0, so that E Σ (w'_j - w_j)² is
least. Let c solve Σ_j min(w_j / c, 1) = N. An outcome of w_j >= c is kept with its weight. The others are kept with
probability w_j / c, and then have the weight c: by systematic sampling, points at distance c from each other along the
line on which they lie side by side, so that none is hit twice and their number is fixed. With M <= N all are kept as
they are.

M may be a vocabulary for each of N partial runs. Only the N largest outcomes of each can exceed c; these are listed,
the rest of a row is one stretch of the line. Where a point falls into it, the row is inverted there.

Reference: Fearnhead and Clifford (2003), *On-line inference for hidden Markov models via particle filters*.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from inference.branching import Move
from inference.weights import Floats
from ppl.rng import Rng, inverse_cdf


@dataclass(frozen=True, eq=False)
class Rest:
    """The outcomes of a particle that are not listed.

    Attributes
    ----------
    particle:
        Whose they are.
    logits:
        (V,) float64 log-probabilities of the outcomes given the particle, -inf for those that are listed.
    log_weight:
        The log of the sum of their weights.
    """

    particle: int
    logits: Tensor
    log_weight: float


def optimal(listed: Sequence[Move], rests: Sequence[Rest], size: int, rng: Rng) -> list[Move]:
    """Return at most `size` outcomes with their new weights, in the order of their particles.

    Parameters
    ----------
    listed:
        Distinct outcomes of positive weight, among them the `size` largest of each particle.
    rests:
        What else there is.
    size:
        N.
    rng:
        Where the one uniform draw comes from.
    """
    rests = [rest for rest in rests if rest.log_weight > -math.inf]
    if len(listed) <= size and not rests:
        return sorted(listed, key=_place)
    ranked = sorted(listed, key=lambda move: -move.log_weight)
    log_weights = np.array([*(move.log_weight for move in ranked), *(rest.log_weight for rest in rests)])
    top = float(log_weights.max())
    weights = np.exp(log_weights - top)
    kept = _certain(weights, len(ranked), size)
    line, points = _Line(weights[kept:], rests, len(ranked) - kept), size - kept
    hits = line.hits(points, rng.uniform(line.edges(points)))
    log_threshold = top + math.log(float(weights[kept:].sum()) / points)
    moves = ranked[:kept]
    moves += [
        replace(ranked[kept + k], log_weight=log_threshold + math.log(n))
        for k, n in Counter(hits.listed).items()
    ]
    drawn = Counter(line.outcomes(hits))
    moves += [
        Move(rests[k].particle, token, log_probability, log_threshold + math.log(n))
        for (k, token, log_probability), n in drawn.items()
    ]
    return sorted(moves, key=_place)


def _certain(weights: Floats, listed: int, size: int) -> int:
    """Return how many of the listed outcomes, in descending order, are kept for certain."""
    left = np.cumsum(weights[::-1])[::-1]
    for kept in range(size - 1):
        if kept == listed or weights[kept] <= left[kept] / (size - kept):
            return kept
    return size - 1


@dataclass(frozen=True)
class _Hits:
    """Which listed outcomes were hit, and which rests at which share of them."""

    listed: list[int]
    rests: list[tuple[int, float]]


class _Line:
    """Outcomes side by side: listed ones first, then the rests."""

    def __init__(self, weights: Floats, rests: Sequence[Rest], listed: int) -> None:
        self._rests, self._listed = rests, listed
        self._ends = np.cumsum(weights) / weights.sum()

    def hits(self, points: int, uniform: float) -> _Hits:
        """Return what is hit by so many points at equal distances."""
        at = (np.arange(points) + uniform) / points
        cells = np.minimum(np.searchsorted(self._ends, at, side="right"), len(self._ends) - 1)
        listed, rests = list[int](), list[tuple[int, float]]()
        for cell, point in zip(cells.tolist(), at.tolist(), strict=True):
            if cell < self._listed:
                listed.append(cell)
            else:
                low, high = self._ends[cell - 1] if cell else 0.0, self._ends[cell]
                rests.append((cell - self._listed, min((point - low) / (high - low), 1.0)))
        return _Hits(listed, rests)

    def outcomes(self, hits: _Hits) -> list[tuple[int, int, float]]:
        """Return the rest, the token and its log-probability of each hit of a rest."""
        if not hits.rests:
            return []
        of_hits = [
            self._rests[k].logits for k, _ in hits.rests
        ]  # of models with different vocabularies, perhaps
        logits = pad_sequence(of_hits, batch_first=True, padding_value=-math.inf)
        rows, uniforms = (
            torch.arange(len(logits)),
            torch.tensor([u for _, u in hits.rests], dtype=torch.float64),
        )
        tokens = inverse_cdf(logits, rows, uniforms)
        given = logits.gather(-1, tokens[:, None])[:, 0].tolist()
        return [(k, token, p) for (k, _), token, p in zip(hits.rests, tokens.tolist(), given, strict=True)]

    def edges(self, points: int) -> Iterator[float]:
        """Yield the values of the uniform draw at which some hit changes; computed only if they are asked for."""
        ends = self._ends * points
        yield from (ends % 1.0).tolist()
        for k, rest in enumerate(self._rests):
            high = ends[self._listed + k]
            low = ends[self._listed + k - 1] if self._listed + k else 0.0
            masses = rest.logits.exp().cumsum(-1)
            yield from ((low + (high - low) * masses / masses[-1]) % 1.0).tolist()


def _place(move: Move) -> tuple[int, int]:
    return move.particle, -1 if move.outcome is None else move.outcome
