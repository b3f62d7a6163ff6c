"""Precision: how far a repetition of a run would differ, as the run itself can tell.

| samples | standard error of an expectation | of log Ẑ |
| --- | --- | --- |
| exact | 0 | 0 |
| independent, n of them | s / √n | at most 1 / √n |
| population | between families, see `inference.diagnosis.genealogy` | √v, between families |
| pooled | between runs, weighted by their evidence | between runs |
| chain | s / √ESS, see `chain_ess` | not told |
| heuristic, unknown | not told | not told |

What is not told is nan. All of these are themselves estimates: they cannot see a mode that the run has not found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from inference.diagnosis.convergence import chain_ess
from inference.diagnosis.genealogy import Genealogy, Ints
from inference.diagnosis.guarantees import guarantee, setting
from inference.weights import Floats
from ppl.errors import InvalidArgument

if TYPE_CHECKING:
    from inference.posterior import Posterior

_SHORTEST = 8
"""States of a chain from which its effective sample size can be told."""


def genealogy_of(posterior: Posterior[Any]) -> Genealogy:
    """Return who descends from whom among the samples of a population.

    Raises
    ------
    InvalidArgument
        If the samples are not those of a population whose ancestors are known.
    NoSurvivors
        If there are none.
    """
    weights = posterior.weights
    if guarantee(posterior) != "population":
        raise InvalidArgument(
            f"the samples of {posterior.method} have no genealogy",
            hint="SMC, Importance and TemperedSMC have one",
        )
    places = [sample.place for sample in posterior.samples]
    return Genealogy.of(
        posterior.steps, places, np.log(weights), posterior.particles, setting(posterior, "resampling")
    )


def log_evidence_error(posterior: Posterior[Any]) -> float:
    """Return the standard deviation of Ẑ over Z, which is about that of log Ẑ while it is well below 1."""
    kind = guarantee(posterior)
    if kind == "exact":
        return 0.0
    if not posterior.samples:
        return math.nan
    if kind == "independent":
        return 1.0 / math.sqrt(len(posterior))
    if kind == "population":
        return math.sqrt(max(genealogy_of(posterior).evidence_variance, 0.0))
    if kind == "pooled":
        return _relative_error(_evidences(posterior))
    return math.nan


def standard_error(posterior: Posterior[Any], f: Callable[[Any], Any]) -> Any:
    """Return the standard error of `posterior.expectation(f)`, of the shape of f(value)."""
    return error_of_mean(posterior, np.array([f(s.value) for s in posterior._alive()], dtype=np.float64))


def error_of_mean(posterior: Posterior[Any], values: Floats) -> Any:
    """Return the standard error of the weighted mean of (n, ...) numbers, one for each sample."""
    kind, shape = guarantee(posterior), values.shape[1:]
    if kind == "exact":
        return np.zeros(shape)[()]
    if kind == "population":
        return genealogy_of(posterior).standard_error(values)[()]
    if kind in ("independent", "pooled"):
        members, size = groups(posterior)
        return Genealogy(size, posterior.weights, (members,), 0, True).standard_error(values)[()]
    columns = values.reshape(len(values), -1).T
    if kind != "chain" or len(values) < _SHORTEST * (posterior.chains or 1):
        return np.full(shape, math.nan)[()]
    chains = columns.reshape(len(columns), posterior.chains or 1, -1)
    errors = [np.std(chain, ddof=1) / math.sqrt(chain_ess(chain)) for chain in chains]
    return np.array(errors).reshape(shape)[()]


def groups(posterior: Posterior[Any]) -> tuple[Ints, int]:
    """Return the independent groups of the samples, and how many there are.

    The runs of a pool are groups where they have equally many particles; else, as of independent draws, each sample is.
    """
    runs = posterior.steps[-1].tick if posterior.steps else 0
    size, rest = divmod(posterior.particles, max(runs, 1))
    if guarantee(posterior) == "independent" or rest or any(step.live != size for step in posterior.steps):
        return np.arange(len(posterior)), len(posterior)
    return np.array([sample.place // size for sample in posterior.samples]), runs


def _evidences(posterior: Posterior[Any]) -> Floats:
    """Return (R,) the estimates of the pooled runs on a common scale: a step holds the mean of all runs up to it."""
    logs = np.cumsum([step.log_increment for step in posterior.steps])
    runs = np.array([step.tick for step in posterior.steps])
    sums = runs * np.exp(logs - logs.max())
    return np.concatenate([np.zeros(runs[0] - 1), np.diff(sums, prepend=0.0)])


def _relative_error(estimates: Floats) -> float:
    """Return the standard error of the mean of independent estimates, over the mean."""
    if len(estimates) < 2:
        return math.nan
    return float(np.std(estimates, ddof=1) / np.mean(estimates) / math.sqrt(len(estimates)))
