"""Importance sampling: independent runs of the compiled program, weighted, never resampled.

The proposal is the program with each site drawn by its kernel; the weight is target over proposal. The mean
weight is an unbiased estimate of the evidence. Equal to SMC with `ess_threshold=0`, under its own name.

Reference: Robert and Casella (2004), *Monte Carlo statistical methods*, chapter 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference.methods.base import Method, Result, require_positive
from inference.methods.smc import SMC
from inference.progress import Progress
from inference.runtime import Runtime
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class Importance(Method):
    """Importance sampling with N independent runs.

    Parameters
    ----------
    particles:
        N, at least 1.
    """

    particles: int = 16

    def __post_init__(self) -> None:
        require_positive("particles", self.particles)

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run the population to its end."""
        return SMC(self.particles, ess_threshold=0.0).run(model, rng, runtime, progress)
