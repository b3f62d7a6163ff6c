"""Mutants: seeded bugs that the exactness checks must find.

Each is a real mistake of the kind that inference code has shipped with. A check that no mutant fails checks
nothing; `tests/inference/test_mutants.py` runs the suite under each of them and expects it to fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from inference import estimators, scoring, site
from inference.engines.base import Context, NextTokens
from inference.engines.table import TableSession
from inference.estimators import Estimator, Recursive
from inference.kernels import KERNELS, Proposal, masked
from inference.methods import enumerate as enumeration
from inference.methods import smc
from inference.methods.rejection import Rejection
from inference.resampling import _SCHEMES, Ancestors, multinomial
from inference.scheduler import Scheduler, Todo
from inference.testing import (
    adaptive_mutants,
    batching_mutants,
    chain_mutants,
    corrector_mutants,
    genealogy_mutants,
    nesting_mutants,
    rejuvenation_mutants,
    scaling_mutants,
    search_mutants,
    single_site_mutants,
    steering_mutants,
    twist_mutants,
    warping_mutants,
)
from inference.testing.mutant import MUTANTS, Mutant, mutant
from inference.text import TextState
from inference.weights import Floats, log_mean_exp, log_sum_exp
from ppl.compiler.normal_form import FiniteForm
from ppl.fiber import Fiber
from ppl.rng import Rng
from ppl.successive import Draw

__all__ = [
    "MUTANTS",
    "Mutant",
    "adaptive_mutants",
    "batching_mutants",
    "chain_mutants",
    "corrector_mutants",
    "genealogy_mutants",
    "nesting_mutants",
    "rejuvenation_mutants",
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


@mutant("particles that run ahead along their drafts do not pay for it")
def draft_weights_dropped() -> Iterator[None]:
    original = Scheduler._propose

    def propose(self: Any, chosen: Sequence[int], *, ahead: bool = False) -> None:
        before = self.log_weights.copy()
        original(self, chosen, ahead=ahead)
        if ahead:
            self.log_weights = np.where(np.isneginf(self.log_weights), -np.inf, before)

    with patch.object(Scheduler, "_propose", propose):
        yield


@mutant("a guess is taken instead of a draw")
def draft_taken_for_granted() -> Iterator[None]:
    original = Proposal.draw

    def draw(self: Proposal, rng: Rng, states: Sequence[TextState]) -> Any:
        tokens, log_weights = original(self, rng, states)
        for i, state in enumerate(states):
            guesses = getattr(state, "draft", ())
            if guesses and bool(torch.isfinite(self.numerators[int(self.rows[i]), guesses[0][0]])):
                tokens[i] = guesses[0][0]
        return tokens, log_weights

    with patch.object(Proposal, "draw", draw):
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
        self: TableSession, contexts: Sequence[Context], drafts: Sequence[Sequence[int]] = ()
    ) -> NextTokens:
        following = original(self, contexts, drafts)
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
