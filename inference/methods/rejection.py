"""Rejection sampling: independent exact draws from the posterior.

A run with weight w is kept with probability w / exp(log_bound). What is kept is an independent draw from the
normalised posterior, with equal weights; kept / attempts · exp(log_bound) is an unbiased estimate of the
evidence. The bound must hold: masks and conditions give weights of at most 1, so 0 is right for programs whose
factors are at most 0; a larger weight is an error, not a wrong sample.

Reference: von Neumann (1951), *Various techniques used in connection with random digits*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.diagnostics import Step
from inference.errors import BoundExceeded
from inference.methods.base import Method, Result, require_positive
from inference.methods.importance import Importance
from inference.particle import Death, Particle
from inference.progress import Progress
from inference.runtime import Runtime
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng

_ROUNDING = 1e-6
"""Nats per tick by which a weight may exceed the bound: what a mask that removes nothing adds in float32."""


@dataclass(frozen=True)
class Rejection(Method):
    """Rejection sampling with a fixed number of attempts.

    Parameters
    ----------
    attempts:
        How many runs to make, at least 1.
    log_bound:
        An upper bound, in nats, on the log-weight of any run.
    batch:
        How many runs advance together.
    """

    attempts: int = 64
    log_bound: float = 0.0
    batch: int = 32

    def __post_init__(self) -> None:
        require_positive("attempts", self.attempts)
        require_positive("batch", self.batch)
        if not math.isfinite(self.log_bound):
            raise InvalidArgument(f"log_bound={self.log_bound}", hint="a finite number of nats")

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Make all attempts, in batches."""
        kept: list[Particle] = []
        steps: list[Step] = []
        drawn = 0
        last_death: Death | str | None = None
        for start in range(0, self.attempts, self.batch):
            size = min(self.batch, self.attempts - start)
            result = Importance(size).run(model, rng, runtime, progress)
            steps += result.steps
            drawn += result.drawn
            last_death = result.last_death or last_death
            pairs = zip(result.particles, result.log_weights.tolist(), strict=True)
            kept += [particle for particle, w in pairs if self._keep(w, len(result.steps), rng)]
        if not kept and last_death is None:
            last_death = (
                f"all {self.attempts} attempts were rejected: their weights are far below "
                f"log_bound={self.log_bound:.6g}; raise attempts, or lower log_bound to what no run exceeds"
            )
        evidence = len(kept) / self.attempts
        log_evidence = math.log(evidence) + self.log_bound if kept else -math.inf
        return Result(kept, np.zeros(len(kept)), log_evidence, steps, drawn, last_death)

    def _keep(self, log_weight: float, ticks: int, rng: Rng) -> bool:
        excess = log_weight - self.log_bound
        if excess > _ROUNDING * max(ticks, 1):
            raise BoundExceeded(
                f"a run has log-weight {log_weight:.6g}, above log_bound={self.log_bound:.6g}",
                hint="pass a log_bound that no run exceeds (the sum of the largest factors), or use SMC",
            )
        share = math.exp(min(excess, 0.0))
        return share > 0.0 and (share == 1.0 or rng.uniform([share]) < share)
