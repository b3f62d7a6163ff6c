"""First finished: of k runs that write in parallel, the m that end first; the others are dropped. A heuristic.

k runs are drawn from the proposal law q of the program's kernels, a token of each at a time, with weights ω = γ / q.
As soon as m of them that have weight are finished, all others are given up where they are, and their tokens are saved.
So the m runs are those of the least length ℓ, the number of tokens over all texts with their ends, and of equal
lengths those that come first in the population: the law of the m shortest of k. With s(ℓ) the probability that a run
of length ℓ is among them,

    E[(1/k) Σ_kept ω 1{x}] = γ(x) s(ℓ(x)),        s decreasing in ℓ, s = 1 for m = k.

So the target is γ · s, which favours short runs, and its mass is at most that of γ. A majority of the kept ones is
`posterior.vote`, in which ties go to the shortest; with m = 1 it is the first finish.

Reference: Hassid et al. (2025), *Don't overthink it: preferring shorter thinking chains for improved LLM reasoning*,
where it is called short-m@k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.diagnostics import Step
from inference.methods.base import Method, Result, require_positive
from inference.progress import Progress
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.weights import effective_sample_size, log_mean_exp, log_sum_exp
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class FirstFinished(Method):
    """The m of k independent runs that end first: a heuristic, whose target favours short runs.

    The samples are in the order in which they ended, with their weights. `log_evidence` is the log of an unbiased
    estimate of the mass of the distorted target, which is at most the program's.

    Parameters
    ----------
    particles:
        k, the runs that are begun, at least 1.
    keep:
        m, how many of them are waited for, from 1 to k. Runs without weight are not counted.
    """

    particles: int = 16
    keep: int = 4

    def __post_init__(self) -> None:
        require_positive("particles", self.particles)
        require_positive("keep", self.keep)
        if self.keep > self.particles:
            raise InvalidArgument(
                f"keep={self.keep} of particles={self.particles}", hint="no more are kept than are begun"
            )

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run until enough have ended."""
        runtime.drafts = None  # every run writes one token in a tick, so that the shortest end first
        scheduler = Scheduler(model, self.particles, rng, runtime)
        steps: list[Step] = []
        log_evidence = 0.0
        try:
            scheduler.start()
            ended = self._ended(scheduler, [])
            while len(ended) < self.keep and (live := len(scheduler.live)):
                scheduler.propose()
                ess = effective_sample_size(scheduler.log_weights)
                scheduler.draw()
                ended = self._ended(scheduler, ended)
                over = len(ended) >= self.keep or not scheduler.live
                before, log_evidence = log_evidence, self._log_evidence(scheduler, ended if over else None)
                increment = log_evidence - before
                steps.append(Step(len(steps) + 1, live, ess, increment))
                progress.update(steps[-1], scheduler.drawn)
        finally:
            scheduler.close()
        return Result(
            [scheduler.particles[i] for i in ended],
            scheduler.log_weights[ended],
            self._log_evidence(scheduler, ended),
            steps,
            scheduler.drawn,
            scheduler.last_death,
        )

    def _ended(self, scheduler: Scheduler, before: list[int]) -> list[int]:
        """Return who has ended with weight, the first first, as far as they are kept."""
        finished = [i for i, p in enumerate(scheduler.particles) if p.finished and p.death is None]
        return [*before, *(i for i in finished if i not in before)][: self.keep]

    def _log_evidence(self, scheduler: Scheduler, kept: list[int] | None) -> float:
        """Return the log of the kept runs' part of the mean weight, or of all of it while nobody is dropped."""
        if kept is None:
            return log_mean_exp(scheduler.log_weights)
        return log_sum_exp(scheduler.log_weights[np.array(kept, dtype=np.int64)]) - math.log(self.particles)
