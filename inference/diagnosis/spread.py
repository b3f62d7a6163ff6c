"""Spread: a run repeated with other seeds, which shows what no single run can, its own error.

The estimates Ẑ_r of R independent runs are unbiased, and so is their mean, whose standard error is s(Ẑ) / √R. The
log of an unbiased estimate is not: E[log Ẑ] <= log Z, by about half the variance of log Ẑ where that is small. So the
mean of the logs is no estimate of log Z; the log of the mean is consistent.

Reference for a spread of log Ẑ of about 1 as the limit of what is useful: Doucet, Pitt, Deligiannidis and Kohn (2015),
*Efficient implementation of Markov chain Monte Carlo when using an unbiased likelihood estimator*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from inference.estimators import AWRS
from inference.many import infer_many
from inference.methods.base import Method
from inference.posterior import Posterior
from inference.weights import Floats, log_mean_exp
from ppl.errors import InvalidArgument
from ppl.program import Model

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class EvidenceSpread(Generic[R]):
    """The evidence estimates of independent runs.

    Attributes
    ----------
    posteriors:
        The R runs.
    """

    posteriors: tuple[Posterior[R], ...]

    @property
    def log_evidences(self) -> Floats:
        """(R,) log Ẑ_r, in nats; -inf of a run that nobody survived."""
        return np.array([posterior.log_evidence for posterior in self.posteriors])

    @property
    def log_evidence(self) -> float:
        """Log of the mean of the Ẑ_r, which is unbiased for the evidence if the method's estimate is."""
        return log_mean_exp(self.log_evidences)

    @property
    def relative_error(self) -> float:
        """Standard error of the mean of the Ẑ_r, over that mean; nan if all are 0."""
        top = float(self.log_evidences.max())
        if top == -math.inf:
            return math.nan
        evidences = np.exp(self.log_evidences - top)
        return float(np.std(evidences, ddof=1) / np.mean(evidences) / math.sqrt(len(evidences)))

    @property
    def deviation(self) -> float:
        """Standard deviation of log Ẑ over the runs that found evidence, in nats; nan for fewer than two of them.

        Above about 1, a single run says little.
        """
        found = self.log_evidences[self.log_evidences > -math.inf]
        return float(np.std(found, ddof=1)) if len(found) > 1 else math.nan

    @property
    def empty(self) -> int:
        """How many runs found no evidence."""
        return int(np.sum(self.log_evidences == -math.inf))

    def __str__(self) -> str:
        runs = len(self.posteriors)
        nothing = f"; {self.empty} of them found no evidence" if self.empty else ""
        return (
            f"log evidence {self.log_evidence:.4f}, relative standard error {self.relative_error:.2g} of the mean of "
            f"{runs} runs; log evidence of one run ± {self.deviation:.2g}{nothing}"
        )


def evidence_spread(
    model: Model[R],
    method: Method | None = None,
    *,
    runs: int = 10,
    seed: int = 0,
    concurrency: int = 8,
    awrs: AWRS | None = None,
    progress: bool | None = None,
) -> EvidenceSpread[R]:
    """Return what `runs` independent runs, at least 2, say of the evidence.

    The other parameters are those of `infer_many`, which runs them together: run r has the seed
    `program_seed(seed, r)`.
    """
    if not isinstance(runs, int | np.integer) or isinstance(runs, bool) or runs < 2:
        raise InvalidArgument(f"runs={runs!r}", hint="an integer of at least 2")
    repeated = [model] * int(runs)
    posteriors = infer_many(
        repeated, method, seed=seed, concurrency=concurrency, awrs=awrs, progress=progress
    )
    return EvidenceSpread(tuple(posteriors))
