"""Cost per solved task: what a method spends for each task that it solves, over many tasks.

With c_i the cost of task i and s_i whether it was solved, the cost per solved task is the ratio Σ c_i / Σ s_i: what was
spent on tasks that were not solved counts as well. It is a ratio of means, whose standard error is, to first order,

    sqrt(Σ (c_i - R s_i)² / (n (n - 1))) / s̄,        R = Σ c_i / Σ s_i.

Reference: Cochran (1977), *Sampling techniques*, chapter 6, for the ratio; Kapoor et al. (2024), *AI agents that
matter*, for why accuracy is to be reported together with cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.diagnostics import Cost
from inference.weights import Floats
from ppl.errors import InvalidArgument


@dataclass(frozen=True)
class CostPerSolved:
    """What several tasks cost for each one that was solved; numbers are infinite if none was.

    Attributes
    ----------
    tasks, solved:
        How many there are, and how many were solved.
    runs, tokens, lm_tokens, verifier_calls, seconds:
        Per solved task; as in `Cost`.
    standard_error:
        Of `lm_tokens`, for tasks drawn from a population of tasks. None for a single task, and if none was solved.
    total:
        What all tasks cost together.
    """

    tasks: int
    solved: int
    runs: float
    tokens: float
    lm_tokens: float
    verifier_calls: float
    seconds: float
    standard_error: float | None
    total: Cost

    def __str__(self) -> str:
        error = "" if self.standard_error is None else f" ± {self.standard_error:.0f}"
        return (
            f"{self.solved} of {self.tasks} tasks solved; for each solved one {self.runs:.1f} runs, "
            f"{self.lm_tokens:.0f}{error} LM tokens, {self.verifier_calls:.1f} verifier calls, {self.seconds:.1f} s"
        )


def cost_per_solved(costs: Sequence[Cost], solved: Sequence[bool]) -> CostPerSolved:
    """Return what each solved task cost.

    Parameters
    ----------
    costs:
        What each task cost: `posterior.cost`, or `Cost.total` of several.
    solved:
        For each task whether it was solved.

    Raises
    ------
    InvalidArgument
        If there are no tasks, or not as many verdicts.
    """
    if not len(costs) or len(costs) != len(solved):
        raise InvalidArgument(
            f"{len(costs)} costs and {len(solved)} verdicts", hint="one of each for every task, at least one"
        )
    for task, verdict in enumerate(solved):
        if not (isinstance(verdict, bool | np.bool_) or verdict in (0, 1)):
            raise InvalidArgument(
                f"task {task} has the verdict {verdict!r}", hint="True or False for each task"
            )
    count, total = sum(map(bool, solved)), Cost.total(costs)
    each = {
        name: getattr(total, name) / count if count else math.inf
        for name in ("runs", "tokens", "lm_tokens", "verifier_calls", "seconds")
    }
    tokens = np.array([cost.lm_tokens for cost in costs], dtype=np.float64)
    error = _ratio_error(tokens, np.array(solved, dtype=np.float64)) if count and len(costs) > 1 else None
    return CostPerSolved(len(costs), count, **each, standard_error=error, total=total)


def _ratio_error(costs: Floats, solved: Floats) -> float:
    """Return the standard error of the ratio of two sums over tasks."""
    residuals = costs - costs.sum() / solved.sum() * solved
    return float(math.sqrt((residuals**2).sum() / (len(costs) * (len(costs) - 1))) / solved.mean())
