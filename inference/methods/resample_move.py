"""Resample-move SMC: after each resampling the runs are moved, so that copies part before the point where they are.

Resampling gives many runs one past. A Markov kernel that leaves the current intermediate target as it is
(`inference.rejuvenation`) draws a part of each run's past anew and accepts or rejects. Since the copies have the law of
that target, so have the moved runs: weights, evidence and expectations are those of SMC, with the same unbiasedness.

What it costs: a move writes a new ending from a cut up to the present, half of the text on average, for all runs in one
batch. With `lag=L` it is at most L tokens, and what is older than that stays.

References: Gilks and Berzuini (2001), *Following a moving target: Monte Carlo inference for dynamic Bayesian models*;
Chopin (2002), *A sequential particle filter method for static models*; moves as in Goodman et al. (2008), *Church*.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from inference.diagnostics import Step
from inference.methods.base import Method, Result, require_positive
from inference.methods.smc import SMC
from inference.progress import Progress
from inference.recording import Recorder
from inference.rejuvenation import Rejuvenated
from inference.resampling import Scheme
from inference.runtime import Runtime
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class ResampleMoveSMC(Method):
    """Sequential Monte Carlo with N particles, and Metropolis-Hastings moves after each resampling.

    Parameters
    ----------
    particles:
        N, at least 1.
    moves:
        How often each run is moved after a resampling, at least 1.
    lag:
        Moves draw at most so many of the last draws (tokens and finite values) anew; None: all that there are.
    ess_threshold, resampling:
        As of `SMC`.

    Notes
    -----
    Sites keep their masks and checks as they begin, and there are no drafts: a move has to draw by the law that the
    run was drawn by, up to the same tick. `Step.moved` is the share of the runs that a resampling moved.
    """

    particles: int = 16
    moves: int = 1
    lag: int | None = None
    ess_threshold: float = 0.5
    resampling: Scheme = "systematic"

    def __post_init__(self) -> None:
        require_positive("moves", self.moves)
        if self.lag is not None:
            require_positive("lag", self.lag)
        self._smc()

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run the population to its end.

        Raises
        ------
        InvalidArgument
            If moves are recorded: a record is of populations that begin at the program's start.
        """
        if type(runtime.recorder) is not Recorder:
            raise InvalidArgument(
                f"record=True of {self!r}, whose runs begin in the middle of others",
                hint="leave it out; SMC can be recorded",
            )
        runtime.drafts, runtime.adaptive = None, False
        population = Rejuvenated(model, self.particles, rng, runtime, self.moves, self.lag)
        result = self._smc().advance(population, progress)
        shares = iter(population.shares)
        return replace(result, steps=[_with_share(step, shares) for step in result.steps])

    def _smc(self) -> SMC:
        return SMC(self.particles, self.ess_threshold, self.resampling)


def _with_share(step: Step, shares: Iterator[float]) -> Step:
    """Return a step with the share of the runs that moved, if it resampled."""
    return replace(step, moved=next(shares)) if step.resampled else step
