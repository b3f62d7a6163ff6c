"""Foresight: drafts from a rough, cheap model, drawn with the randomness of the draws to come.

The text of a particle runs ahead under the rough model, with the same masks and exponents. Its tokens are drawn with
the very numbers that the exact draws will use: u is set aside for each position, and a draw is a function of u and of a
distribution (`ppl.coupling`). Where the rough and the exact one are close, both draws are mostly the same token, also
where no token is likely. A run of one particle writes the same text with foresight and without, until something else
is drawn in between or a number is given up.

Of several particles each goes on until a draft of its own fails, see `inference.drafts`. Whether it goes on depends on
numbers that its draws have used up: how many tokens are guessed is decided before any is, and a draft ends early only
by what it has drawn itself. Numbers that are left over have told nothing about the particle, and are used for its next
draws; a copy of it draws its own. Where sites may change between masks and checks they are given up: what looking ahead
has cost is part of what such a change is decided by.

With a the probability that a guess comes true, a pass after k rough ones brings a row 1 + a + ... + aᵏ tokens. Of n
rows the slowest decides how many passes there are, and what others have ahead of it may be lost to a resampling; so of
several rows those tokens are counted that all of them get, with aⁿ in place of a. The pass costs C + n (k + 1), and
each rough one R + r n, in tokens (`Session.pass_cost`, `rough_cost`, `rough_share`). k is chosen for the most tokens at
that cost.

References: Leviathan, Kalman and Matias (2023), *Fast inference from transformers via speculative decoding*; Daliri,
Musco and Suresh (2025), *Coupling without communication and drafter-invariant speculative decoding*, for common random
numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from grammars.errors import PPLError
from inference.engines.base import NextTokens
from inference.experts import pooled_alone
from inference.kernels import KERNELS
from inference.text import TextState
from ppl.compiler.plan import KernelName
from ppl.compiler.pool import Pool
from ppl.rng import Rng

_MOST = 8
"""Most tokens that are guessed at once."""


class Foresight:
    """The guesses for the texts of one pass; the states take note of them.

    Parameters
    ----------
    states:
        Texts that are being written.
    lengths:
        (n,) how many tokens to guess at most for each.
    rng:
        Where the randomness of their draws comes from.
    """

    def __init__(self, states: Sequence[TextState], lengths: Sequence[int], rng: Rng) -> None:
        self.lengths = lengths
        self._states = states
        self._rng = rng
        self._ahead: dict[int, TextState] = {}

    def __call__(self, following: NextTokens, members: Sequence[int]) -> list[int]:
        """Return a guess for each member, -1 where its text has come to an end or cannot go on."""
        groups: defaultdict[tuple[KernelName, Pool], list[int]] = defaultdict(list)
        for k, i in enumerate(members):
            if i not in self._ahead:
                self._ahead[i] = self._states[i].looking_ahead()
            groups[self._ahead[i].kernel, self._ahead[i].plan.pool].append(k)
        tokens = [-1] * len(members)
        for (kernel, _), group in groups.items():
            if kernel != "awrs":
                self._guess(kernel, following, members, group, tokens)
        return tokens

    def _guess(
        self,
        kernel: KernelName,
        following: NextTokens,
        members: Sequence[int],
        at: list[int],
        tokens: list[int],
    ) -> None:
        """Guess for the members `at`, which share a kernel and a pool.

        An error, which may be one of the rough model only, ends the guesses of the text that it is about.
        """
        try:
            going, drawn = self._drawn(
                kernel, NextTokens(following.logprobs, following.rows[at]), [members[k] for k in at]
            )
        except PPLError:
            for k in at if len(at) > 1 else ():
                self._guess(kernel, following, members, [k], tokens)
            return
        for k, token in zip(going, drawn, strict=True):
            i = members[at[k]]
            state, ahead = self._states[i], self._ahead[i]
            state.draft = (*state.draft, (token, "rough"))
            if token == state.vocabulary.end:
                continue
            with suppress(PPLError):
                ahead.advance(token)
                if not ahead.finished:
                    tokens[at[k]] = token

    def _drawn(
        self, kernel: KernelName, following: NextTokens, members: list[int]
    ) -> tuple[list[int], list[int]]:
        """Return which of the members can go on, and the tokens that their rough draws give."""
        ahead = [self._ahead[i] for i in members]
        proposal = KERNELS[kernel](pooled_alone(ahead[0].plan.pool, following, ahead[0].lms[0]), ahead)
        going = np.flatnonzero(proposal.log_weights > -np.inf)
        proposal = proposal.take(going)
        noise = []
        for k in going.tolist():
            state = self._states[members[k]]
            if len(state.draft) == len(state.noise):
                state.noise.append(self._rng.noise())
            noise.append(state.noise[len(state.draft)])
        drawn: list[int] = self._rng.categorical(proposal.numerators, proposal.rows, noise).tolist()
        return going.tolist(), drawn


def length(
    probability: float, rows: int, pass_cost: float, rough_cost: float, rough_share: float = 1.0
) -> tuple[int, float]:
    """Return how many tokens to guess, and the tokens for each unit of cost that this brings.

    Parameters
    ----------
    probability:
        That a guess comes true.
    rows:
        Rows of the pass.
    pass_cost, rough_cost, rough_share:
        As in `Session`.
    """
    best, rate, brought, true = 0, 1.0 / (pass_cost + rows), 1.0, 1.0
    for k in range(1, _MOST + 1):
        true *= probability**rows
        brought += true
        here = brought / (pass_cost + rows * (k + 1) + k * (rough_cost + rough_share * rows))
        if here > rate:
            best, rate = k, here
    return best, rate
