"""solve: many tasks with a verifier and one budget, spent on those that are not solved yet.

Attempts, runs of a method with independent randomness, are started one after the other, each for the task that has had
the fewest among those that are not solved; a task is solved when the verifier accepts a value. So each attempt after
the first goes to a task at which the ones before failed, and a budget of T tokens is spent where it is needed: a task
whose attempts succeed with probability p takes 1/p of them on average, and not the number that suits the hardest.
Attempts of many tasks share the calls of the language model (`inference.many`).

The first value that is accepted has the law of the method's values given acceptance, for attempts that are independent
draws. If the verifier accepts right values with probability s and wrong ones with 1 - t, it is right with probability

    s p / (s p + (1 - t) (1 - p)),

whatever the number of attempts. What grows with the attempts is the share of *hard* tasks among those answered, where
p is small and what is accepted is mostly wrong. A limit on the attempts makes the method abstain from these.

References: Brown et al. (2024), *Large language monkeys: scaling inference compute with repeated sampling*; for
budgets by difficulty Snell et al. (2024), *Scaling LLM test-time compute optimally can be more effective than scaling
model parameters*; for verifiers that err, Stroebl, Kapoor and Narayanan (2024), *Inference scaling fLaws*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np

from inference.diagnostics import Cost
from inference.estimators import AWRS
from inference.many import infer_many
from inference.methods.base import Method, require_positive
from inference.methods.importance import Importance
from inference.posterior import Posterior
from ppl.errors import InvalidArgument, ProgramError
from ppl.program import Model

R = TypeVar("R")


@dataclass(frozen=True)
class Solution(Generic[R]):
    """What became of a task.

    Attributes
    ----------
    value:
        The value that was accepted first; None if the task was not solved: an abstention.
    solved:
        Whether one was accepted.
    attempts:
        How many were made.
    cost:
        Of all of them, with the verifier's calls.
    seed:
        Of the attempt that succeeded: `infer(model, method, seed=..., drafts=False)` repeats it. None if there is none.
    """

    value: R | None
    solved: bool
    attempts: int
    cost: Cost
    seed: int | None


def solve(
    models: Sequence[Model[R]],
    verify: Callable[[int, R], bool],
    method: Method | None = None,
    *,
    attempts: int = 16,
    tokens: int | None = None,
    seed: int = 0,
    concurrency: int = 8,
    awrs: AWRS | None = None,
) -> list[Solution[R]]:
    """Return what became of each of several tasks, with a budget that goes to those that are not solved yet.

    Parameters
    ----------
    models:
        The tasks: programs applied to their arguments.
    verify:
        Says of the index of a task and a value whether the value is accepted. Of the distinct values of an attempt, the
        most probable one is asked first.
    method:
        Of an attempt; by default `Importance(1)`, a single run.
    attempts:
        Most attempts for each task.
    tokens:
        No attempt is started when language models have evaluated so many tokens for all tasks together (`lm_tokens`);
        those in flight come to their ends. None: no limit.
    seed:
        All randomness follows from it.
    concurrency:
        Most attempts in flight, and not more than tasks. Those in flight when their task is solved are of no use: where
        fewer tasks are left than places, these cost a little more than one attempt after the other.
    awrs:
        As of `infer`.

    Raises
    ------
    InvalidArgument
        If a setting is none, or `verify` returns anything but True or False.
    ProgramError
        If `verify` raises.
    """
    require_positive("attempts", attempts)
    if tokens is not None:
        require_positive("tokens", tokens)
    if not callable(verify):
        raise InvalidArgument(f"verify={verify!r}", hint="a function of the index of a task and a value")
    tasks = [_Task[R](index, model) for index, model in enumerate(models)]
    begun: list[_Task[R]] = []

    def started() -> Iterator[Model[R]]:
        while tokens is None or sum(task.cost.lm_tokens for task in tasks) < tokens:
            left = [task for task in tasks if not task.solved and task.started < attempts]
            if not left:
                return
            task = min(left, key=lambda task: task.started)
            task.started += 1
            begun.append(task)
            yield task.model

    method = Importance(1) if method is None else method
    require_positive("concurrency", concurrency)
    places = min(concurrency, max(len(tasks), 1))
    results = infer_many(
        started(), method, seed=seed, concurrency=places, ordered=False, awrs=awrs, progress=False
    )
    for index, posterior in results:
        begun[index].see(posterior, verify)
    return [Solution(task.value, task.solved, task.started, task.cost, task.seed) for task in tasks]


@dataclass
class _Task(Generic[R]):
    """A task, and what is known of it so far."""

    index: int
    model: Model[R]
    started: int = 0
    solved: bool = False
    value: R | None = None
    seed: int | None = None
    cost: Cost = field(default_factory=lambda: Cost.total([]))

    def see(self, posterior: Posterior[R], verify: Callable[[int, R], bool]) -> None:
        """Take note of an attempt, and have its values verified until one is accepted."""
        calls = 0
        for value, _ in posterior.top(len(posterior)) if posterior.samples and not self.solved else ():
            calls += 1
            if self._accepts(value, verify):
                self.solved, self.value, self.seed = True, value, posterior.seed
                break
        spent = replace(posterior.cost, verifier_calls=posterior.cost.verifier_calls + calls)
        self.cost = Cost.total([self.cost, spent])

    def _accepts(self, value: R, verify: Callable[[int, R], Any]) -> bool:
        try:
            verdict = verify(self.index, value)
        except Exception as error:
            raise ProgramError(
                f"verify={verify!r} raised {type(error).__name__} at the value {value!r} of task {self.index}: {error}",
                hint="it is asked of every value; return False for those that cannot be read",
            ) from error
        if not isinstance(verdict, bool | np.bool_):
            raise InvalidArgument(
                f"verify={verify!r} returned {verdict!r} at the value {value!r} of task {self.index}",
                hint="return True or False",
            )
        return bool(verdict)
