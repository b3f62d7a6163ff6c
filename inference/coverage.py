"""Coverage: how often at least one of k samples is right, estimated from the verdicts on n >= k.

For a task whose samples are right with probability p, independently, pass@k = 1 - (1 - p)^k. Of n samples of which c
are right, the share of the subsets of size k with none of these is an unbiased estimate of (1 - p)^k, so

    pass@k  ≈  1 - C(n - c, k) / C(n, k),

while 1 - (1 - c/n)^k is too low. A *verifier* that accepts right samples with probability s (sensitivity) and rejects
wrong ones with probability t (specificity), independently given the truth, accepts with probability
π = 1 - t + (s + t - 1) p. Score an accepted sample g(1) = (s - 1) / J and a rejected one g(0) = s / J with
J = s + t - 1; the mean score is (s - π) / J = 1 - p, so the mean over all subsets of size k of the product of their
scores is unbiased for (1 - p)^k:

    pass@k  ≈  1 - Σ_j C(c, j) C(n - c, k - j) / C(n, k) · g(1)^j g(0)^{k-j},

with c the accepted ones. For s = t = 1 it is the estimate above. It is not cut to [0, 1], which would bias it. Its
noise grows like J^{-k}: for a poor verifier and a large k, hardly any number of samples is enough.

References: Chen et al. (2021), *Evaluating large language models trained on code*; Brown et al. (2024), *Large language
monkeys*; on what imperfect verifiers do, Stroebl, Kapoor and Narayanan (2024), *Inference scaling fLaws*; for s and t,
Rogan and Gladen (1978), *Estimating prevalence from the results of a screening test*.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ppl.errors import InvalidArgument


@dataclass(frozen=True)
class Verifier:
    """How often a verifier is right, as measured on samples whose truth is known.

    Parameters
    ----------
    sensitivity:
        s, the share of the right samples that it accepts.
    specificity:
        t, the share of the wrong samples that it rejects; 1 - t are false positives.
    """

    sensitivity: float = 1.0
    specificity: float = 1.0

    def __post_init__(self) -> None:
        for name, share in (("sensitivity", self.sensitivity), ("specificity", self.specificity)):
            if not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
                raise InvalidArgument(f"{name}={share!r}", hint="a share between 0 and 1")
        if self.informedness <= 0:
            raise InvalidArgument(
                f"{self!r} accepts right samples no more often than wrong ones",
                hint="sensitivity + specificity must be above 1, or its verdicts say nothing",
            )

    @property
    def informedness(self) -> Fraction:
        """J = s + t - 1, by how much more often it accepts right samples than wrong ones."""
        return Fraction(self.sensitivity) + Fraction(self.specificity) - 1

    @property
    def scores(self) -> tuple[Fraction, Fraction]:
        """What a rejected and an accepted sample score, g(0) and g(1): on average the probability of a wrong one."""
        s = Fraction(self.sensitivity)
        return s / self.informedness, (s - 1) / self.informedness


PERFECT = Verifier()


@dataclass(frozen=True)
class CoveragePoint:
    """Coverage at one k, over tasks.

    Attributes
    ----------
    k:
        Samples for each task.
    coverage:
        The mean over tasks of the unbiased estimates of pass@k, corrected for the verifier's errors. It may lie outside
        [0, 1] where the correction is noisy.
    standard_error:
        Of the mean, for tasks drawn from a population of tasks; it includes the noise of samples and verdicts. None for
        a single task.
    accepted:
        The same mean without the correction: how often at least one of k samples is *accepted*. Where the verifier
        misses no right sample (s = 1), its expectation is an upper bound on the coverage; where it accepts no wrong one
        (t = 1), a lower bound.
    """

    k: int
    coverage: float
    standard_error: float | None
    accepted: float


def pass_at_k(n: int, c: int, k: int, verifier: Verifier = PERFECT) -> float:
    """Return the unbiased estimate of pass@k from n independent samples of which c were accepted.

    Computed in exact fractions, since the terms of the correction alternate in sign.

    Raises
    ------
    InvalidArgument
        Unless 0 <= c <= n and 1 <= k <= n: there is no unbiased estimate from fewer than k samples.
    """
    for name, number in (("n", n), ("c", c), ("k", k)):
        if not isinstance(number, int | np.integer) or isinstance(number, bool):
            raise InvalidArgument(f"{name}={number!r}", hint="a number of samples, an integer")
    n, c, k = int(n), int(c), int(k)
    if not 0 <= c <= n:
        raise InvalidArgument(f"c={c} of n={n} samples", hint="c of the n samples were accepted: 0 <= c <= n")
    if not 1 <= k <= n:
        raise InvalidArgument(
            f"k={k} with n={n} samples", hint="draw at least k samples for each task, or ask for a smaller k"
        )
    rejected, accepted = verifier.scores
    failing = sum(
        math.comb(c, j) * math.comb(n - c, k - j) * accepted**j * rejected ** (k - j)
        for j in range(max(0, k - (n - c)), min(c, k) + 1)
        if accepted or j == 0
    )
    try:
        return float(1 - Fraction(failing, math.comb(n, k)))
    except OverflowError as error:
        raise InvalidArgument(
            f"the estimate of pass@{k} for {verifier!r} is beyond 1e308 and says nothing",
            hint="ask for a smaller k: the noise of the correction grows like (s + t - 1) ** -k",
        ) from error


def coverage(
    verdicts: Sequence[Sequence[bool]], ks: Iterable[int], verifier: Verifier = PERFECT
) -> tuple[CoveragePoint, ...]:
    """Return the coverage curve of several tasks.

    Parameters
    ----------
    verdicts:
        For each task whether each of its samples was accepted. The samples are independent: of runs with different
        seeds or of `Importance` before weighting, not the particles of one SMC run or beam.
    ks:
        The numbers of samples at which the curve is wanted, none above the samples of any task.
    verifier:
        The error rates of the verdicts, by default none.
    """
    counts = [_count(task, list(verdict)) for task, verdict in enumerate(verdicts)]
    if not counts:
        raise InvalidArgument("coverage of no tasks", hint="pass a list of verdicts for each task")
    points = []
    for k in ks:
        for task, (n, _) in enumerate(counts):
            if k > n:
                raise InvalidArgument(
                    f"k={k}, and task {task} has {n} samples",
                    hint=f"ask for k up to {min(m for m, _ in counts)}, or draw more samples",
                )
        estimates = np.array([pass_at_k(n, c, k, verifier) for n, c in counts])
        accepted = float(np.mean([pass_at_k(n, c, k) for n, c in counts]))
        error = float(estimates.std(ddof=1) / math.sqrt(len(counts))) if len(counts) > 1 else None
        points.append(CoveragePoint(int(k), float(estimates.mean()), error, accepted))
    return tuple(points)


def _count(task: int, verdicts: Sequence[object]) -> tuple[int, int]:
    """Return the numbers of samples and of accepted ones."""
    for verdict in verdicts:
        if not (isinstance(verdict, bool | np.bool_) or verdict in (0, 1)):
            raise InvalidArgument(
                f"task {task} has the verdict {verdict!r}", hint="True or False for each sample"
            )
    return len(verdicts), sum(map(bool, verdicts))
