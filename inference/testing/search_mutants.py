"""Mutants of search and of pooled runs: plausible mistakes in what they weigh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from inference.branching import Branching, Move, Pruning
from inference.methods import until
from inference.methods.base import Result
from inference.testing.mutant import mutant
from inference.weights import Floats, log_mean_exp
from ppl.compiler.normal_form import FiniteForm


@mutant("a beam counts the values of a finite site alike")
def beam_choices_free() -> Iterator[None]:
    original = Pruning._choices

    def choices(self: Any, i: int, form: FiniteForm | None) -> list[Move]:
        moves = original(self, i, form)
        return [replace(move, log_weight=move.log_weight - move.log_probability) for move in moves]

    with patch.object(Pruning, "_choices", choices):
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
