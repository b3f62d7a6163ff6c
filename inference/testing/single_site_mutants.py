"""Mutants of single-site updates: mistakes in what becomes of the draws that are kept, dropped and made anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from inference import visits
from inference.methods import single_site
from inference.methods.single_site import SingleSiteMH
from inference.population import Todo
from inference.retracing import Retracing
from inference.testing.mutant import mutant
from inference.visits import Score, Visit


@mutant("a change is accepted without regard to how many sites there are to choose from, before and after")
def number_of_sites_forgotten() -> Iterator[None]:
    with patch.object(single_site, "_log_choosing", lambda run: 0.0):
        yield


@mutant("draws that were kept are in the ratio as if they had been drawn anew")
def kept_as_if_proposed() -> Iterator[None]:
    original = Retracing.log_correction

    def log_correction(self: Retracing, i: int) -> float:
        kept = [(old, replace(new, log_proposal=old.log_proposal)) for old, new in self._retraces[i].kept]
        with patch.object(self._retraces[i], "kept", kept):
            return original(self, i)

    with patch.object(Retracing, "log_correction", log_correction):
        yield


@mutant("draws that were kept keep what they were worth under their old targets")
def later_sites_not_scored_anew() -> Iterator[None]:
    original = Retracing._keep

    def keep(self: Retracing, i: int, request: Any, old: Visit, score: Score | None) -> Todo:
        if score is not None and old.log_proposal is not None:
            score = Score(score.value, old.log_weight, old.log_proposal)
        return original(self, i, request, old, score)

    with patch.object(Retracing, "_keep", keep):
        yield


@mutant("a kept text is scored without what its masks take away")
def masks_not_in_the_score() -> Iterator[None]:
    original = visits._score

    def score(*arguments: Any) -> Score:
        made = original(*arguments)
        return Score(made.value, 0.0, made.log_proposal + made.log_weight)

    with patch.object(visits, "_score", score):
        yield


@mutant("a change from which there is no way back is accepted")
def no_way_back() -> Iterator[None]:
    def reversible(self: Retracing, members: Sequence[int]) -> list[bool]:
        return [True] * len(members)

    with patch.object(Retracing, "reversible", reversible):
        yield


@mutant("a user's proposal is corrected for forward, and not backward")
def reverse_proposal_dropped() -> Iterator[None]:
    def log_backward(self: SingleSiteMH, fresh: Any, changes: Sequence[Any], after: Any) -> list[float]:
        return [0.0] * len(changes)

    with patch.object(SingleSiteMH, "_log_backward", log_backward):
        yield


@mutant("the reverse proposal is the one that was made, not the one that the new run would make")
def reverse_proposal_of_the_old_run() -> Iterator[None]:
    original = SingleSiteMH._log_backward

    def log_backward(self: SingleSiteMH, fresh: Any, changes: Sequence[Any], after: Any) -> list[float]:
        runs = [
            replace(run, particle=change.run.particle) for change, run in zip(changes, after, strict=True)
        ]
        return original(self, fresh, changes, runs)

    with patch.object(SingleSiteMH, "_log_backward", log_backward):
        yield


@mutant("a draw that checks decided on is taken for one from the masked law")
def checks_forgotten() -> Iterator[None]:
    original = Retracing._visited

    def visited(self: Retracing, i: int, opened: Any, value: Any, path: Any, *scores: Any) -> Visit:
        log_weight, log_q = scores
        return original(self, i, opened, value, path, log_weight, 0.0 if log_q is None else log_q)

    walk = visits._walk

    def walked(state: Any, path: Any) -> Any:
        with patch.object(type(state), "kernel", "masked"):
            return walk(state, path)

    with patch.object(Retracing, "_visited", visited), patch.object(visits, "_walk", walked):
        yield
