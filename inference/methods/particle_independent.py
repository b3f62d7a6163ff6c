"""Particle independent Metropolis-Hastings: whole SMC runs are proposed, and accepted by their evidence.

A state is a run with the estimate Ẑ of the population that it was chosen from by its weight. A fresh population with
the estimate Ẑ' replaces it with probability

    min(1, Ẑ' / Ẑ),

which leaves the measure Ẑ ψ of populations (ψ the law of SMC) invariant and is reversible; under it a run that is
chosen by its weight has the law of the posterior. Proposals do not depend on the state: the mean of all Ẑ, rejected
ones included, is an unbiased estimate of the evidence. The chain moves often where log Ẑ varies by less than about 1.

Reference: Andrieu, Doucet and Holenstein (2010), *Particle Markov chain Monte Carlo methods*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from inference.methods.chain import Chain, Sweep, accepted, choose
from inference.methods.smc import SMC
from inference.path_storage import Run
from inference.progress import Progress
from inference.resampling import Scheme
from inference.runtime import Runtime
from inference.weights import effective_sample_size
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class ParticleIndependentMH(Chain):
    """Particle independent Metropolis-Hastings with populations of N; asymptotically exact in the number of sweeps.

    Parameters
    ----------
    particles:
        N, at least 1.
    sweeps:
        States of the chain after the start, each from a population of its own.
    burn_in:
        How many of them are left out.
    ess_threshold, resampling, bridge:
        As of `SMC`.
    """

    particles: int = 16
    sweeps: int = 100
    burn_in: int = 0
    ess_threshold: float = 0.5
    resampling: Scheme = "systematic"
    bridge: int | None = None
    revives: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._require_sweeps()
        self._smc()

    def start(self, model: Model[Any], rng: Rng, runtime: Runtime) -> Sweep:
        """Draw a population, and a run from it."""
        result = self._smc().run(model, rng, runtime, Progress())
        chosen = choose(result.log_weights, 1, rng)
        return Sweep(
            tuple(Run(result.particles[k], result.log_evidence) for k in chosen),
            self.particles,
            effective_sample_size(result.log_weights),
            result.drawn,
            log_estimate=result.log_evidence,
            last_death=result.last_death,
        )

    def sweep(self, runs: tuple[Run, ...], model: Model[Any], rng: Rng, runtime: Runtime) -> Sweep:
        """Propose a population; keep the old run, if there is one, unless it is accepted."""
        fresh = self.start(model, rng, runtime)
        moves = bool(fresh.runs) and (
            not runs or accepted(fresh.runs[0].log_weight - runs[0].log_weight, rng)
        )
        return replace(fresh, runs=fresh.runs if moves else runs, moved=float(moves))

    def _smc(self) -> SMC:
        return SMC(self.particles, self.ess_threshold, self.resampling, self.bridge)
