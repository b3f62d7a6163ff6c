"""Mutants of genealogies: mistakes by which one run misjudges its own error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

from inference.diagnosis.genealogy import Genealogy
from inference.diagnostics import Step
from inference.testing.mutant import mutant
from inference.weights import Floats


@mutant("the factor of the variance counts the resamplings, and not the independent start")
def start_not_counted() -> Iterator[None]:
    def inflation(self: Genealogy) -> float:
        return float((self.size / (self.size - 1)) ** (self.resamplings if self.multinomial else 0))

    with patch.object(Genealogy, "inflation", property(inflation)):
        yield


@mutant("families are those of the last resampling's parents, not of the start")
def families_of_parents() -> Iterator[None]:
    original = Genealogy.of.__func__  # type: ignore[attr-defined]

    def of(
        cls: Any,
        steps: Sequence[Step],
        places: Sequence[int],
        log_weights: Floats,
        size: int,
        scheme: str | None,
    ) -> Genealogy:
        last = next((k for k in reversed(range(len(steps))) if steps[k].resampled), 0)
        genealogy: Genealogy = original(cls, steps[last:], places, log_weights, size, scheme)
        return genealogy

    with patch.object(Genealogy, "of", classmethod(of)):
        yield


@mutant("the estimate for multinomial resampling is used for every scheme")
def every_scheme_multinomial() -> Iterator[None]:
    def inflation(self: Genealogy) -> float:
        return float((self.size / (self.size - 1)) ** (self.resamplings + 1))

    with patch.object(Genealogy, "inflation", property(inflation)):
        yield
