"""Chain: a Markov chain over whole runs whose stationary law is the posterior.

A chain starts from runs that are drawn from an SMC population by their weights, and moves by a kernel K that leaves the
posterior π as it is: πK = π. Its states after the burn-in are the samples, with equal weights. They depend on one
another, so that n of them are worth fewer than n draws (`inference.diagnosis.convergence` says how many); their
averages converge to posterior expectations as the sweeps grow, whatever the start.

The start alone says something of the evidence: Ẑ of its population is unbiased, and E[Ẑ f(X_s)] = γ(f) after any number
s of sweeps, since X_0 is so weighted and K preserves it. So chains of several seeds may be combined with weights Ẑ.

References: Andrieu, Doucet and Holenstein (2010), *Particle Markov chain Monte Carlo methods*, for chains over runs;
Robert and Casella (2004), *Monte Carlo statistical methods*, for the rest.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from inference.diagnostics import Step
from inference.methods.base import Method, Result, require_positive
from inference.methods.smc import SMC
from inference.particle import Death, Particle
from inference.path_storage import Run, RunStorage
from inference.progress import Progress
from inference.runtime import Runtime
from inference.weights import Floats, effective_sample_size, log_mean_exp
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class Sweep:
    """What a sweep of a chain, or its start, leads to.

    Attributes
    ----------
    runs:
        Where each chain is; empty before a run has survived.
    size, ess:
        How many runs were drawn together, and the effective sample size of their weights.
    drawn:
        Tokens drawn.
    moved:
        Share of the chains that moved; None for a start.
    log_estimate:
        Log of an unbiased estimate of the evidence, in nats, independent of where the chain was; None if it made none.
    last_death:
        Why runs died, if some did.
    """

    runs: tuple[Run, ...]
    size: int
    ess: float
    drawn: int
    moved: float | None = None
    log_estimate: float | None = None
    last_death: Death | str | None = None


class Chain(Method):
    """A Markov chain Monte Carlo method; asymptotically exact."""

    sweeps: int
    burn_in: int
    revives: ClassVar[bool] = False
    """Whether a sweep can find a first run where the start found none."""

    @abstractmethod
    def start(self, model: Model[Any], rng: Rng, runtime: Runtime) -> Sweep:
        """Return the first state: E[Ẑ f(x)] = γ(f), with Ẑ its estimate of the evidence."""

    @abstractmethod
    def sweep(self, runs: tuple[Run, ...], model: Model[Any], rng: Rng, runtime: Runtime) -> Sweep:
        """Return the state after `runs`, by a kernel that leaves the posterior invariant."""

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run the chains for all sweeps."""
        runtime.drafts = None  # which decide when particles are compared, by what was drawn before
        state = self.start(model, rng, runtime)
        runtime.adaptive = False  # one kernel for all sweeps
        kept: list[list[Particle]] = []
        estimates: list[float] = []
        steps: list[Step] = []
        log_evidence, drawn, last_death = 0.0, 0, state.last_death
        while True:
            drawn += state.drawn
            last_death = state.last_death or last_death
            estimates += [] if state.log_estimate is None else [state.log_estimate]
            before, log_evidence = log_evidence, log_mean_exp(np.array(estimates))
            increment = log_evidence if before == -math.inf else log_evidence - before
            steps.append(Step(len(steps) + 1, state.size, state.ess, increment, moved=state.moved))
            progress.update(steps[-1], drawn)
            if len(steps) > 1 + self.burn_in and state.runs:
                kept.append([run.particle for run in state.runs])
            if len(steps) > self.sweeps or not (state.runs or self.revives):
                break
            state = self.sweep(state.runs, model, rng, runtime)
        particles = [particle for chain in zip(*kept, strict=True) for particle in chain]
        chains = len(kept[0]) if kept else 1
        return Result(particles, np.zeros(len(particles)), log_evidence, steps, drawn, last_death, chains)

    def _require_sweeps(self) -> None:
        require_positive("sweeps", self.sweeps)
        whole = isinstance(self.burn_in, int | np.integer) and not isinstance(self.burn_in, bool)
        if not whole or not 0 <= self.burn_in < self.sweeps:
            raise InvalidArgument(
                f"burn_in={self.burn_in!r} of sweeps={self.sweeps!r}",
                hint="the first `burn_in` of the `sweeps` are left out: an integer from 0 to below `sweeps`",
            )


def stored_start(smc: SMC, population: RunStorage, chains: int = 1) -> Sweep:
    """Return runs with what is stored of them, from a population of SMC, each chosen by its weight."""
    result = smc.advance(population, Progress())
    chosen = choose(result.log_weights, chains, population.rng)
    return Sweep(
        tuple(population.run(k) for k in chosen),
        smc.particles,
        effective_sample_size(result.log_weights),
        result.drawn,
        log_estimate=result.log_evidence,
        last_death=result.last_death,
    )


def choose(log_weights: Floats, n: int, rng: Rng) -> list[int]:
    """Draw n indices in proportion to the weights, none if all are 0."""
    if np.max(log_weights) == -np.inf:
        return []
    drawn: list[int] = rng.categorical(
        torch.from_numpy(log_weights)[None], np.zeros(n, dtype=np.int64)
    ).tolist()
    return drawn


def accepted(log_ratio: float, rng: Rng) -> bool:
    """Return True with probability min(1, exp(log_ratio))."""
    share = math.exp(min(log_ratio, 0.0))
    return share == 1.0 or (share > 0.0 and rng.uniform([share]) < share)
