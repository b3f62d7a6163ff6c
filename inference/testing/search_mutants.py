"""Mutants of search and of pooled runs: plausible mistakes in what they weigh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from inference.branching import Branching, Move
from inference.methods import beam, until
from inference.methods.base import Result
from inference.methods.pruned_enriched import PrunedEnriched
from inference.testing.mutant import mutant
from inference.weights import Floats, log_mean_exp
from ppl.compiler.normal_form import FiniteForm
from ppl.rng import Rng


@mutant("a beam counts the values of a finite site alike")
def beam_choices_free() -> Iterator[None]:
    original = beam._Beam._outcomes

    def outcomes(self: Any, i: int, form: FiniteForm | None) -> list[Move]:
        moves = original(self, i, form)
        return [replace(move, log_weight=move.log_weight - move.log_probability) for move in moves]

    with patch.object(beam._Beam, "_outcomes", outcomes):
        yield


@mutant("finished runs fall out of a beam")
def beam_forgets_the_finished() -> Iterator[None]:
    with patch.object(Branching, "_stay", lambda self: []):
        yield


@mutant("pooled runs count alike, whatever evidence they found")
def pooled_alike() -> Iterator[None]:
    original = until._Pool.add

    def add(self: Any, result: Result) -> None:
        found = result.log_evidence > -np.inf
        original(self, replace(result, log_evidence=0.0) if found else result)
        self._results[-1] = replace(self._results[-1], log_evidence=result.log_evidence)

    with patch.object(until._Pool, "add", add):
        yield


@mutant("runs that found no evidence are left out of the mean")
def empty_runs_left_out() -> Iterator[None]:
    def over_the_others(log_evidences: Floats) -> float:
        found = log_evidences[log_evidences > -np.inf]
        return log_mean_exp(found) if len(found) else -np.inf

    with patch.object(until, "log_mean_exp", over_the_others):
        yield


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
