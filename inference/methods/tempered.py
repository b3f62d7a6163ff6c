"""Tempered SMC: whole runs, moved from the proposal to the posterior in steps of temperature.

N runs are drawn from the proposal law q of the program's kernels, each with its weight ω = γ / q. The targets

    γ_λ(x) = q(x) ω(x)^λ,        0 = λ_0 < λ_1 < ... < λ_K = 1,

lead from q to the program's measure γ. A step multiplies the weights by ω^{λ_k - λ_{k-1}}, resamples, and rejuvenates:
each run proposes a fresh one x' from q and becomes it with probability min(1, (ω(x') / ω(x))^{λ_k}), which leaves γ_λ
as it is. For `sample(p ** b)`, q is what a temperature of 1/b draws, and ω what that gets wrong.

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

from inference.diagnostics import Step
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
    resampling:
        As of `SMC`.
    """

    particles: int = 16
    exponents: tuple[float, ...] | None = None
    ess_threshold: float = 0.5
    moves: int = 1
    resampling: Scheme = "systematic"

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

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run the population from λ = 0 to 1."""
        runs = _Runs(self.particles, model, rng, runtime)
        particles, log_omegas = runs.draw()
        steps: list[Step] = []
        exponent, log_evidence = 0.0, 0.0
        while True:
            following = self._next(exponent, log_omegas, len(steps))
            with np.errstate(invalid="ignore"):
                log_weights = np.where(np.isneginf(log_omegas), -np.inf, (following - exponent) * log_omegas)
            increment, exponent = log_mean_exp(log_weights), following
            ess = effective_sample_size(log_weights)
            log_evidence += increment
            last = exponent == 1.0 or increment == -math.inf
            ancestors = None if last else resample(self.resampling, normalise(log_weights), rng)
            chosen = None if ancestors is None else tuple(ancestors.tolist())
            steps.append(Step(len(steps) + 1, self.particles, ess, increment, chosen))
            progress.update(steps[-1], runs.drawn)
            if ancestors is None:
                return Result(particles, log_weights, log_evidence, steps, runs.drawn, runs.last_death)
            particles, log_omegas = [particles[a] for a in ancestors], log_omegas[ancestors]
            for _ in range(self.moves):
                self._rejuvenate(particles, log_omegas, runs, exponent, rng)

    def _next(self, exponent: float, log_omegas: Floats, step: int) -> float:
        """Return the next λ."""
        if self.exponents is not None:
            return self.exponents[step]
        alive = log_omegas[np.isfinite(log_omegas)]
        least = self.ess_threshold * len(alive)
        low, high = exponent, 1.0
        if not len(alive) or effective_sample_size((high - exponent) * alive) >= least:
            return 1.0
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            enough = effective_sample_size((middle - exponent) * alive) >= least
            low, high = (middle, high) if enough else (low, middle)
        return high if low == exponent else low

    def _rejuvenate(
        self, particles: list[Particle], log_omegas: Floats, runs: _Runs, exponent: float, rng: Rng
    ) -> None:
        """Propose a fresh run to each particle, in place."""
        fresh, log_fresh = runs.draw()
        for i, (run, log_omega) in enumerate(zip(fresh, log_fresh.tolist(), strict=True)):
            ratio = exponent * (log_omega - log_omegas[i]) if log_omega > -math.inf else -math.inf
            accept = math.exp(min(ratio, 0.0))
            if accept == 1.0 or (accept > 0.0 and rng.uniform([accept]) < accept):
                particles[i], log_omegas[i] = run, log_omega


class _Runs:
    """Independent runs of the program, drawn N at a time."""

    def __init__(self, size: int, model: Model[Any], rng: Rng, runtime: Runtime) -> None:
        self._size, self._model, self._rng, self._runtime = size, model, rng, runtime
        self.drawn = 0
        self.last_death: Death | str | None = None

    def draw(self) -> tuple[list[Particle], Floats]:
        """Return N runs from the proposal, and their log-weights."""
        result = Importance(self._size).run(self._model, self._rng, self._runtime, Progress())
        self.drawn += result.drawn
        self.last_death = result.last_death if result.last_death is not None else self.last_death
        return list(result.particles), result.log_weights.copy()
