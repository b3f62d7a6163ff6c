"""Particle Gibbs: each sweep is an SMC population around the run that the last one chose.

From a run y*, conditional SMC (`inference.conditional`) draws N - 1 others with y* retained among them, and the next
state is one of the N finished runs, chosen by its weight. That leaves the posterior over runs invariant for any N from
2 on, and is reversible. The more particles, the more often it moves; where the weights are even, y* is left behind with
probability (N - 1) / N. Where the population collapses onto y*, early tokens stay for many sweeps.

The evidence is estimated by the first sweep, which is SMC without a retained run. Later populations hold a run from
the posterior: their mean weights are too large on average, and are not used.

Reference: Andrieu, Doucet and Holenstein (2010), *Particle Markov chain Monte Carlo methods*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from inference.conditional import CONDITIONAL_SCHEMES, Conditional, ConditionalScheme, conditional_resample
from inference.methods.base import require_positive
from inference.methods.chain import Chain, Sweep, choose, stored_start
from inference.methods.smc import SMC
from inference.path_storage import PathStorage, Run
from inference.progress import Progress
from inference.runtime import Runtime
from inference.weights import effective_sample_size
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class ParticleGibbs(Chain):
    """Particle Gibbs with N particles; asymptotically exact in the number of sweeps.

    Parameters
    ----------
    particles:
        N, at least 2, the retained run among them.
    sweeps:
        States of the chain after the start.
    burn_in:
        How many of them are left out.
    start_particles:
        Size of the population that the first state is drawn from, and that estimates the evidence; None: N.
    ess_threshold:
        As of `SMC`.
    resampling:
        "multinomial", "residual", "systematic" or "stratified".
    """

    particles: int = 16
    sweeps: int = 100
    burn_in: int = 0
    start_particles: int | None = None
    ess_threshold: float = 0.5
    resampling: ConditionalScheme = "multinomial"

    def __post_init__(self) -> None:
        require_positive("particles", self.particles)
        self._require_sweeps()
        if self.particles < 2:
            raise InvalidArgument("particles=1", hint="at least 2: the retained run is one of them")
        if self.start_particles is not None:
            require_positive("start_particles", self.start_particles)
        if self.resampling not in CONDITIONAL_SCHEMES:
            raise InvalidArgument(
                f"resampling={self.resampling!r}", hint=f"one of {', '.join(CONDITIONAL_SCHEMES)}"
            )
        self._smc(self.particles)

    @property
    @override
    def recordable(self) -> bool:
        """False: its runs begin in the middle of others."""
        return False

    def start(self, model: Model[Any], rng: Rng, runtime: Runtime) -> Sweep:
        """Draw the first run from SMC."""
        size = self.start_particles or self.particles
        return stored_start(self._smc(size), PathStorage(model, size, rng, runtime))

    def sweep(self, runs: tuple[Run, ...], model: Model[Any], rng: Rng, runtime: Runtime) -> Sweep:
        """Draw a population around the run, and choose one of its runs."""
        (retained,) = runs
        population = Conditional(model, self.particles, rng, runtime, retained)
        result = self._smc(self.particles).advance(population, Progress(), conditional_resample)
        (k,) = choose(result.log_weights, 1, rng)
        run = population.run(k)
        moved = float(run.particle is not retained.particle)
        return Sweep((run,), self.particles, effective_sample_size(result.log_weights), result.drawn, moved)

    def _smc(self, particles: int) -> SMC:
        return SMC(particles, self.ess_threshold, self.resampling)
