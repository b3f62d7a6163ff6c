"""Mutants of resampling: mistakes in who is copied, in what copies bring along, and in the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import numpy as np

from inference.methods import smc
from inference.resampling import _SCHEMES, Ancestors, multinomial
from inference.scheduler import Scheduler
from inference.testing.mutant import mutant
from inference.text import TextState
from inference.weights import Floats, log_mean_exp, log_sum_exp
from ppl.fiber import Fiber
from ppl.rng import Rng


@mutant("copies made by resampling share one text state")
def shared_text_state() -> Iterator[None]:
    with patch.object(TextState, "fork", lambda self: self):
        yield


@mutant("copies made by resampling lose the trace")
def trace_lost() -> Iterator[None]:
    original = Fiber.fork

    def fork(self: Fiber) -> Fiber:
        copy = original(self)
        copy._choices = copy._choices[:-1]
        return copy

    with patch.object(Fiber, "fork", fork):
        yield


def _select(change: Callable[[Scheduler, Floats, Ancestors], None]) -> AbstractContextManager[Any]:
    original = Scheduler.select

    def select(self: Scheduler, ancestors: Ancestors, log_weights: Floats | None = None) -> None:
        before = self.log_weights.copy()
        original(self, ancestors, log_weights)
        change(self, before, ancestors)

    return patch.object(Scheduler, "select", select)


@mutant("resampled particles keep their old weights")
def weights_kept() -> Iterator[None]:
    def change(self: Scheduler, before: Floats, ancestors: Ancestors) -> None:
        self.log_weights = before[ancestors]

    with _select(change):
        yield


@mutant("resampling sets the weights to 1 and forgets the evidence so far")
def evidence_forgotten() -> Iterator[None]:
    def change(self: Scheduler, before: Floats, ancestors: Ancestors) -> None:
        self.log_weights = np.zeros(len(before))

    with _select(change):
        yield


@mutant("finished particles are left out of resampling")
def finished_left_out() -> Iterator[None]:
    original = Scheduler.select

    def select(self: Scheduler, ancestors: Ancestors, log_weights: Floats | None = None) -> None:
        kept = [
            i if p.finished else int(a)
            for i, (p, a) in enumerate(zip(self.particles, ancestors, strict=True))
        ]
        original(self, np.array(kept), log_weights)

    with patch.object(Scheduler, "select", select):
        yield


@mutant("proposals are not moved along with the resampled particles")
def stale_proposals() -> Iterator[None]:
    original = Scheduler.select

    def select(self: Scheduler, ancestors: Ancestors, log_weights: Floats | None = None) -> None:
        groups, self._groups = self._groups, []
        original(self, ancestors, log_weights)
        self._groups = groups

    with patch.object(Scheduler, "select", select):
        yield


@mutant("the evidence is the mean over survivors instead of all particles")
def dead_particles_forgotten() -> Iterator[None]:
    def over_survivors(log_weights: Floats) -> float:
        alive = log_weights[log_weights > -np.inf]
        return log_mean_exp(alive) if len(alive) else -np.inf

    with patch.object(smc, "log_mean_exp", over_survivors):
        yield


@mutant("the evidence is the sum of the weights instead of their mean")
def sum_for_mean() -> Iterator[None]:
    with patch.object(smc, "log_mean_exp", log_sum_exp):
        yield


@mutant("residual resampling draws the rest from the full weights")
def residual_from_full_weights() -> Iterator[None]:
    def residual(weights: Floats, n: int, rng: Rng) -> Ancestors:
        kept = np.repeat(np.arange(len(weights)), np.floor(n * weights).astype(np.int64))
        return np.concatenate([kept, multinomial(weights, n - len(kept), rng)]) if len(kept) < n else kept

    with patch.dict(_SCHEMES, {"residual": residual}):
        yield


@mutant("stratified resampling divides the uniforms wrongly")
def strata_misplaced() -> Iterator[None]:
    def stratified(weights: Floats, n: int, rng: Rng) -> Ancestors:
        cumulative = np.cumsum(weights)
        points = [min(i / n + rng.uniform(cumulative - i / n), 1.0 - 1e-12) for i in range(n)]
        return np.searchsorted(cumulative / cumulative[-1], points, side="right")

    with patch.dict(_SCHEMES, {"stratified": stratified}):
        yield
