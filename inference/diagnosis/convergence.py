"""Convergence: whether chains agree, and how many independent draws theirs are worth.

Draws of one number, (C, n) for C chains of n states each, are split in halves: 2C chains, so that a chain that drifts
disagrees with itself. With W the mean of the variances within chains, B / n the variance of their means, and

    var⁺ = (n - 1) / n W + B / n,        R̂ = √(var⁺ / W),

R̂ goes to 1 from above as the chains forget their starts. The effective sample size divides the number of draws by the
autocorrelation time τ = 1 + 2 Σ_t ρ_t, where

    ρ_t = 1 - (W - mean of the chains' autocovariances at lag t) / var⁺;

the sum is over pairs ρ_2k + ρ_2k+1, which are positive and decrease for a reversible chain: it ends at the first pair
that is not positive, and pairs are made to decrease.

R̂ compares means, and is nothing where they do not exist. `rank_rhat` takes in their place the normal scores
z = Φ⁻¹((r - 3/8) / (S + 1/4)) of the ranks r of all S draws, and also those of the distances from the median, which
differ where chains agree in location and not in scale; the larger of the two R̂ counts.

References: Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), *Rank-normalization, folding, and localization: an
improved R̂ for assessing convergence of MCMC*; Geyer (1992), *Practical Markov chain Monte Carlo*.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike

from inference.weights import Floats
from ppl.errors import InvalidArgument


def split_rhat(draws: ArrayLike) -> float:
    """Return the split R̂ of (C, n) draws, or (n,) of one chain; nan where all draws are equal.

    Above 1.01 the chains are not to be trusted yet. Near 1 is no proof: chains may all miss the same texts.
    """
    return _rhat(_halves(draws))


def rank_rhat(draws: ArrayLike) -> float:
    """Return the rank-normalised split R̂ of (C, n) draws, or (n,) of one chain; nan where all draws are equal.

    Of numbers that may be far apart, as log-weights are. Above 1.01 the chains are not to be trusted yet.
    """
    chains = _halves(draws)
    folded = np.abs(chains - np.median(chains))
    rhats = [_rhat(_normal_scores(part)) for part in (chains, folded) if np.ptp(part) > 0.0]
    return max(rhats, default=math.nan)


def autocorrelation(draws: ArrayLike, lags: int | None = None) -> Floats:
    """Return (C, L) the autocorrelations of (C, n) draws at lags 0 to L - 1, or (L,) of one chain.

    Parameters
    ----------
    draws:
        (C, n), or (n,) of one chain; n is at least 8.
    lags:
        L, from 1 to n; None: n. Estimates at lags near n are noise.

    Notes
    -----
    A chain that does not move has no autocorrelation: nan.
    """
    chains = _checked(draws)
    length = chains.shape[1] if lags is None else lags
    if not isinstance(length, int | np.integer) or not 1 <= length <= chains.shape[1]:
        raise InvalidArgument(
            f"lags={lags!r} of {chains.shape[1]} draws", hint="an integer from 1 to their number"
        )
    covariances = _autocovariances(chains)
    still = np.ptp(chains, axis=1, keepdims=True) == 0.0
    correlations = covariances[:, :length] / np.where(still, math.nan, covariances[:, :1])
    return correlations if np.ndim(draws) == 2 else correlations[0]


def chain_ess(draws: ArrayLike) -> float:
    """Return the effective sample size of (C, n) draws, or (n,) of one chain; nan where all draws are equal.

    The standard error of their mean is their standard deviation over the root of it.
    """
    chains = _halves(draws)
    within, total = _variances(chains)
    if total == 0.0:
        return math.nan
    n = chains.shape[1]
    rhos = 1.0 - (within - _autocovariances(chains).mean(axis=0) * n / (n - 1)) / total
    pairs = rhos[: n - n % 2].reshape(-1, 2).sum(axis=1)
    positive = int(np.argmax(pairs <= 0.0)) if (pairs <= 0.0).any() else len(pairs)
    time = 2.0 * float(np.minimum.accumulate(pairs[: max(positive, 1)]).sum()) - 1.0
    shortest = 1.0 / math.log10(
        chains.size
    )  # an antithetic chain is worth more than its draws, within reason
    return chains.size / max(time, shortest)


def _halves(draws: ArrayLike) -> Floats:
    """Return (2C, n // 2): the first and the second half of each chain, without the middle of an odd number."""
    chains = _checked(draws)
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, -half:]])


def _checked(draws: ArrayLike) -> Floats:
    """Return (C, n) draws; raise `InvalidArgument` if they are none."""
    chains = np.atleast_2d(np.asarray(draws, dtype=np.float64))
    if chains.ndim != 2 or chains.shape[1] < 8 or not np.isfinite(chains).all():
        raise InvalidArgument(
            f"draws of shape {np.shape(draws)}",
            hint="an array of finite numbers, (chains, draws), with at least 8 draws of each chain",
        )
    return chains


def _rhat(chains: Floats) -> float:
    within, total = _variances(chains)
    return math.sqrt(total / within) if within > 0.0 else (math.nan if total == 0.0 else math.inf)


def _normal_scores(chains: Floats) -> Floats:
    """Return the normal scores of the ranks of all draws; equal draws share their mean rank."""
    _, kind, counts = np.unique(chains, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    shares = torch.from_numpy((ranks - 0.375) / (chains.size + 0.25))
    scores: Floats = torch.special.ndtri(shares).numpy()[kind.reshape(chains.shape)]
    return scores


def _variances(chains: Floats) -> tuple[float, float]:
    """Return W and var⁺."""
    n = chains.shape[1]
    within = float(chains.var(axis=1, ddof=1).mean())
    return within, (n - 1) / n * within + float(chains.mean(axis=1).var(ddof=1))


def _autocovariances(chains: Floats) -> Floats:
    """Return the (C, n) autocovariances at lags 0 to n - 1, sums over n."""
    n = chains.shape[1]
    spectrum = np.fft.rfft(chains - chains.mean(axis=1, keepdims=True), 2 * n, axis=1)
    covariances: Floats = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :n] / n
    return covariances
