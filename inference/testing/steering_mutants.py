"""Mutants of SMC without replacement: ways to choose among outcomes that favour some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any
from unittest.mock import patch

import numpy as np

from inference.branching import Move
from inference.kernels import Proposal
from inference.methods import steering
from inference.optimal_resampling import Rest, optimal
from inference.testing.mutant import mutant
from inference.testing.suite import run_steering
from ppl.rng import Rng

_Steered = steering._Steered


@mutant(
    "only the largest tokens of each particle are outcomes, the rest of the vocabulary is left out",
    run_steering,
)
def rest_left_out() -> Iterator[None]:
    def largest(listed: Sequence[Move], rests: Sequence[Rest], size: int, rng: Rng) -> list[Move]:
        return optimal(listed, (), size, rng)

    with patch.object(steering, "optimal", largest):
        yield


@mutant("outcomes that are kept by chance keep their own weights", run_steering)
def threshold_weight_forgotten() -> Iterator[None]:
    def own(listed: Sequence[Move], rests: Sequence[Rest], size: int, rng: Rng) -> list[Move]:
        before = {(move.particle, move.outcome): move.log_weight for move in listed}
        moves = optimal(listed, rests, size, rng)
        return [
            replace(move, log_weight=before.get((move.particle, move.outcome), move.log_weight))
            for move in moves
        ]

    with patch.object(steering, "optimal", own):
        yield


@mutant("finite values are pruned like a beam's", run_steering)
def values_pruned() -> Iterator[None]:
    def kept(self: Any, streams: Sequence[Iterable[Move]]) -> list[Move]:
        return sorted(chain(*streams), key=lambda move: -move.log_weight)[: self._size]

    with patch.object(_Steered, "_kept", kept):
        yield


@mutant("several draws of a particle count as several particles", run_steering)
def draws_counted_in_full() -> Iterator[None]:
    original = _Steered._drawn

    def drawn(self: Any, proposal: Proposal, particles: list[int]) -> list[Move]:
        moves = original(self, proposal, particles)
        return [replace(move, log_weight=move.log_weight + float(np.log(self._draws))) for move in moves]

    with patch.object(_Steered, "_drawn", drawn):
        yield


@mutant("of runs that are merged one weight is lost", run_steering)
def merged_weight_lost() -> Iterator[None]:
    original = _Steered._merge

    def merge(self: Any) -> None:
        before = {id(particle): w for particle, w in zip(self.particles, self.log_weights, strict=True)}
        original(self)
        self.log_weights = np.array([before[id(particle)] for particle in self.particles])

    with patch.object(_Steered, "_merge", merge):
        yield


@mutant("runs are merged by their texts, whatever values they have drawn beside them", run_steering)
def merged_by_texts_alone() -> Iterator[None]:
    with patch.object(steering, "_alike", lambda a, b: len(a) == len(b)):
        yield
