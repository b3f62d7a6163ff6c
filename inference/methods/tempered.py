"""Tempered SMC: whole runs, moved from the proposal to the posterior in steps of temperature.

N runs are drawn from the proposal law q of the program's kernels, each with its weight ω = γ / q. The targets

    γ_λ(x) = q(x) ω(x)^λ,        0 = λ_0 < λ_1 < ... < λ_K = 1,

lead from q to the program's measure γ. A step multiplies the weights by ω^{λ_k - λ_{k-1}}, resamples, and rejuvenates:
each run proposes a fresh one x' from q and becomes it with probability min(1, (ω(x') / ω(x))^{λ_k}), which leaves γ_λ
as it is. For `sample(p ** b)`, q is what a temperature of 1/b draws, and ω what that gets wrong.

With `start=e` the path leads from one power of the experts to another instead. Tokens are drawn from the experts'
masses to the power e (`inference.flattening`), ω_0 is the weight over that of the measure γ_0 in which every text has
its experts to the power e and its constraint, and

    γ_λ(x) = γ_0(x)^{1-λ} γ(x)^λ = q(x) ω_0(x)^{1-λ} ω(x)^λ,

which for `sample(p ** b1)` and e = b0 / b1 goes from p ** b0 to p ** b1 through the powers between.

With fixed λ the evidence is unbiased. With λ chosen by the effective sample size it is consistent only: the choice
looks at the particles that it is about.

References: Del Moral, Doucet and Jasra (2006), *Sequential Monte Carlo samplers*; Jasra, Stephens, Doucet and Tsagaris
(2011), *Inference for Lévy-driven stochastic volatility models via adaptive sequential Monte Carlo*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.diagnostics import Step
from inference.flattening import Flattened
from inference.methods.base import Method, Result, require_positive
from inference.methods.importance import Importance
from inference.particle import Death, Particle
from inference.progress import Progress
from inference.resampling import SCHEMES, Scheme, resample
from inference.runtime import Runtime
from inference.weights import Floats, effective_sample_size, log_mean_exp, normalise
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng

_BISECTIONS = 40


@dataclass(frozen=True)
class TemperedSMC(Method):
    """A tempered SMC sampler over whole runs.

    Parameters
    ----------
    particles:
        N, at least 1.
    exponents:
        λ_1 < ... < λ_K = 1, above 0; None: each λ as large as keeps ESS at `ess_threshold` times the runs that have
        weight.
    ess_threshold:
        Between 0 (one step) and 1, for exponents that are chosen.
    moves:
        Proposals to each run after a resampling.
    start:
        e > 0, the power of the experts' masses at which the path starts, as a share of those of the target: for
        `sample(p ** 4)`, 0.25 starts from p itself. None: from what the program's kernels draw.
    resampling:
        As of `SMC`.
    """

    particles: int = 16
    exponents: tuple[float, ...] | None = None
    ess_threshold: float = 0.5
    moves: int = 1
    resampling: Scheme = "systematic"
    start: float | None = None

    def __post_init__(self) -> None:
        require_positive("particles", self.particles)
        require_positive("moves", self.moves)
        if self.exponents is not None:
            path = (0.0, *self.exponents)
            if len(path) < 2 or path[-1] != 1.0 or any(a >= b for a, b in pairwise(path)):
                raise InvalidArgument(
                    f"exponents={self.exponents!r}",
                    hint="increasing, above 0, the last one 1: (0.25, 0.5, 1.0)",
                )
        if not isinstance(self.ess_threshold, int | float) or not 0.0 <= self.ess_threshold < 1.0:
            raise InvalidArgument(f"ess_threshold={self.ess_threshold!r}", hint="a share from 0 to below 1")
        if self.resampling not in SCHEMES:
            raise InvalidArgument(f"resampling={self.resampling!r}", hint=f"one of {', '.join(SCHEMES)}")
        if self.start is not None and not (isinstance(self.start, int | float) and 0 < self.start < math.inf):
            raise InvalidArgument(f"start={self.start!r}", hint="a power above 0, or None")

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run the population from λ = 0 to 1."""
        source = _Runs(self, model, rng, runtime)
        runs = source.draw()
        steps: list[Step] = []
        exponent, log_evidence, log_weights = 0.0, 0.0, runs.path(0.0)
        while True:
            following = self._next(exponent, log_weights, runs, len(steps))
            log_weights = log_weights + _change(runs, exponent, following)
            increment, exponent = log_mean_exp(log_weights), following
            ess = effective_sample_size(log_weights)
            log_evidence += increment
            last = exponent == 1.0 or increment == -math.inf
            ancestors = None if last else resample(self.resampling, normalise(log_weights), rng)
            chosen = None if ancestors is None else tuple(ancestors.tolist())
            steps.append(Step(len(steps) + 1, self.particles, ess, increment, chosen))
            progress.update(steps[-1], source.drawn)
            if ancestors is None:
                return Result(
                    runs.particles, log_weights, log_evidence, steps, source.drawn, source.last_death
                )
            runs, log_weights = runs.take(ancestors), np.zeros(self.particles)
            for _ in range(self.moves):
                self._rejuvenate(runs, source, exponent, rng)

    def _next(self, exponent: float, log_weights: Floats, runs: _Population, step: int) -> float:
        """Return the next λ."""
        if self.exponents is not None:
            return self.exponents[step]
        alive = np.isfinite(runs.log_omegas)

        def enough(following: float) -> bool:
            moved = (log_weights + _change(runs, exponent, following))[alive]
            return effective_sample_size(moved) >= self.ess_threshold * len(moved)

        low, high = exponent, 1.0
        if not alive.any() or enough(high):
            return 1.0
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if enough(middle) else (low, middle)
        return high if low == exponent else low

    def _rejuvenate(self, runs: _Population, source: _Runs, exponent: float, rng: Rng) -> None:
        """Propose a fresh run to each particle, in place."""
        fresh = source.draw()
        ratios = fresh.path(exponent) - runs.path(exponent)
        for i, ratio in enumerate(ratios.tolist()):
            accept = math.exp(min(ratio, 0.0))
            if accept == 1.0 or (accept > 0.0 and rng.uniform([accept]) < accept):
                runs.put(i, fresh)


