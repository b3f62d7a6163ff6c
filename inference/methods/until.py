"""Anytime inference: a method repeated with independent randomness, its weighted samples pooled, until there is enough.

Run r of R gives an unbiased estimate Ẑ_r of the evidence and samples of normalised weights W_ri. Pooled, the evidence
and the weight of a sample are

    Ẑ = (1/R) Σ_r Ẑ_r,        w_ri = Ẑ_r W_ri / R,

so that a run counts by the evidence that it found: one that found none adds nothing but its share of R. For a fixed
R, E[Σ w_ri 1{x_ri = x}] = γ(x), as for one run. Where the runs stop when something is reached, R depends on what they
were, and the estimates are consistent as the limit grows, not unbiased: a limit on the ESS looks at the weights, and
one on tokens or seconds at the lengths of the texts, on which weights depend.

References: Andrieu, Doucet and Holenstein (2010), *Particle Markov chain Monte Carlo methods*, for weights by evidence;
Glynn and Heidelberger (1990), *Bias properties of budget constrained simulations*.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from typing_extensions import override

from inference.diagnostics import Step
from inference.methods.base import Method, Result, require_positive
from inference.methods.beam import BeamSearch
from inference.methods.best_first import BestFirst
from inference.methods.best_of_n import BestOfN
from inference.methods.enumerate import Enumerate
from inference.methods.particle_independent import ParticleIndependentMH
from inference.progress import Progress
from inference.runtime import Runtime
from inference.tasks import TaskSessions
from inference.weights import log_mean_exp, log_sum_exp
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class Until(Method):
    """Repetitions of a method, until the first of several limits is reached; at least one run.

    With `runs` alone, as unbiased as the method; with any other limit consistent. On Ctrl-C the runs that have ended
    are pooled and returned, with a warning; if there is none, or in `infer_many`, the interrupt goes on.

    Parameters
    ----------
    method:
        What is repeated. Its estimates of the evidence must be those of independent runs: not `Enumerate`, `BeamSearch`
        and `BestFirst`, which come to the same each time, nor `BestOfN`, whose target is not the program's, nor
        `ParticleIndependentMH`, whose evidence is an average over populations that its samples are not weighed by.
    runs:
        At most so many runs.
    ess:
        Stop when the effective sample size of the pooled weights is at least this. It takes particles for independent,
        also those that resampling has copied. It may never be reached, so it needs another limit beside it.
    tokens:
        Stop when at least so many tokens were drawn; a run that draws none counts as one.
    seconds:
        Stop when so much time has passed.
    """

    method: Method
    runs: int | None = field(default=None, kw_only=True)
    ess: float | None = field(default=None, kw_only=True)
    tokens: int | None = field(default=None, kw_only=True)
    seconds: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.method, Method):
            raise InvalidArgument(f"Until got {self.method!r}", hint="a method: Until(SMC(16), runs=10)")
        if isinstance(self.method, Enumerate | BeamSearch | BestFirst):
            raise InvalidArgument(
                f"Until({self.method!r}): each run would be the same", hint="run it once, or wider"
            )
        if isinstance(self.method, Until):
            raise InvalidArgument(f"Until({self.method!r})", hint="one Until with all limits")
        if isinstance(self.method, BestOfN):
            raise InvalidArgument(
                f"Until({self.method!r}): the best of several runs has no weight to be pooled by",
                hint="BestOfN with more particles",
            )
        if isinstance(self.method, ParticleIndependentMH):
            raise InvalidArgument(
                f"Until({self.method!r}): its evidence is no weight of its samples",
                hint="give it more sweeps",
            )
        for name, number in (("runs", self.runs), ("tokens", self.tokens)):
            if number is not None:
                require_positive(name, number)
        for name, limit in (("ess", self.ess), ("seconds", self.seconds)):
            if limit is not None and not (isinstance(limit, int | float) and 0.0 < limit < math.inf):
                raise InvalidArgument(f"{name}={limit!r}", hint="a number above 0, or None")
        if self.runs is self.tokens is self.seconds is None:
            raise InvalidArgument(f"{self!r} may never end", hint="give runs, tokens or seconds as a limit")

    @property
    @override
    def recordable(self) -> bool:
        """As of the method."""
        return self.method.recordable

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run until a limit is reached, and pool."""
        pool, start = _Pool(), runtime.clock()
        settings = runtime.awrs, runtime.bridge, runtime.drafts, runtime.adaptive
        try:
            while not self._enough(pool, runtime.clock() - start):
                # methods may set their own
                runtime.awrs, runtime.bridge, runtime.drafts, runtime.adaptive = settings
                pool.add(self.method.run(model, rng, runtime, Progress()))
                if pool.steps:
                    progress.update(pool.steps[-1], pool.drawn)
        except KeyboardInterrupt:
            if not len(pool) or isinstance(runtime.sessions, TaskSessions):
                raise
            warnings.warn(
                f"interrupted: the result is that of the {len(pool)} runs that had ended",
                RuntimeWarning,
                stacklevel=2,
            )
        return pool.result()

    def _enough(self, pool: _Pool, seconds: float) -> bool:
        runs = len(pool)
        return runs > 0 and (
            (self.runs is not None and runs >= self.runs)
            or (self.tokens is not None and pool.spent >= self.tokens)
            or (self.seconds is not None and seconds >= self.seconds)
            or (self.ess is not None and pool.ess >= self.ess)
        )


class _Pool:
    """The results of runs, put together; a step for each run, counted in `Step.tick`."""

    def __init__(self) -> None:
        self.drawn = self.spent = 0
        self.steps: list[Step] = []
        self._results: list[Result] = []
        self._log_sum = (
            self._log_squares
        ) = -math.inf  # of the unnormalised weights, so that adding a run is cheap

    def __len__(self) -> int:
        return len(self._results)

    @property
    def ess(self) -> float:
        """Effective sample size of the pooled weights."""
        return math.exp(2.0 * self._log_sum - self._log_squares) if self._log_sum > -math.inf else 0.0

    def add(self, result: Result) -> None:
        """Pool another run; runs before the first that finds evidence count in the step of that one."""
        before = self._log_evidence if self.steps else 0.0
        total = log_sum_exp(result.log_weights)
        shift = result.log_evidence - total if total > -math.inf else 0.0
        log_weights = result.log_weights + shift
        self._results.append(replace(result, log_weights=log_weights))
        self.drawn += result.drawn
        self.spent += max(result.drawn, 1)
        self._log_sum = float(np.logaddexp(self._log_sum, log_sum_exp(log_weights)))
        self._log_squares = float(np.logaddexp(self._log_squares, log_sum_exp(2.0 * log_weights)))
        if self._log_sum > -math.inf:
            increment = self._log_evidence - before
            self.steps.append(Step(len(self), len(result.particles), self.ess, increment))

    def result(self) -> Result:
        """Return all as the result of one run."""
        deaths = [result.last_death for result in self._results if result.last_death is not None]
        log_weights = np.concatenate([result.log_weights for result in self._results])
        log_evidences = np.array([result.log_evidence for result in self._results])
        return Result(
            [particle for result in self._results for particle in result.particles],
            log_weights - math.log(len(self)),
            log_mean_exp(log_evidences),
            self.steps,
            self.drawn,
            deaths[-1] if deaths else None,
        )

    @property
    def _log_evidence(self) -> float:
        return self._log_sum - math.log(len(self))
