r"""Adaptive rejection sampling: independent exact draws from the posterior, from proposals that learn what fails.

Rejection sampling draws a run of the program, weight w, and keeps it with probability w / B. A run that is not kept
has cost as much as one that is, and the next one may fail in the same place. Here a trie of what all runs so far have
met (`inference.mass_trie`) holds an upper bound U(s) on the probability that a run that begins with s will be kept,
and the next runs are drawn in proportion to it (`inference.attempts`). Let x be a complete run, γ(x) its unnormalised
posterior mass, and let c_k = B U(root) when attempt k begins. Given all attempts before,

    P(attempt k ends in x and is accepted) = γ(x) / c_k,

since a run is drawn in proportion to the bounds *and* then accepted with what corrects for them. So what is accepted
is a draw from γ / Z, Z = Σ γ, whatever the trie has learned, and independent of all before it; attempt k is accepted
with probability Z / c_k, which grows towards 1 as the bound c_k falls towards Z. Attempts that advance together in a
batch are independent of each other for the same reason, though each learns from the others at once: their joint
probability is a product of such terms. Sampling in proportion to the bounds *without* the acceptance test is ASAp
(Park et al.), whose samples are biased until everything has been learned.

**Which are returned.** The first n accepted, in the order of attempts. Given the first j - 1, the j-th is a draw from
the posterior: sum γ(x) / c_k over the attempts that it may be. If `max_attempts` cuts this short, the *number* of
samples may depend on their values, since these shaped the trie; the law of the samples is then off by at most the
probability of being cut short, in total variation.

**The evidence.** Let attempt k take the time E_k / c_k, E_k standard exponential. Then the attempts are points of a
process with intensity c_k, thinned with probability Z / c_k: what is accepted is a Poisson process with rate Z,
however c_k was chosen from the past. The time τ of its n-th point has E[(n - 1) / τ] = Z. With the E_k integrated
out,

    Ẑ = E[(n - 1) / τ | c_1 ... c_T] = (n - 1) ∫_0^∞ Π_{k<=T} c_k / (c_k + t) dt,

where T is the attempt of the n-th acceptance: unbiased for n >= 2, also together with the samples (the points of a
Poisson process are independent of their marks). For equal c_k it is c (n - 1) / (T - 1), the estimate of Haldane
(1945), *On a method of estimating frequencies*. With one sample, or where `max_attempts` was reached, the estimate is
the mean of c_k over all attempts, rejected ones counted as 0; unbiased for a fixed number of attempts, too high on
average for one that ends with the first success.

References: Parys et al. (2025), *Constrained adaptive rejection sampling*; Park et al. (2024), *Grammar-aligned
decoding*. Batches, weights, conditions, whole programs, tests as early as possible and the evidence are additions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.attempts import Attempts
from inference.diagnostics import Step
from inference.estimators import AWRS
from inference.mass_trie import Node
from inference.methods.base import Method, Result, require_positive
from inference.particle import Death, Particle
from inference.progress import Progress
from inference.runtime import Runtime
from inference.weights import Floats, log_sum_exp
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class AdaptiveRejection(Method):
    """Rejection sampling that learns from its rejections, until there are enough samples.

    Parameters
    ----------
    samples:
        How many samples to return, at least 1; with 2 or more the evidence is unbiased.
    max_attempts:
        Stop after so many attempts, with the samples there are.
    log_bound:
        An upper bound, in nats, on what the gains of any run add up to: positive factors and potentials, normalisers
        of powers above 1. Losses (masks, observations, negative factors) are not set off against them. 0 where
        nothing can add to a weight.
    batch:
        How many attempts advance together. Fewer learn more from each other, more share the passes of the language
        model.
    """

    samples: int = 16
    max_attempts: int = 10_000
    log_bound: float = 0.0
    batch: int = 8

    def __post_init__(self) -> None:
        for name in ("samples", "max_attempts", "batch"):
            require_positive(name, getattr(self, name))
        if not math.isfinite(self.log_bound) or self.log_bound < 0.0:
            raise InvalidArgument(
                f"log_bound={self.log_bound}", hint="a finite number of nats, at least 0: gains add up from 0"
            )

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Make attempts until there are enough samples.

        Raises
        ------
        BoundExceeded
            If the gains of a run exceed `log_bound`.
        InvalidArgument
            If weights are random given the choices of a run, as those of lookaheads are; or if the run was given
            settings for AWRS, which estimates masses that are never needed here.
        """
        if runtime.awrs != AWRS():
            raise InvalidArgument(
                f"awrs={runtime.awrs!r} has no effect under {self!r}",
                hint="leave awrs out, or use SMC, Importance or Rejection",
            )
        root, kept, steps = Node(), list[Particle](), list[Step]()
        log_rates, accepted_rates = (
            list[float](),
            list[float](),
        )  # log c_k of all attempts, and of those accepted
        drawn = 0
        last_death: Death | str | None = None
        while len(kept) < self.samples and len(log_rates) < self.max_attempts and root.log_bound > -math.inf:
            log_rate = self.log_bound + root.log_bound
            size = min(self.batch, self.max_attempts - len(log_rates))
            attempts = Attempts(model, size, rng, runtime, root, self.log_bound)
            _advance(attempts, steps, drawn, progress)
            drawn += attempts.drawn
            last_death = attempts.last_death or last_death
            for particle, accepted in zip(attempts.particles, attempts.accepted.tolist(), strict=True):
                if len(kept) < self.samples:
                    log_rates.append(log_rate)
                    if accepted:
                        kept.append(particle)
                        accepted_rates.append(log_rate)
        if len(kept) == self.samples >= 2:
            log_evidence = log_rate_of_points(self.samples, np.array(log_rates))
        else:
            log_evidence = log_sum_exp(np.array(accepted_rates)) - math.log(len(log_rates))
        if not kept and last_death is None:
            last_death = (
                f"none of {len(log_rates)} attempts was accepted; raise max_attempts, or lower log_bound"
            )
        return Result(kept, np.zeros(len(kept)), log_evidence, steps, drawn, last_death)


def _advance(attempts: Attempts, steps: list[Step], drawn: int, progress: Progress) -> None:
    """Run attempts to their ends; a step tells how many are left and which share of them a tick left."""
    try:
        before = len(attempts.particles)
        attempts.start()
        while live := attempts.live:
            attempts.propose()
            attempts.draw()
            left = len(attempts.live) + int(attempts.accepted.sum())
            increment = math.log(left / before) if left else -math.inf
            steps.append(Step(len(steps) + 1, len(live), float(left), increment))
            progress.update(steps[-1], drawn + attempts.drawn)
            before = left
    finally:
        attempts.close()


def log_rate_of_points(points: int, log_rates: Floats) -> float:
    """Return log of the estimate of a rate from the thinned points of a process, see the module.

    The integral over t = exp(v) is one of a function that is analytic in a strip of half-width π/2 and bounded there by
    its size on the line, so the trapezoidal rule with step 1/4 errs by a relative exp(-39).

    Parameters
    ----------
    points:
        n >= 2, how many were left by thinning; the last one is the last of all.
    log_rates:
        (T,) log c_k, in nats.
    """
    distinct, counts = np.unique(log_rates, return_counts=True)
    v = np.arange(-log_sum_exp(-log_rates) - 40.0, float(log_rates.max()) + 40.0, 0.25)
    log_f = v.copy()
    for log_rate, count in zip(distinct.tolist(), counts.tolist(), strict=True):
        log_f -= count * np.logaddexp(0.0, v - log_rate)
    return math.log((points - 1) * 0.25) + log_sum_exp(log_f)
