"""Resampling schemes: N weights to N ancestors, unbiased.

Each scheme draws ancestors a_1..a_n with E[#{i : a_i = j}] = n W_j, so that replacing weights by their mean
leaves every expectation unchanged. They differ in how much noise they add. All randomness is asked of an `Rng`
together with the edges at which the outcome changes, which is what makes them enumerable.

References: Douc, Cappé and Moulines (2005), *Comparison of resampling schemes for particle filtering*; Gerber,
Chopin and Whiteley (2019), *Negative association, ordering and convergence of resampling methods* (SSP).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from inference.weights import Floats
from ppl.rng import Rng

Ancestors = NDArray[np.int64]
Scheme = Literal["multinomial", "stratified", "systematic", "residual", "ssp"]
Resampler = Callable[[Scheme, Floats, Rng], Ancestors]
"""Draws (N,) ancestors by a scheme for (N,) normalised weights."""


def resample(scheme: Scheme, weights: Floats, rng: Rng) -> Ancestors:
    """Return (N,) sorted ancestors for (N,) normalised weights; a weight of 0 has no offspring."""
    return np.sort(_SCHEMES[scheme](weights, len(weights), rng))


def multinomial(weights: Floats, n: int, rng: Rng) -> Ancestors:
    """Draw n independent ancestors from the weights."""
    with np.errstate(divide="ignore"):
        logits = torch.from_numpy(np.log(weights))[None]
    return rng.categorical(logits, np.zeros(n, dtype=np.int64))


def stratified(weights: Floats, n: int, rng: Rng) -> Ancestors:
    """Invert the cumulative weights at (i + u_i) / n with independent uniforms u_i."""
    cumulative = _cumulative(weights)
    points = np.array([i + rng.uniform(n * cumulative - i) for i in range(n)]) / n
    return _invert(cumulative, points)


def systematic(weights: Floats, n: int, rng: Rng) -> Ancestors:
    """Invert the cumulative weights at (i + u) / n with one uniform u."""
    cumulative = _cumulative(weights)
    points = (np.arange(n) + rng.uniform((n * cumulative) % 1.0)) / n
    return _invert(cumulative, points)


def residual(weights: Floats, n: int, rng: Rng) -> Ancestors:
    """Give each ancestor ⌊n W⌋ offspring, and the remaining places to a multinomial draw of the fractions."""
    copies = np.floor(n * weights).astype(np.int64)
    kept = np.repeat(np.arange(len(weights)), copies)
    rest = n - len(kept)
    if rest == 0:
        return kept
    return np.concatenate([kept, multinomial(n * weights - copies, rest, rng)])


def ssp(weights: Floats, n: int, rng: Rng) -> Ancestors:
    """Srinivasan sampling process: round n W to integers by pairwise contests between fractional parts.

    A pivot with fraction a meets the next particle with fraction b. Below a + b = 1 the winner takes both and
    the loser none; above, the winner takes a whole offspring and the loser keeps a + b - 1. Win probabilities
    leave both expectations as they were; who is left with a fraction is the next pivot.
    """
    copies = np.floor(n * weights).astype(np.int64)
    fractions = n * weights - copies
    pivot, a = 0, float(fractions[0])
    for j in range(1, len(weights)):
        b = float(fractions[j])
        if a + b < 1.0:
            stays = a / (a + b) if a > 0.0 else 0.0
            pivot, a = (pivot if _flip(stays, rng) else j), a + b
        else:
            wins = (1.0 - b) / (2.0 - a - b) if a + b < 2.0 else 1.0
            winner, loser = (pivot, j) if _flip(wins, rng) else (j, pivot)
            copies[winner] += 1
            pivot, a = loser, a + b - 1.0
    copies[pivot] += n - int(copies.sum())  # the last fraction is 0 or 1 up to rounding
    return np.repeat(np.arange(len(weights)), copies)


_SCHEMES: dict[Scheme, Callable[[Floats, int, Rng], Ancestors]] = {
    "multinomial": multinomial,
    "stratified": stratified,
    "systematic": systematic,
    "residual": residual,
    "ssp": ssp,
}
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)


def _flip(probability: float, rng: Rng) -> bool:
    if probability in (0.0, 1.0):
        return bool(probability)
    return rng.uniform([probability]) < probability


def _cumulative(weights: Floats) -> Floats:
    cumulative = np.cumsum(weights)
    scaled: Floats = cumulative / cumulative[-1]
    return scaled


def _invert(cumulative: Floats, points: Floats) -> Ancestors:
    last = int(np.searchsorted(cumulative, cumulative[-1]))  # points may round to 1
    return np.minimum(np.searchsorted(cumulative, points, side="right"), last)
