"""Mutants of drafts: what makes a guess more than a guess."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from inference.drafts import Drafts
from inference.engines.base import Context, NextTokens
from inference.engines.drafted import _DraftedSession
from inference.kernels import Proposal
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.sessions import Sessions
from inference.testing.mutant import mutant
from inference.testing.suite import run_copies, run_drafts
from inference.testing.switching import check_switching
from inference.text import TextState
from ppl.rng import Rng


@mutant("particles that run ahead along their drafts do not pay for it", run_drafts)
def draft_weights_dropped() -> Iterator[None]:
    original = Scheduler._propose

    def propose(self: Any, chosen: Sequence[int], *, ahead: bool = False) -> None:
        before = self.log_weights.copy()
        original(self, chosen, ahead=ahead)
        if ahead:
            self.log_weights = np.where(np.isneginf(self.log_weights), -np.inf, before)

    with patch.object(Scheduler, "_propose", propose):
        yield


@mutant("what follows is asked of the draft model", run_drafts)
def draft_model_asked() -> Iterator[None]:
    def next_tokens(self: Any, contexts: Sequence[Context], *_: Any) -> NextTokens:
        following: NextTokens = self._drafts.next_tokens(contexts)
        return following

    with patch.object(_DraftedSession, "next_tokens", next_tokens):
        yield


@mutant("a guess is taken instead of a draw", run_drafts)
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


@mutant("copies of a particle run ahead along what was guessed with the randomness of others", run_drafts)
def guesses_of_others_followed() -> Iterator[None]:
    def known(state: Any, sessions: Sessions) -> bool:
        return isinstance(state, TextState) and all(
            sessions[lm].knows(context) for lm, context in zip(state.lms, state.contexts, strict=True)
        )

    with patch.object(Drafts, "known", staticmethod(known)):
        yield


@mutant("copies of a particle go on along its drafts", run_copies)
def drafts_copied() -> Iterator[None]:
    original = TextState.fork

    def fork(self: TextState) -> TextState:
        return replace(original(self), draft=self.draft)

    with patch.object(TextState, "fork", fork):
        yield


@mutant(
    "numbers left over decide between masks and checks, and are drawn with",
    partial(check_switching, rough=True),
)
def numbers_kept_where_sites_switch() -> Iterator[None]:
    with patch.object(Runtime, "switching", False):
        yield
