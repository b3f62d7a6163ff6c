r"""Genealogy: who descends from whom in a population that was resampled, and what one run says of its own error.

The samples of a run are sorted into families, by the particle at the start that they descend from (their Eve index).
Families are independent but for resampling, so they show how far a repetition of the run would differ. Let W_i be the
normalised weights of N particles, S_e = Σ_{i : E_i = e} W_i the share of the family e, and R the number of times that
the population was resampled. Then

    v = 1 - (N / (N - 1))^{R + 1} (1 - Σ_e S_e²)

is an estimate of the relative variance of the evidence estimate Ẑ, unbiased in the sense

    E[Ẑ² v] = Var(Ẑ),

and for an expectation μ̂ = Σ W_i f(x_i) the consistent estimate of its variance is

    (N / (N - 1))^{R + 1} Σ_e (Σ_{i : E_i = e} W_i (f(x_i) - μ̂))².

This is theory for **multinomial** resampling, where two children choose their parents independently: each pair of
particles from different families has then lost the factor (N - 1) / N at each resampling. It stays exact if the
population decides by its weights when to resample, since that is known before the ancestors are drawn, and without
resampling, where v is the variance of a mean. The other schemes add less noise. For them there is no unbiased estimate
from one run (two particles that never have children together say nothing of each other), and the factor is left out for
the resamplings, R = 0: the variance between families as if they were N independent runs (Chan and Lai),

    v = (N Σ_e S_e² - 1) / (N - 1).

It is too large rather than too small where children compete: if E[O_a O_b] <= N² W_a W_b for the numbers of children of
any two particles, as under "residual", "stratified" and "ssp", then E[Ẑ² v] >= Var(Ẑ), by the same recursion over the
resamplings that proves the equality above. Nothing of the kind holds for "systematic", whose children may come in
pairs.

Where all samples are of one family nothing is left to compare: v = 1, which only says that the error is as large as the
estimate or larger, and there is no standard error. Fixed-lag variants, which sort by later ancestors, suit targets that
forget their past; a text does not.

References: Chan and Lai (2013), *A general theory of particle filters in hidden Markov models and some applications*;
Lee and Whiteley (2018), *Variance estimation in the particle filter*; Olsson and Douc (2019), *Numerically stable
online estimation of variance in particle filters*, for the lag; Du and Guyader (2021), *Variance estimation in
adaptive sequential Monte Carlo*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference.diagnostics import Step
from inference.weights import Floats, normalise
from ppl.errors import InvalidArgument

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Genealogy:
    """The ancestors of a run's n samples among N particles, at each of T ticks.

    Attributes
    ----------
    size:
        N, the dead included.
    weights:
        (n,) normalised weights of the samples.
    ancestors:
        T + 1 arrays (n,): the place of each sample's ancestor at the start, after the first tick, ..., at the end.
    resamplings:
        R, how often the population was resampled.
    multinomial:
        Whether it was by the multinomial scheme (or never), for which the variances are exact.
    """

    size: int
    weights: Floats
    ancestors: tuple[Ints, ...]
    resamplings: int
    multinomial: bool

    @classmethod
    def of(
        cls, steps: Sequence[Step], places: Sequence[int], log_weights: Floats, size: int, scheme: str | None
    ) -> Genealogy:
        """Return the genealogy of the samples at `places` of the last population.

        Parameters
        ----------
        steps:
            The ticks of the run, which hold the ancestors.
        places, log_weights:
            (n,) of the samples; at least one has positive weight.
        size:
            N.
        scheme:
            The resampling scheme, None if there is none.
        """
        lines = [np.array(places, dtype=np.int64)]
        for step in reversed(steps):
            lines.append(lines[-1] if step.ancestors is None else np.array(step.ancestors)[lines[-1]])
        resamplings = sum(step.resampled for step in steps)
        exact = scheme == "multinomial" or not resamplings
        return cls(size, normalise(log_weights), tuple(lines[::-1]), resamplings, exact)

    @property
    def families(self) -> Ints:
        """(n,) the particle at the start from which each sample descends."""
        return self.ancestors[0]

    @property
    def distinct(self) -> Ints:
        """(T + 1,) distinct ancestors of the samples, at the start and after each tick."""
        return np.array([len(np.unique(line)) for line in self.ancestors])

    @property
    def effective(self) -> Floats:
        """(T + 1,) effective number of distinct ancestors, 1 / Σ S_a², S_a the weight that descends from a."""
        return np.array([1.0 / float(np.sum(self._sums(line, self.weights) ** 2)) for line in self.ancestors])

    @property
    def coalescence(self) -> int | None:
        """The last tick after which all samples have one common ancestor, 0 for the start; None if there is none.

        What the samples have written up to this tick was decided by a single particle. None, too, for a single sample.
        """
        single = np.flatnonzero(self.distinct == 1)
        return int(single[-1]) if len(single) and len(self.families) > 1 else None

    @property
    def evidence_variance(self) -> float:
        """Estimate v of Var(Ẑ) / Z²; its root is about the standard deviation of log Ẑ where it is small.

        It may be negative under multinomial resampling, as unbiased estimates of small variances are; nan for N = 1.
        """
        if self.size < 2:
            return math.nan
        return 1.0 - self.inflation * (1.0 - float(np.sum(self._sums(self.families, self.weights) ** 2)))

    def standard_error(self, values: ArrayLike) -> Floats:
        """Return the standard error of Σ W_i f_i for (n, ...) values f_i; nan where all samples are of one family."""
        numbers = np.asarray(values, dtype=np.float64)
        if numbers.shape[:1] != self.weights.shape:
            raise InvalidArgument(
                f"values of shape {numbers.shape} for {len(self.weights)} samples",
                hint="one value for each sample, in their order",
            )
        if self.distinct[0] < 2:
            return np.full(numbers.shape[1:], math.nan)
        mean = np.tensordot(self.weights, numbers, axes=1)
        parts = (self.weights.reshape(-1, *[1] * (numbers.ndim - 1)) * (numbers - mean)).reshape(
            len(numbers), -1
        )
        sums = np.stack([self._sums(self.families, column) for column in parts.T])
        variance = self.inflation * np.sum(sums**2, axis=1)
        error: Floats = np.sqrt(variance).reshape(numbers.shape[1:])
        return error

    @property
    def inflation(self) -> float:
        """Factor (N / (N - 1))^{R + 1} by which pairs of families are made up for; R = 0 unless it was multinomial."""
        power = self.resamplings + 1 if self.multinomial else 1
        return (self.size / (self.size - 1)) ** power

    def _sums(self, line: Ints, terms: Any) -> Floats:
        """Return (N,) the sums of (n,) terms over the samples of each ancestor."""
        sums = np.zeros(self.size)
        np.add.at(sums, line, terms)
        return sums
