"""Mutants: seeded bugs that the exactness checks must find.

Each is a real mistake of the kind that inference code has shipped with. A check that no mutant fails checks
nothing; `tests/inference/test_mutants.py` runs the suite under each of them and expects it to fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from inference import scoring
from inference.engines.base import Context, Guess, NextTokens
from inference.engines.table_session import TableSession
from inference.kernels import KERNELS, Proposal, masked
from inference.methods import enumerate as enumeration
from inference.methods.rejection import Rejection
from inference.population import Todo
from inference.scheduler import Scheduler
from inference.testing import (
    adaptive_mutants,
    awrs_mutants,
    batching_mutants,
    chain_mutants,
    corrector_mutants,
    draft_mutants,
    genealogy_mutants,
    nesting_mutants,
    rejuvenation_mutants,
    resampling_mutants,
    scaling_mutants,
    search_mutants,
    single_site_mutants,
    steering_mutants,
    twist_mutants,
    warping_mutants,
)
from inference.testing.mutant import MUTANTS, Mutant, mutant
from inference.text import TextState
from inference.weights import Floats, log_sum_exp
from ppl.compiler.normal_form import FiniteForm
from ppl.rng import Rng

__all__ = [
    "MUTANTS",
    "Mutant",
    "adaptive_mutants",
    "awrs_mutants",
    "batching_mutants",
    "chain_mutants",
    "corrector_mutants",
    "draft_mutants",
    "genealogy_mutants",
    "nesting_mutants",
    "rejuvenation_mutants",
    "resampling_mutants",
    "scaling_mutants",
    "search_mutants",
    "single_site_mutants",
    "steering_mutants",
    "twist_mutants",
    "warping_mutants",
]


def _reweighed(change: Callable[[Proposal, Sequence[TextState]], Floats]) -> AbstractContextManager[Any]:
    def kernel(following: NextTokens, states: Sequence[TextState]) -> Proposal:
        proposal = masked(following, states)
        dead = np.isneginf(proposal.log_weights)
        return replace(proposal, log_weights=np.where(dead, -np.inf, change(proposal, states)))

    return patch.dict(KERNELS, {"masked": kernel})


@mutant("locally masked decoding: the masked kernel's weight is thrown away")
def mask_weight_dropped() -> Iterator[None]:
    with _reweighed(lambda proposal, _: np.zeros(len(proposal.rows))):
        yield


@mutant("the normaliser is summed over the wrong axis")
def normaliser_over_the_wrong_axis() -> Iterator[None]:
    def change(proposal: Proposal, _: Sequence[TextState]) -> Floats:
        over_rows = torch.logsumexp(proposal.numerators, dim=0)
        return over_rows[torch.from_numpy(proposal.rows) % len(over_rows)].double().numpy()

    with _reweighed(change):
        yield


@mutant("at the length limit the end is forced without paying its probability")
def limit_not_paid() -> Iterator[None]:
    def change(proposal: Proposal, states: Sequence[TextState]) -> Floats:
        return np.where([state.at_limit for state in states], 0.0, proposal.log_weights)

    with _reweighed(change):
        yield


@mutant("logits are used without log-softmax")
def raw_logits() -> Iterator[None]:
    original = TableSession.next_tokens

    def next_tokens(
        self: TableSession,
        contexts: Sequence[Context],
        drafts: Sequence[Sequence[int]] = (),
        guess: Guess | None = None,
    ) -> NextTokens:
        following = original(self, contexts, drafts, guess)
        return following._replace(logprobs=following.logprobs + 0.3)

    with patch.object(TableSession, "next_tokens", next_tokens):
        yield


@mutant("the end is allowed where the constraint does not accept")
def end_anywhere() -> Iterator[None]:
    with patch.object(TextState, "_may_end", lambda self: True):
        yield


@mutant("the text keeps its stop string")
def stop_kept() -> Iterator[None]:
    def finish(self: TextState, content: bytes, forced: bool) -> None:
        self.finished, self._content = True, self.vocabulary.decode(self.contexts[0].generated())

    with patch.object(TextState, "_finish", finish):
        yield


@mutant("a factor is not added to the weight")
def factor_lost() -> Iterator[None]:
    original = Scheduler._add_weight

    def add_weight(self: Scheduler, i: int, log_weight: float, reason: str) -> bool:
        return original(self, i, log_weight if log_weight == -np.inf else 0.0, reason)

    with patch.object(Scheduler, "_add_weight", add_weight):
        yield


@mutant("a constrained finite site is normalised, its lost mass forgotten")
def finite_mass_forgotten() -> Iterator[None]:
    original = Scheduler._choose

    def choose(self: Scheduler, i: int, form: FiniteForm) -> Todo:
        shift = log_sum_exp(np.array(form.log_masses))
        return original(self, i, replace(form, log_masses=tuple(w - shift for w in form.log_masses)))

    with patch.object(Scheduler, "_choose", choose):
        yield


@mutant("observe leaves out the probability that the text ends")
def observed_end_free() -> Iterator[None]:
    def everything(text: Any, ids: Any, path: Any) -> list[int]:
        return list(range(text.lm.vocabulary.size)) if not path else []

    with patch.object(scoring, "_ending_tokens", everything):
        yield


@mutant("rejection sampling ignores the bound in the acceptance probability")
def bound_ignored() -> Iterator[None]:
    def keep(self: Rejection, log_weight: float, ticks: int, rng: Rng) -> bool:
        share = float(np.exp(min(log_weight, 0.0)))
        return share > 0.0 and rng.uniform([share]) < share

    with patch.object(Rejection, "_keep", keep):
        yield


@mutant("enumeration multiplies the mask's normaliser in twice")
def normaliser_twice() -> Iterator[None]:
    def outcomes(self: Any, proposal: Proposal, k: int) -> list[tuple[int, float]]:
        row = proposal.numerators[int(proposal.rows[k])].double()
        tokens = torch.nonzero(torch.isfinite(row))[:, 0]
        return list(zip(tokens.tolist(), row[tokens].tolist(), strict=True))

    with patch.object(enumeration._Branching, "_outcomes", outcomes):
        yield
