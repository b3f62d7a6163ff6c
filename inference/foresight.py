"""Foresight: drafts from a rough, cheap copy of the model, drawn with the randomness of the draws to come.

The text of a particle runs ahead under the rough model, with the same masks and exponents. Its tokens are drawn with
the very numbers that the exact draws will use: a token is the inverse of a cumulative distribution at a uniform number
u, and u is set aside for the position. Where both distributions are close, both inverses are mostly the same token,
also where no token is likely. The drawn token is a function of u and of the exact distribution alone, so a run of one
particle writes the same text with foresight and without.

Of several particles each goes on until a draft of its own fails, see `inference.drafts`. Whether it goes on depends on
numbers that its draws have used up: how many tokens are guessed is decided before any is, and a draft ends early only
by what it has drawn itself. Numbers that are left over have told nothing about the particle, and are used for its next
draws; a copy of it draws its own.

With a the probability that a guess comes true, a pass after k rough ones brings a row 1 + a + ... + aᵏ tokens. Of n
rows the slowest decides how many passes there are, and what others have ahead of it may be lost to a resampling; so of
several rows those tokens are counted that all of them get, with aⁿ in place of a. The pass costs C + n (k + 1), and
each rough one R + n, in tokens (`Session.pass_cost`, `rough_cost`). k is chosen for the most tokens at that cost.

References: Leviathan, Kalman and Matias (2023), *Fast inference from transformers via speculative decoding*; Daliri,
Musco and Suresh (2025), *Coupling without communication and drafter-invariant speculative decoding*, for common random
numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from inference.engines.base import NextTokens
from inference.experts import pooled_alone
from inference.kernels import KERNELS
from inference.text import TextState
from ppl.compiler.plan import KernelName
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
        groups: defaultdict[KernelName, list[int]] = defaultdict(list)
        for k, i in enumerate(members):
            if i not in self._ahead:
                self._ahead[i] = self._states[i].looking_ahead()
            groups[self._ahead[i].kernel].append(k)
        tokens = [-1] * len(members)
        for kernel, group in groups.items():
            if kernel != "awrs":
                self._draw(kernel, following, [members[k] for k in group], group, tokens)
        return tokens

    def _draw(
        self, kernel: KernelName, following: NextTokens, members: list[int], at: list[int], tokens: list[int]
    ) -> None:
        ahead = [self._ahead[i] for i in members]
        pool = ahead[0].plan.pool
        laws = pooled_alone(pool, NextTokens(following.logprobs, following.rows[at]), ahead[0].lms[0])
        proposal = KERNELS[kernel](laws, ahead)
        going = np.flatnonzero(proposal.log_weights > -np.inf)
        proposal = proposal.take(going)
        noise = []
        for k in going.tolist():
            kept, depth = self._states[members[k]].noise, len(self._states[members[k]].draft)
            if depth == len(kept):
                kept.append(self._rng.noise())
            noise.append(kept[depth])
        drawn = self._rng.categorical(proposal.numerators, proposal.rows, noise)
        for k, token in zip(going.tolist(), drawn.tolist(), strict=True):
            state = self._states[members[k]]
            state.draft = (*state.draft, (token, "rough"))
            if token == state.vocabulary.end:
                continue
            ahead[k].advance(token)
            if not ahead[k].finished:
                tokens[at[k]] = token


def length(probability: float, rows: int, pass_cost: float, rough_cost: float) -> tuple[int, float]:
    """Return how many tokens to guess, and the tokens for each unit of cost that this brings.

    Parameters
    ----------
    probability:
        That a guess comes true.
    rows:
        Rows of the pass.
    pass_cost, rough_cost:
        As in `Session`.
    """
    best, rate, brought, true = 0, 1.0 / (pass_cost + rows), 1.0, 1.0
    for k in range(1, _MOST + 1):
        true *= probability**rows
        brought += true
        here = brought / (pass_cost + rows * (k + 1) + k * (rough_cost + rows))
        if here > rate:
            best, rate = k, here
    return best, rate
