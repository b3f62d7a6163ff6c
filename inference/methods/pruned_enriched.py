"""Pruning and enrichment: runs that do badly are given up on the way, those that do well are copied. Exact.

N runs begin with weight 1. At each tick, before the draw, the weight w of each live run is compared with the estimate
of the evidence so far, Ẑ = (1/N) Σ w over all runs, finished ones included:

    w < lower · Ẑ:   Russian roulette: it goes on with probability w / (lower · Ẑ), and then weighs lower · Ẑ;
    w > upper · Ẑ:   it is split into k = ⌈w / (upper · Ẑ)⌉ copies, which weigh w / k each.

In both cases E[copies · new weight] = w given all that came before, so that the evidence (1/N) Σ w and every weighted
sum stay unbiased. Ẑ may depend on the population, since it is known when the decision is made. The number of runs is
not fixed: after each comparison the live ones weigh from lower · Ẑ to upper · Ẑ, so that on average there are at most
N / lower. Unlike resampling, each run is decided on for itself, and runs of moderate weight are left alone. A finished
run costs nothing more, and stays.

References: Grassberger (1997), *Pruned-enriched Rosenbluth method: simulations of θ polymers of chain length up to
1 000 000*; in this form, a population that advances together, Grassberger (2002), *Go with the winners: a general Monte
Carlo strategy*; for roulette and splitting Kahn and Harris (1951), *Estimation of particle transmission by random
sampling*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.diagnostics import Step
from inference.methods.base import Method, Result, require_positive
from inference.progress import Progress
from inference.resampling import Ancestors
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.weights import Floats, effective_sample_size, log_sum_exp
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class PrunedEnriched(Method):
    """Runs that are pruned by roulette and enriched by copies; exact, for any thresholds.

    Parameters
    ----------
    particles:
        N, the runs at the start, at least 1.
    lower:
        The share of the estimated evidence below which the weight of a run puts it to the roulette; from 0, which
        prunes nothing, to 1.
    upper:
        The multiple of the estimated evidence above which a run is split, at least 1; infinity splits nothing.

    Notes
    -----
    With `lower=0, upper=inf` it is importance sampling. Enrichment alone never loses a run, but the population may grow
    to the number of tokens times N / upper; pruning alone makes it smaller and smaller.
    """

    particles: int = 16
    lower: float = 0.5
    upper: float = 2.0

    def __post_init__(self) -> None:
        require_positive("particles", self.particles)
        bounds = (("lower", self.lower, 0.0, 1.0), ("upper", self.upper, 1.0, math.inf))
        for name, value, least, most in bounds:
            if not isinstance(value, int | float) or not least <= value <= most:
                raise InvalidArgument(f"{name}={value!r}", hint=f"a number from {least:g} to {most:g}")

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run the population to its end."""
        scheduler = Scheduler(model, self.particles, rng, runtime)
        steps: list[Step] = []
        log_evidence = 0.0
        try:
            scheduler.start()
            while live := len(scheduler.live):
                scheduler.propose()
                ess = effective_sample_size(scheduler.log_weights)
                if scheduler.live and not scheduler.forced:
                    scheduler.select(*self._decide(scheduler))
                scheduler.draw()
                before, log_evidence = log_evidence, self._log_evidence(scheduler.log_weights)
                steps.append(Step(len(steps) + 1, live, ess, log_evidence - before))
                progress.update(steps[-1], scheduler.drawn)
        finally:
            scheduler.close()
        return Result(
            scheduler.particles,
            scheduler.log_weights,
            self._log_evidence(scheduler.log_weights),
            steps,
            scheduler.drawn,
            scheduler.last_death or (None if scheduler.particles else "the roulette left no run"),
        )

    def _log_evidence(self, log_weights: Floats) -> float:
        """Return the log of Ẑ: the mean is over the runs that began, however many there are now."""
        return log_sum_exp(log_weights) - math.log(self.particles)

    def _decide(self, scheduler: Scheduler) -> tuple[Ancestors, Floats]:
        """Draw which runs go on, each perhaps several times, and what they weigh then."""
        log_level = self._log_evidence(scheduler.log_weights)
        ancestors, log_weights = list[int](), list[float]()
        for i, log_weight in enumerate(scheduler.log_weights.tolist()):
            copies, new_weight = 1, log_weight
            if scheduler.particles[i].live:
                copies, new_weight = self._copies(log_weight, log_level, scheduler.rng)
            ancestors += [i] * copies
            log_weights += [new_weight] * copies
        return np.array(ancestors, dtype=np.int64), np.array(log_weights)

    def _copies(self, log_weight: float, log_level: float, rng: Rng) -> tuple[int, float]:
        """Return how often a run goes on, and with which log-weight."""
        relative = math.exp(log_weight - log_level)
        if relative < self.lower:
            share = relative / self.lower
            return int(rng.uniform([share]) < share), log_level + math.log(self.lower)
        if relative > self.upper:
            copies = math.ceil(relative / self.upper)
            return copies, log_weight - math.log(copies)
        return 1, log_weight
