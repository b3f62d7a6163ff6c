"""Mutants of nested programs: mistakes in what an inner inference is worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from inference.nesting import Inner
from inference.testing.mutant import mutant
from inference.testing.suite import run_nesting
from inference.weights import log_sum_exp
from ppl.compiler.normal_form import FiniteForm
from ppl.nested import Nested

_form = Inner._form


@mutant(
    "a nested program's estimate of its evidence is thrown away: a posterior by self-normalised weights",
    run_nesting,
)
def nested_evidence_dropped() -> Iterator[None]:
    def form(self: Any, target: Nested[Any], result: Any) -> FiniteForm:
        return _form(self, replace(target, normalised=True), result)

    with patch.object(Inner, "_form", form):
        yield


@mutant("a nested program gives one of its values whatever their weights", run_nesting)
def nested_weights_dropped() -> Iterator[None]:
    def form(self: Any, target: Nested[Any], result: Any) -> FiniteForm:
        made = _form(self, target, result)
        share = result.log_evidence - log_sum_exp(result.log_weights * 0.0)
        return FiniteForm(made.values, (share,) * len(made.values))

    with patch.object(Inner, "_form", form):
        yield


@mutant("the posterior of a nested program keeps its evidence", run_nesting)
def posterior_not_normalised() -> Iterator[None]:
    def form(self: Any, target: Nested[Any], result: Any) -> FiniteForm:
        return _form(self, replace(target, normalised=False), result)

    with patch.object(Inner, "_form", form):
        yield


@mutant("the sum of the inner weights is taken for their mean", run_nesting)
def nested_weights_summed() -> Iterator[None]:
    def form(self: Any, target: Nested[Any], result: Any) -> FiniteForm:
        if target.normalised:
            return _form(self, target, result)
        return _form(self, target, replace(result, log_evidence=log_sum_exp(result.log_weights)))

    with patch.object(Inner, "_form", form):
        yield
