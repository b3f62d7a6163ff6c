"""Chain: a Markov chain over whole runs whose stationary law is the posterior.

A chain starts from runs that are drawn from an SMC population by their weights, and moves by a kernel K that leaves the
posterior π as it is: πK = π. Its states after the burn-in are the samples, with equal weights. They depend on one
another, so that n of them are worth fewer than n draws (`inference.convergence` says how many); their averages converge
to posterior expectations as the sweeps grow, whatever the start.

The start alone says something of the evidence: Ẑ of its population is unbiased, and E[Ẑ f(X_s)] = γ(f) after any number
s of sweeps, since X_0 is so weighted and K preserves it. So chains of several seeds may be combined with weights Ẑ.

References: Andrieu, Doucet and Holenstein (2010), *Particle Markov chain Monte Carlo methods*, for chains over runs;
Robert and Casella (2004), *Monte Carlo statistical methods*, for the rest.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from inference.diagnostics import Step
from inference.methods.base import Method, Result, require_positive
from inference.methods.smc import SMC
from inference.particle import Death
from inference.progress import Progress
from inference.recording import Recording, Run
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
        made: list[Sweep] = []
        steps: list[Step] = []
        runs: tuple[Run, ...] = ()
        log_evidence = 0.0
        while len(made) <= self.sweeps and (runs or self.revives or not made):
            made.append(self.sweep(runs, model, rng, runtime) if made else self.start(model, rng, runtime))
            runtime.adaptive = False  # one kernel for all sweeps
            runs = made[-1].runs
            before, log_evidence = log_evidence, _log_evidence(made)
            steps.append(_step(len(made), made[-1], _increment(before, log_evidence)))
            progress.update(steps[-1], sum(sweep.drawn for sweep in made))
        kept = [sweep.runs for sweep in made[1 + self.burn_in :] if sweep.runs]
        particles = [run.particle for chain in zip(*kept, strict=True) for run in chain]
        deaths = [sweep.last_death for sweep in made if sweep.last_death is not None]
        return Result(
            particles,
            np.zeros(len(particles)),
            log_evidence,
            steps,
            sum(sweep.drawn for sweep in made),
            deaths[-1] if deaths else None,
        )

    def _require_sweeps(self) -> None:
        require_positive("sweeps", self.sweeps)
        whole = isinstance(self.burn_in, int | np.integer) and not isinstance(self.burn_in, bool)
        if not whole or not 0 <= self.burn_in < self.sweeps:
            raise InvalidArgument(
                f"burn_in={self.burn_in!r} of sweeps={self.sweeps!r}",
                hint="the first `burn_in` of the `sweeps` are left out: an integer from 0 to below `sweeps`",
            )


def recorded_start(
    smc: SMC, model: Model[Any], rng: Rng, runtime: Runtime, chains: int = 1, *, entropies: bool = False
) -> Sweep:
    """Return runs with their draws, from a population of SMC, each chosen by its weight."""
    population = Recording(model, smc.particles, rng, runtime, entropies=entropies)
    result = smc.advance(population, Progress())
    chosen = choose(result.log_weights, chains, rng)
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


def _log_evidence(made: Sequence[Sweep]) -> float:
    return log_mean_exp(np.array([s.log_estimate for s in made if s.log_estimate is not None]))


def _increment(before: float, after: float) -> float:
    """Return the change of an estimate that may be 0, and may not stay so."""
    return after if before == -math.inf else after - before


def _step(tick: int, sweep: Sweep, increment: float) -> Step:
    return Step(tick, sweep.size, sweep.ess, increment, moved=sweep.moved)
