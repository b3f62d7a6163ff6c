"""Mutants of test-time scaling: mistakes in pruning, early stopping, best-first search and rewards of steps."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np

from inference.methods.adaptive_consistency import _Reading
from inference.methods.best_first import _Choices, _Partial, _Search
from inference.methods.first_finished import FirstFinished
from inference.methods.pruned_enriched import PrunedEnriched
from inference.particle import Particle
from inference.scheduler import Scheduler
from inference.testing.mutant import mutant
from inference.twists import Twists
from inference.weights import Floats, log_mean_exp, log_sum_exp
from ppl.potentials import FunctionPotential
from ppl.rng import Rng


@mutant("who survives the roulette weighs what it did before")
def roulette_for_free() -> Iterator[None]:
    original = PrunedEnriched._copies

    def copies(self: PrunedEnriched, log_weight: float, log_level: float, rng: Rng) -> tuple[int, float]:
        number, new_weight = original(self, log_weight, log_level, rng)
        return number, min(new_weight, log_weight)

    with patch.object(PrunedEnriched, "_copies", copies):
        yield


@mutant("the copies of a run that is split weigh as much as it did")
def split_for_free() -> Iterator[None]:
    original = PrunedEnriched._copies

    def copies(self: PrunedEnriched, log_weight: float, log_level: float, rng: Rng) -> tuple[int, float]:
        number, new_weight = original(self, log_weight, log_level, rng)
        return number, max(new_weight, log_weight)

    with patch.object(PrunedEnriched, "_copies", copies):
        yield


@mutant("the evidence of a pruned population is the mean over those that are left")
def mean_over_those_left() -> Iterator[None]:
    def mean(self: PrunedEnriched, log_weights: Floats) -> float:
        return log_mean_exp(log_weights) if len(log_weights) else -np.inf

    with patch.object(PrunedEnriched, "_log_evidence", mean):
        yield


@mutant("runs without weight count as finished")
def the_dead_are_first() -> Iterator[None]:
    def ended(self: FirstFinished, scheduler: Scheduler, before: list[int]) -> list[int]:
        over = [i for i, p in enumerate(scheduler.particles) if not p.live]
        return [*before, *(i for i in over if i not in before)][: self.keep]

    with patch.object(FirstFinished, "_ended", ended):
        yield


@mutant("all runs that end in the tick of the last one are kept")
def ties_are_all_kept() -> Iterator[None]:
    def ended(self: FirstFinished, scheduler: Scheduler, before: list[int]) -> list[int]:
        return [i for i, p in enumerate(scheduler.particles) if p.finished and p.death is None]

    with patch.object(FirstFinished, "_ended", ended):
        yield


@mutant("the evidence of the first to finish is the mean over those that are kept")
def mean_over_the_kept() -> Iterator[None]:
    def log_evidence(self: FirstFinished, scheduler: Scheduler, kept: list[int] | None) -> float:
        if kept is None:
            return log_mean_exp(scheduler.log_weights)
        weights = scheduler.log_weights[np.array(kept, dtype=np.int64)]
        return log_sum_exp(weights) - math.log(max(len(kept), 1))

    with patch.object(FirstFinished, "_log_evidence", log_evidence):
        yield


@mutant("votes are read as runs end, so that short texts decide")
def read_as_they_end() -> Iterator[None]:
    def read(self: Any, particles: list[Particle], log_weights: list[float], first: int) -> None:
        for particle, log_weight in zip(particles, log_weights, strict=True):
            if not self.enough and not particle.live and particle not in self.runs:
                self.runs.append(particle)
                self.log_weights.append(log_weight)
                self._answers.append(self._answer(particle) if log_weight > -np.inf else None)
                self.agreed = self._agree()

    with patch.object(_Reading, "read", read):
        yield


@mutant("a finished run is a result though others of the batch wait to be expanded")
def first_of_the_batch() -> Iterator[None]:
    def following(self: Any, size: int) -> list[_Partial]:
        batch: list[_Partial] = []
        while self._frontier and len(batch) < size and self.results < self._wanted:
            first = self._frontier[0][-1]
            if isinstance(first, _Choices):
                self._write_choices()
                continue
            if first.particle.finished:
                self.results += 1
            else:
                batch.append(first)
            heapq.heappop(self._frontier)
        return batch

    with patch.object(_Search, "next", following):
        yield


@mutant("what is not written yet is sorted by its mass alone, without what may be gained")
def gains_not_hoped_for() -> Iterator[None]:
    original = _Search._push

    def push(self: Any, *arguments: Any) -> bool:
        bound, self._bound = self._bound, 0.0
        try:
            return original(self, *arguments)
        finally:
            self._bound = bound

    with patch.object(_Search, "_push", push):
        yield


@mutant("the reward of a step replaces those of the steps before")
def steps_replace_each_other() -> Iterator[None]:
    original = Twists._evaluate

    def evaluate(self: Twists, potential: FunctionPotential, texts: Sequence[str]) -> list[float]:
        return potential.judge(texts) if potential.each else original(self, potential, texts)

    with patch.object(Twists, "_evaluate", evaluate):
        yield
