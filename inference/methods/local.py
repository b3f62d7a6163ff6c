"""Locally constrained decoding: every token from what may come next, and no weights. A heuristic.

With A(x) the tokens that may follow the text x, each text is drawn by

    q(x) = Π_t p(x_t | x_<t) 1[x_t in A(x_<t)] / Z(x_<t),    Z(x) = Σ_{A(x)} p(v | x),

where the posterior is p(x) 1[x valid] / Z. The masses Z(x_<t) are the weights that would correct q; they are thrown
away, as libraries for constrained decoding do, so that texts that begin well and must go on badly are drawn too often.
Nothing makes this right as the particles grow. It is here to be compared with.

Where the constraint offers a mask, q is drawn from it; where it only checks, tokens are drawn without replacement until
one passes. Both give the same q.

Reference: Lipkin et al. (2025), *Fast controlled generation from language models with adaptive weighted rejection
sampling*, where this is LCD.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.diagnostics import Step
from inference.estimators import AWRS, Estimator
from inference.methods.base import Method, Result, require_positive
from inference.progress import Progress
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng
from ppl.successive import Draw


@dataclass(frozen=True)
class LocallyConstrained(Method):
    """Locally constrained decoding: a heuristic whose target is distorted.

    The samples have equal weights. A false `condition` and a dead end remove a run; `factor` and `observe` have no
    effect, nor has the mass that a constraint takes away from a text or a finite choice. `log_evidence` is the log of
    the share of the runs that finished, which estimates the mass of this method's own distribution and not the
    evidence of the program.

    Parameters
    ----------
    particles:
        N independent runs, at least 1.
    """

    particles: int = 16

    def __post_init__(self) -> None:
        require_positive("particles", self.particles)

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run the population to its end.

        Raises
        ------
        InvalidArgument
            If the run was given settings for AWRS: they are about weights, and there are none here.
        """
        if runtime.awrs != AWRS():
            raise InvalidArgument(
                f"awrs={runtime.awrs!r} has no effect under {self!r}",
                hint="leave awrs out, or use SMC, Importance or Rejection, which have weights",
            )
        runtime.awrs = _UntilAccepted()
        scheduler = Scheduler(model, self.particles, rng, runtime)
        try:
            scheduler.start()
            steps: list[Step] = []
            log_share = 0.0
            while live := scheduler.live:
                scheduler.propose()
                scheduler.draw()
                before, log_share = log_share, self._log_share(scheduler)
                ess = self.particles * math.exp(log_share)
                steps.append(Step(len(steps) + 1, len(live), ess, log_share - before))
                progress.update(steps[-1], scheduler.drawn)
        finally:
            scheduler.close()
        log_weights = np.where([p.finished for p in scheduler.particles], 0.0, -np.inf)
        return Result(
            scheduler.particles,
            log_weights,
            self._log_share(scheduler),
            steps,
            scheduler.drawn,
            scheduler.last_death,
        )

    def _log_share(self, scheduler: Scheduler) -> float:
        """Return the log of the share of the runs that are not dead."""
        alive = sum(particle.death is None for particle in scheduler.particles)
        return math.log(alive / self.particles) if alive else -math.inf


class _UntilAccepted(AWRS):
    """Checks end with the first acceptance: there is no mass to estimate."""

    def begin(self, log_top: float) -> Estimator:
        return _First(1, math.inf)


class _First(Estimator):
    """The first accepted token, with weight 1."""

    def _see(self, draw: Draw, accepted: bool) -> None:
        if accepted:
            self._finish(0.0)

    def _go_on(self, log_left: float, rng: Rng) -> None:
        if log_left == -math.inf:  # no token passed
            self._finish(-math.inf)
