"""Tails: whether importance weights have a variance that a sample of them can show.

The M largest of S independent weights, less the next one, are fitted by a generalised Pareto law, whose shape k̂ says
how many moments there are: fewer than 1 / k̂. Above 0.7 a sample of any practical size misses what carries the mass, and
estimates of the error from the same sample are as wrong as the estimate. M = min(S / 5, 3 √S); for small S the limit is
lower, 1 - 1 / log₁₀ S.

References: Vehtari, Simpson, Gelman, Yao and Gabry (2024), *Pareto smoothed importance sampling*; Zhang and Stephens
(2009), *A new and efficient estimation method for the generalized Pareto distribution*, for the fit.
"""

from __future__ import annotations

import math

import numpy as np

from inference.weights import Floats


def pareto_shape(log_weights: Floats) -> float:
    """Return k̂ of (S,) log-weights, -inf those of weight 0; nan where fewer than 5 of them make a tail."""
    size = len(log_weights)
    count = math.ceil(min(size / 5.0, 3.0 * math.sqrt(size)))
    if size <= count or not np.isfinite(log_weights).any():
        return math.nan
    weights = np.sort(np.exp(log_weights - np.max(log_weights)))
    tail = weights[-count:] - weights[-count - 1]
    tail = tail[tail > 0.0]
    return _shape(tail) if len(tail) >= 5 else math.nan


def largest_shape(size: int) -> float:
    """Return the k̂ above which S = `size` weights are not to be relied on."""
    return min(1.0 - 1.0 / math.log10(size), 0.7)


def _shape(tail: Floats) -> float:
    """Return the shape of (M,) increasing positive excesses: the mean under a profile likelihood, shrunk to 0.5.

    With b = -k / σ the likelihood at its best k is M (log(b / k) - k - 1), k(b) = mean of log(1 - b x).
    """
    size = len(tail)
    points = 30 + int(math.sqrt(size))
    grid = 1.0 - np.sqrt(points / (np.arange(points) + 0.5))
    quartile = tail[int(size / 4.0 + 0.5) - 1]
    b = grid / (3.0 * quartile) + 1.0 / tail[-1]
    shapes = np.log1p(-b[:, None] * tail).mean(axis=1)
    logs = size * (np.log(-b / shapes) - shapes - 1.0)
    likely = np.exp(logs - logs.max())
    best = float(np.sum(b * likely) / np.sum(likely))
    shape = float(np.log1p(-best * tail).mean())
    return (size * shape + 5.0) / (size + 10.0)