@dataclass
class _Population:
    """N whole runs, with log ω_0 and log ω of each."""

    particles: list[Particle]
    log_starts: Floats
    log_omegas: Floats

    def path(self, exponent: float) -> Floats:
        """Return log γ_λ / q: (1 - λ) log ω_0 + λ log ω, and -inf for the dead once λ > 0."""
        dead = np.isneginf(self.log_omegas)
        omegas = np.where(dead, 0.0, self.log_omegas)
        starts = np.where(dead, 0.0, self.log_starts)
        path = (1.0 - exponent) * starts + exponent * omegas
        return np.where(dead, -np.inf, path) if exponent > 0.0 else path

    def take(self, ancestors: NDArray[np.int64]) -> _Population:
        """Return copies of the ancestors."""
        particles = [self.particles[a] for a in ancestors]
        return _Population(particles, self.log_starts[ancestors], self.log_omegas[ancestors])

    def put(self, i: int, other: _Population) -> None:
        """Put the i-th run of another population in the place of this one's."""
        self.particles[i] = other.particles[i]
        self.log_starts[i], self.log_omegas[i] = other.log_starts[i], other.log_omegas[i]


def _change(runs: _Population, exponent: float, following: float) -> Floats:
    """Return log γ_λ' / γ_λ of each run."""
    return runs.path(following) - runs.path(exponent)


class _Runs:
    """Independent runs of the program, drawn N at a time."""

    def __init__(self, method: TemperedSMC, model: Model[Any], rng: Rng, runtime: Runtime) -> None:
        self._method, self._model, self._rng, self._runtime = method, model, rng, runtime
        self.drawn = 0
        self.last_death: Death | str | None = None

    def draw(self) -> _Population:
        """Return N runs from the proposal."""
        size, start = self._method.particles, self._method.start
        if start is None:
            result = Importance(size).run(self._model, self._rng, self._runtime, Progress())
            drawn, died = result.drawn, result.last_death
            runs = _Population(list(result.particles), np.zeros(size), result.log_weights.copy())
        else:
            flattened = Flattened(self._model, size, self._rng, self._runtime, start)
            flattened.run()
            drawn, died = flattened.drawn, flattened.last_death
            runs = _Population(flattened.particles, flattened.log_starts, flattened.log_weights)
        self.drawn += drawn
        self.last_death = self.last_death if died is None else died
        return runs
