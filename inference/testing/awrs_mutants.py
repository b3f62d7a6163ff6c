"""Mutants of sampling by rejection: mistakes in what a token that passed its check is worth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from unittest.mock import patch

import numpy as np

from inference import estimators, site
from inference.engines.base import NextTokens
from inference.estimators import Estimator, Recursive
from inference.kernels import KERNELS, Proposal
from inference.testing.mutant import mutant
from inference.text import TextState
from ppl.successive import Draw


@mutant("AWRS returns the first accepted token with weight 1")
def rejection_weight_dropped() -> Iterator[None]:
    def finish(self: Estimator, log_weight: float) -> None:
        self.done, self.log_weight = True, 0.0 if self.token is not None else -math.inf

    with patch.object(Estimator, "_finish", finish):
        yield


@mutant("the recursive estimator takes what is left as allowed without a second check")
def remainder_not_checked() -> Iterator[None]:
    def see(self: Recursive, draw: Draw, accepted: bool) -> None:
        if accepted:
            self._finish(draw.log_before - self._log_total)

    with patch.object(Recursive, "_see", see):
        yield


@mutant("the counts estimator divides by all draws, the last included")
def last_draw_counted() -> Iterator[None]:
    original = estimators.log_share_of_first

    def log_share(accepts: int, rejects: int, events: list[float]) -> float:
        return original(accepts, rejects + 1, events)

    with patch.object(estimators, "log_share_of_first", log_share):
        yield


@mutant("a truncated run that was accepted at its last draw is weighed as if it had gone on")
def truncation_ignored() -> Iterator[None]:
    def last(self: Estimator) -> tuple[bool, bool]:
        return self.accepts + 1 >= self.max_accepts, False

    original = Recursive._see

    def see(self: Recursive, draw: Draw, accepted: bool) -> None:
        if not accepted and self.rejects + 1 >= self.max_rejects:
            self._finish(self._log_accepted - self._log_total)
        else:
            original(self, draw, accepted)

    with patch.object(Estimator, "_last", property(last)), patch.object(Recursive, "_see", see):
        yield


@mutant("rejection sampling ends a text without asking whether it is complete")
def end_not_checked() -> Iterator[None]:
    original = TextState.passes

    def passes(self: TextState, token: int) -> bool:
        return token == self.vocabulary.end or original(self, token)

    with patch.object(TextState, "passes", passes):
        yield


@mutant("verdicts are shared between texts that only end alike")
def verdicts_confused() -> Iterator[None]:
    original = site._question

    def question(state: TextState, token: int) -> tuple[bytes, bool]:
        data, ends = original(state, token)
        return data[-1:], ends

    with patch.object(site, "_question", question):
        yield


@mutant("the mask that is left is normalised away before rejection")
def masked_mass_forgotten() -> Iterator[None]:
    original = KERNELS["awrs"]

    def kernel(following: NextTokens, states: Sequence[TextState]) -> Proposal:
        proposal = original(following, states)
        return replace(proposal, log_weights=np.where(np.isneginf(proposal.log_weights), -np.inf, 0.0))

    with patch.dict(KERNELS, {"awrs": kernel}):
        yield
