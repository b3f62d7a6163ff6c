"""Best of N: the one of N independent runs that ranks highest. A heuristic.

N runs are drawn from the proposal law q of the program's kernels, each with its weight ω = γ / q, and the one of the
largest rank r(x) is kept: r = ω, or a function of the value. With G(t) = Σ_{x : r(x) <= t} q(x) the law of the rank of
one run, and without ties, the run that is kept is x with probability

    G(r(x))^N - G(r(x)-)^N,

which is not the posterior for any N: for N = 1 it is q, and as N grows it gathers on the runs of the largest rank that
q can draw, whatever their mass. Its divergence from q is at most log N - (N - 1) / N. With a least rank τ the best is
kept if its rank is at least τ; else, with probability G(τ-)^N, the method abstains. Where ω is estimated while the run
is drawn, as by rejection sampling, the estimate ranks.

References: Stiennon et al. (2020), *Learning to summarize from human feedback*; Cobbe et al. (2021), *Training
verifiers to solve math word problems*; for the bound Beirami et al. (2024), *Theoretical guarantees on the best-of-n
alignment policy*.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from inference.methods.base import Method, Result, require_positive
from inference.methods.importance import Importance
from inference.particle import Particle
from inference.progress import Progress
from inference.runtime import Runtime
from ppl.errors import InvalidArgument, ProgramError
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class BestOfN(Method):
    """The best of N independent runs: a heuristic, whose target is the law of the best of N.

    The posterior has one sample, the run of the highest rank that has weight; of equal ranks the first. All N runs
    count in `log_evidence`, which is that of importance sampling and unbiased for the program's own evidence.

    Parameters
    ----------
    particles:
        N, at least 1.
    by:
        A function of the value, whose largest result is kept: a reward, a verifier's score. None: the weight.
    least:
        The rank below which the method abstains: if no run reaches it, the posterior has no samples, and says why.
        None: it never abstains.
    """

    particles: int = 16
    by: Callable[[Any], float] | None = None
    least: float | None = None

    def __post_init__(self) -> None:
        require_positive("particles", self.particles)
        if self.by is not None and not callable(self.by):
            raise InvalidArgument(f"by={self.by!r}", hint="a function of the program's value, or None")
        if self.least is not None and (not isinstance(self.least, int | float) or math.isnan(self.least)):
            raise InvalidArgument(
                f"least={self.least!r}", hint="the least rank of an answer, a number, or None"
            )

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run all to their ends, and keep one."""
        result = Importance(self.particles).run(model, rng, runtime, progress)
        ranks = [
            self._rank(particle, log_weight)
            for particle, log_weight in zip(result.particles, result.log_weights.tolist(), strict=True)
        ]
        runtime.judged += 0 if self.by is None else sum(has_weight for has_weight, _ in ranks)
        best = max(range(self.particles), key=ranks.__getitem__)
        if self.least is not None and ranks[best][0] and ranks[best][1] < self.least:
            reason = f"abstained: the best of {self.particles} ranks {ranks[best][1]:.6g}, below least={self.least:.6g}"
            return replace(result, particles=[], log_weights=np.zeros(0), last_death=reason)
        return replace(result, particles=[result.particles[best]], log_weights=result.log_weights[[best]])

    def _rank(self, particle: Particle, log_weight: float) -> tuple[bool, float]:
        """Return what runs are compared by: those without weight come last."""
        if log_weight == -math.inf or self.by is None:
            return log_weight > -math.inf, log_weight
        try:
            rank = self.by(particle.value)
        except Exception as error:
            raise ProgramError(
                f"by={self.by!r} raised {type(error).__name__} at the value {particle.value!r}: {error}",
                hint="it is asked of the value of each run that has weight",
            ) from error
        if not isinstance(rank, Real) or math.isnan(rank):
            raise InvalidArgument(
                f"by={self.by!r} returned {rank!r} at the value {particle.value!r}", hint="return a number"
            )
        return True, float(rank)
