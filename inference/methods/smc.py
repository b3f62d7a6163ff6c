"""Sequential Monte Carlo: particles that are resampled when their weights become uneven.

N runs advance a token at a time. At each tick every live run gets the weight of its next token, which for all
kernels with a mask is known before the token is drawn; if the effective sample size has fallen below a share of
N the population is resampled there, *before* the draw, so that copies part at once. A tick in which no run has a
choice of tokens, such as the forced end at `max_tokens`, does not resample, since copies would not part; the
weights wait for the next tick that does. There is never a resampling after the last move. The mean weight is an
unbiased estimate of the evidence, and with the weights every expectation is estimated consistently; if all runs
die the estimate is 0.

References: Del Moral, Doucet and Jasra (2006), *Sequential Monte Carlo samplers*; Lew, Zhi-Xuan, Grand and
Mansinghka (2023), *Sequential Monte Carlo steering of large language models using probabilistic programs*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from typing_extensions import override

from inference.diagnostics import Step
from inference.learned_twist import LearnedTwist, Twisted, learn
from inference.methods.base import Method, Result, require_positive
from inference.progress import Progress
from inference.resampling import SCHEMES, Resampler, Scheme, resample
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.weights import effective_sample_size, log_mean_exp, normalise
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class SMC(Method):
    """Sequential Monte Carlo with N particles.

    Parameters
    ----------
    particles:
        N, at least 1.
    ess_threshold:
        Resample when ESS < ess_threshold · N; between 0 (never) and 1 (whenever weights differ).
    resampling:
        "multinomial", "stratified", "systematic", "residual" or "ssp".
    bridge:
        For powers, products and guidance: the exponents move from the first expert by itself to those of the target
        over so many tokens (`inference.bridging`). It evens the weights where the target is far from its experts, and
        changes neither the target nor the evidence. None: the exponents are those of the target from the start.
    twist:
        What adaptive attempts have learned of where runs fail (`inference.learned_twist`): particles are drawn and
        weighed by it, which changes neither the target nor the evidence. Of `learn_twist(model)`, for runs on the same
        model; or an integer, so many attempts are made first, in each run. None: no twist.
    """

    particles: int = 16
    ess_threshold: float = 0.5
    resampling: Scheme = "systematic"
    bridge: int | None = None
    twist: LearnedTwist | int | None = None

    def __post_init__(self) -> None:
        require_positive("particles", self.particles)
        if not isinstance(self.ess_threshold, int | float) or not 0.0 <= self.ess_threshold <= 1.0:
            raise InvalidArgument(
                f"ess_threshold={self.ess_threshold!r}", hint="a share of N between 0 and 1"
            )
        if self.bridge is not None:
            require_positive("bridge", self.bridge)
        if self.twist is not None and not isinstance(self.twist, LearnedTwist):
            require_positive("twist", self.twist)
        if self.twist is not None and self.bridge is not None:
            raise InvalidArgument("bridge and twist together", hint="leave one of them out")
        if self.resampling not in SCHEMES:
            raise InvalidArgument(f"resampling={self.resampling!r}", hint=f"one of {', '.join(SCHEMES)}")

    def __repr__(self) -> str:
        bridge = "" if self.bridge is None else f", bridge={self.bridge}"
        twist = "" if self.twist is None else f", twist={self.twist!r}"
        return (
            f"SMC(particles={self.particles}, ess_threshold={self.ess_threshold}, "
            f"resampling={self.resampling!r}{bridge}{twist})"
        )

    @property
    @override
    def recordable(self) -> bool:
        """Whether there is no twist, with which a record would show other weights."""
        return self.twist is None

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run the population to its end.

        Raises
        ------
        InvalidArgument
            If the twist was learned from another model; if weights are random given the choices of a run, so that
            nothing can be learned of them.
        """
        runtime.bridge = self.bridge
        if self.twist is None:
            return self.advance(Scheduler(model, self.particles, rng, runtime), progress)
        if isinstance(self.twist, LearnedTwist):
            self.twist.require(model)
            return self.advance(Twisted(model, self.particles, rng, runtime, self.twist), progress)
        twist = learn(model, self.twist, min(self.twist, 8), rng, runtime)
        result = self.advance(Twisted(model, self.particles, rng, runtime, twist), progress)
        return replace(result, drawn=result.drawn + twist.drawn)

    def advance(self, scheduler: Scheduler, progress: Progress, resampler: Resampler = resample) -> Result:
        """Run a population of N to its end, of whatever kind; `resampler` draws the ancestors."""
        try:
            scheduler.start()
            steps: list[Step] = []
            log_evidence = 0.0
            while live := scheduler.live:
                step = self._tick(scheduler, resampler, len(steps) + 1, len(live), log_evidence)
                log_evidence += step.log_increment
                steps.append(step)
                progress.update(step, scheduler.drawn)
        finally:
            scheduler.close()
        return Result(
            scheduler.particles,
            scheduler.log_weights,
            log_mean_exp(scheduler.log_weights),
            steps,
            scheduler.drawn,
            scheduler.last_death,
        )

    def _tick(self, scheduler: Scheduler, resampler: Resampler, tick: int, live: int, before: float) -> Step:
        """Weigh, resample if needed, draw; `before` is the log-evidence after the last tick.

        A tick of which nobody survives the weighing draws nothing.
        """
        scheduler.propose()
        ess = effective_sample_size(scheduler.log_weights)
        ancestors = None
        if scheduler.live and ess < self.ess_threshold * self.particles and not scheduler.forced:
            ancestors = resampler(self.resampling, normalise(scheduler.log_weights), scheduler.rng)
            scheduler.select(ancestors)
        scheduler.draw()
        increment = log_mean_exp(scheduler.log_weights) - before
        chosen = None if ancestors is None else tuple(int(a) for a in ancestors)
        return Step(tick, live, ess, increment if np.isfinite(increment) else -np.inf, chosen)
