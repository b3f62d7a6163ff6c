"""Resample-move SMC: copies that resampling has made part again, also in what they had written by then.

Resampling gives many runs one past. In fixed ticks a Markov kernel that leaves the current intermediate target as it is
draws a part of the past of each live run anew, and accepts or rejects (`inference.rejuvenation`, which says why the
ticks must be fixed). The moved runs have the law that they had, so that weights, evidence and expectations are those of
SMC, and as unbiased.

What it costs: a move writes at most `lag` tokens of each run anew, all runs in one batch; with `every` as large as that
half a token for each token that is kept.

References: Gilks and Berzuini (2001), *Following a moving target: Monte Carlo inference for dynamic Bayesian models*;
Chopin (2002), *A sequential particle filter method for static models*; for the moves Goodman, Mansinghka, Roy, Bonawitz
and Tenenbaum (2008), *Church: a language for generative models*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from typing_extensions import override

from inference.methods.base import Method, Result, require_positive
from inference.methods.smc import SMC
from inference.progress import Progress
from inference.rejuvenation import Rejuvenated
from inference.resampling import Scheme
from inference.runtime import Runtime
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class ResampleMoveSMC(Method):
    """Sequential Monte Carlo with N particles, whose live runs are moved by Metropolis-Hastings on the way.

    Parameters
    ----------
    particles:
        N, at least 1.
    every:
        Runs are moved in every `every`-th tick, after its resampling if there is one.
    moves:
        How often each run is moved then, at least 1.
    lag:
        A move draws at most so many of the last draws (tokens and finite values) anew; None: any number of them, half
        of the text on average.
    ess_threshold, resampling:
        As of `SMC`.

    Notes
    -----
    Sites keep the masks and checks that they begin with, and there are no drafts: a move has to draw by the law that
    the run was drawn by, up to the same tick. `Step.rejuvenated` is the share of the moves that were accepted. After
    the last token nothing is moved: weights that come with it, of a condition on the whole text, say, are as uneven as
    in SMC.
    """

    particles: int = 16
    every: int = 16
    moves: int = 1
    lag: int | None = 16
    ess_threshold: float = 0.5
    resampling: Scheme = "systematic"

    def __post_init__(self) -> None:
        for name in ("every", "moves"):
            require_positive(name, getattr(self, name))
        if self.lag is not None:
            require_positive("lag", self.lag)
        self._smc()

    @property
    @override
    def recordable(self) -> bool:
        """False: what moves begins in the middle of other runs."""
        return False

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run the population to its end."""
        runtime.drafts, runtime.adaptive = None, False
        population = Rejuvenated(
            model, self.particles, rng, runtime, every=self.every, moves=self.moves, lag=self.lag
        )
        result = self._smc().advance(population, progress)
        shares = population.shares
        steps = [replace(step, rejuvenated=shares.get(tick)) for tick, step in enumerate(result.steps)]
        return replace(result, steps=steps)

    def _smc(self) -> SMC:
        return SMC(self.particles, self.ess_threshold, self.resampling)
