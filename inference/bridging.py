"""Bridging: exponents that move along the sequence, from the first expert by itself to the target.

A target Π_k m_k(x)^{a_k} far from its experts makes uneven weights from the first token on. Bridging changes the
intermediate targets of SMC only: after t tokens that are not the end

    γ_t(x_{1:t}) = Π_k m_k(x_{1:t})^{a_k(t)},        a_k(t) = s_k + (a_k - s_k) min(t / T, 1),

with s = 1 for the first expert and 0 for the others, and a_k itself for a text with its end, however short. The weight
of a token is γ_t / γ_{t-1} over its proposal, so that the products telescope to the target.

Reference: Del Moral, Doucet and Jasra (2006), *Sequential Monte Carlo samplers*.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from grammars.vocabulary import unpack
from inference.text import TextState
from inference.weights import Floats
from ppl.compiler.pool import Pool


@dataclass(frozen=True, eq=False)
class Ahead:
    """What the terms of a pool give to the next token: (K, n, V), a row for each state."""

    terms: Tensor


def exponents(pool: Pool, tokens: int, length: int) -> Floats:
    """Return the (K,) exponents a_k(t) after t tokens, for a bridge of `length` tokens."""
    final = np.array([a for _, a in pool.terms])
    start = np.zeros_like(final)
    start[0] = 1.0
    moved: Floats = start + (final - start) * min(tokens / length, 1.0)
    return moved


def bridged(pool: Pool, terms: Tensor, states: Sequence[TextState], length: int) -> Tensor:
    """Return the (n, V) log-masses of the next tokens of n states; +inf where a 0 is divided by.

    Parameters
    ----------
    pool:
        The pool of all states.
    terms:
        (K, n, V) log m_k of the next tokens.
    states:
        The states; what their last tokens were given by the terms is read off and noted.
    length:
        T, in tokens.
    """
    _read(states)
    ahead = Ahead(terms)
    final = np.array([a for _, a in pool.terms])
    offsets = np.zeros((2, len(states)))
    moving = np.zeros((len(final), len(states)))
    for i, state in enumerate(states):
        written = state.written or (0.0,) * len(final)
        tokens = state.contexts[0].length
        before, moving[:, i] = exponents(pool, tokens, length), exponents(pool, tokens + 1, length)
        paid = _weighed(before, written) if tokens else 0.0
        offsets[:, i] = _weighed(moving[:, i], written) - paid, _weighed(final, written) - paid
        state.written, state.ahead = written, (ahead, i)
    on = _masses(terms, moving) + _column(offsets[0], terms)
    ending = _masses(terms, np.repeat(final[:, None], len(states), axis=1)) + _column(offsets[1], terms)
    return torch.where(_terminators(states).to(terms.device), ending, on)


def _read(states: Sequence[TextState]) -> None:
    """Add what the last token of each state was given to what was written before."""
    groups: defaultdict[int, list[TextState]] = defaultdict(list)
    for state in states:
        if state.ahead is not None:
            groups[id(state.ahead[0])].append(state)
    for group in groups.values():
        assert group[0].ahead is not None
        terms = group[0].ahead[0].terms
        rows = torch.tensor([state.ahead[1] for state in group if state.ahead], device=terms.device)
        tokens = torch.tensor([state.contexts[0].token for state in group], device=terms.device)
        given = terms[:, rows, tokens].double().T.tolist()
        for state, added in zip(group, given, strict=True):
            state.written = tuple(a + b for a, b in zip(state.written, added, strict=True))
            state.ahead = None


def _weighed(weights: Floats, logs: Sequence[float]) -> float:
    """Return Σ a_k L_k with 0 · ∞ = 0; -inf wins."""
    terms = [a * log for a, log in zip(weights.tolist(), logs, strict=True) if a != 0.0]
    return -math.inf if -math.inf in terms else math.fsum(terms)


def _masses(terms: Tensor, weights: Floats) -> Tensor:
    """Return Σ_k a_k log m_k (n, V) for (K, n) exponents, with 0 · ∞ = 0; -inf wins."""
    a = torch.from_numpy(weights).to(terms.device, terms.dtype)[:, :, None]
    multiplied = torch.where(a > 0.0, a * terms, 0.0).sum(dim=0)
    divided = torch.where(a < 0.0, a * terms, 0.0).sum(dim=0)
    return torch.where(multiplied == -torch.inf, -torch.inf, multiplied + divided)


def _column(values: Floats, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like.device, like.dtype)[:, None]


def _terminators(states: Sequence[TextState]) -> Tensor:
    """Return which tokens end the text, (n, V)."""
    vocabulary = states[0].vocabulary
    masks = np.stack([state.terminators() for state in states])
    ends = unpack(masks, vocabulary.size).copy()
    ends[:, vocabulary.end] = True
    return torch.from_numpy(ends)
