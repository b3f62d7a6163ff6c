"""Experts: the next-token laws of a population, asked of each language model once, pooled where a target says so.

A text under one expert is drawn from that expert's own distributions, which are passed on as they are. Under a pool of
experts with exponents, Π p_i^{a_i}, the rows of the experts are combined:

    log m(v) = Σ_i a_i log p_i(v),        a power mean:  log m(v) = (1/r) log Σ_i w_i exp(r log m_i(v)).

m is not normalised: its sum is a weight (`inference.kernels`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grammars.vocabulary import Vocabulary, unpack
from inference.bridging import bridged
from inference.engines.base import Context, Guess, NextTokens
from inference.sessions import Sessions
from inference.text import TextState
from ppl.compiler.pool import Expert, Mean, Pool
from ppl.errors import UnboundedTarget
from ppl.lm import LM

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Laws:
    """The laws of the next tokens of some of the states: `members` are their indices, one row each."""

    members: list[int]
    following: NextTokens


class _Owned:
    """Guesses for the states that the contexts which one model is asked for belong to."""

    def __init__(self, guess: Guess, owners: list[int]) -> None:
        self.lengths = [guess.lengths[i] for i in owners]
        self._guess, self._owners = guess, owners

    def __call__(self, following: NextTokens, members: Sequence[int]) -> list[int]:
        return self._guess(following, [self._owners[k] for k in members])


class Alphabet(NamedTuple):
    """The tokens of a pool: which of V stand for text or an end, and how messages show one."""

    keep: NDArray[np.bool_]
    show: Callable[[int], str]


@lru_cache(maxsize=16)
def alphabet(vocabulary: Vocabulary) -> Alphabet:
    """Return the text tokens of a vocabulary and its end."""
    keep = unpack(vocabulary.text_mask, vocabulary.size).astype(np.bool_)
    keep[vocabulary.end] = True
    return Alphabet(
        keep, lambda token: "the end" if token == vocabulary.end else repr(vocabulary.tokens[token])
    )


def next_laws(
    states: Sequence[TextState],
    sessions: Sessions,
    bridge: int | None = None,
    drafts: Sequence[Sequence[int]] = (),
    guess: Guess | None = None,
    *,
    ahead: bool = False,
) -> list[Laws]:
    """Return the laws of the tokens that follow the states, in groups that share a tensor.

    Parameters
    ----------
    states, sessions:
        Texts that are being written, and the open sessions.
    bridge:
        The exponents of pools move over so many tokens (`inference.bridging`).
    drafts:
        Tokens that probably follow each of the states, to be evaluated with them where that pays.
    guess:
        Who guesses them for states that have none, see `Session.next_tokens`.
    ahead:
        Whether the laws are known, as those after a draft that came true.
    """
    asked: defaultdict[LM, list[Context]] = defaultdict(list)
    guessed: defaultdict[LM, list[Sequence[int]]] = defaultdict(list)
    owners: defaultdict[LM, list[int]] = defaultdict(list)
    places: list[list[tuple[LM, int]]] = []
    for i, state in enumerate(states):
        place = []
        for lm, context in zip(state.lms, state.contexts, strict=True):
            place.append((lm, len(asked[lm])))
            asked[lm].append(context)
            guessed[lm].append(drafts[i] if drafts else ())
            owners[lm].append(i)
        places.append(place)
    if ahead:
        answers = sessions.recall(asked)
    else:
        guesses: dict[LM, Guess] = {}
        for lm in asked if guess is not None else ():
            assert guess is not None
            owned = _Owned(guess, owners[lm])
            if any(owned.lengths):
                guesses[lm] = owned
        answers = sessions.next_tokens(asked, guessed if drafts else None, guesses)
    groups: defaultdict[tuple[Pool, tuple[LM, ...]], list[int]] = defaultdict(list)
    for i, state in enumerate(states):
        groups[state.plan.pool, state.lms].append(i)
    laws = []
    for (pool, lms), members in groups.items():
        rows = [
            np.array([answers[lm].rows[places[i][k][1]] for i in members], dtype=np.int64)
            for k, lm in enumerate(lms)
        ]
        if pool.plain:
            laws.append(Laws(members, NextTokens(answers[lms[0]].logprobs, rows[0])))
            continue
        experts = [answers[lm].logprobs for lm in lms]
        if bridge is None:
            following = _pooled(pool, experts, rows, alphabet(lms[0].vocabulary))
        else:
            following = _bridged(pool, experts, rows, [states[i] for i in members], bridge)
        laws.append(Laws(members, following))
    return laws


def pooled_alone(pool: Pool, following: NextTokens, lm: LM) -> NextTokens:
    """Return the laws of the next tokens under a pool of one expert, from the expert's."""
    if pool.plain:
        return following
    return NextTokens(log_pool(pool, [following.logprobs], alphabet(lm.vocabulary)), following.rows)


def _bridged(
    pool: Pool, experts: Sequence[Tensor], rows: Sequence[Rows], states: Sequence[TextState], length: int
) -> NextTokens:
    """Return a row for each state, with exponents on the way to those of the pool."""
    tokens = alphabet(states[0].vocabulary)
    chosen = _chosen(experts, rows)
    terms = torch.stack([log_pool(Pool(((m, 1.0),)), chosen, tokens) for m, _ in pool.terms])
    masses = bridged(pool, terms, states, length) + _ones(chosen[0], tokens)
    return NextTokens(_bounded(masses, tokens), np.arange(len(states)))


def _chosen(experts: Sequence[Tensor], rows: Sequence[Rows]) -> list[Tensor]:
    """Return the rows of each expert, all on the first one's device."""
    device = experts[0].device
    return [
        table[torch.from_numpy(at).to(table.device)].to(device)
        for table, at in zip(experts, rows, strict=True)
    ]


def _pooled(pool: Pool, experts: Sequence[Tensor], rows: Sequence[Rows], tokens: Alphabet) -> NextTokens:
    """Return the pooled rows, one for each distinct combination of the experts' rows."""
    distinct, inverse = np.unique(np.stack(rows), axis=1, return_inverse=True)
    chosen = _chosen(experts, list(distinct))
    return NextTokens(log_pool(pool, chosen, tokens), inverse.reshape(-1).astype(np.int64))


def log_pool(pool: Pool, experts: Sequence[Tensor], tokens: Alphabet) -> Tensor:
    """Return the (U, V) log-masses that a pool gives, from the (U, V) log-probabilities of its experts.

    Raises
    ------
    UnboundedTarget
        If a probability of 0 is divided by.
    """
    multiplied: Tensor | None = None
    divided: Tensor | None = None
    for member, exponent in pool.terms:
        logs = experts[member.index] if isinstance(member, Expert) else _log_mean(member, experts, tokens)
        if exponent > 0.0:
            term = logs if exponent == 1.0 else logs * exponent
            multiplied = term if multiplied is None else multiplied + term
        elif exponent < 0.0:
            term = logs * exponent
            divided = term if divided is None else divided + term
    if multiplied is None:
        multiplied = _ones(experts[0], tokens)
    if divided is None:
        return multiplied
    return _bounded(torch.where(multiplied == -torch.inf, -torch.inf, multiplied + divided), tokens)


def _bounded(masses: Tensor, tokens: Alphabet) -> Tensor:
    """Return the masses; raise `UnboundedTarget` if one is infinite."""
    unbounded = masses == torch.inf
    if bool(unbounded.any()):
        shown = tokens.show(int(unbounded.nonzero()[0, 1]))
        raise UnboundedTarget(
            f"a negative power of the probability of {shown}, which is 0",
            hint="the text that is divided by, as q in guide(p, q, w), must give a positive probability to "
            "every token that the others do",
        )
    return masses


def _log_mean(mean: Mean, experts: Sequence[Tensor], tokens: Alphabet) -> Tensor:
    parts = torch.stack([log_pool(pool, experts, tokens) for pool in mean.pools])
    if math.isinf(mean.r):
        return parts.amax(dim=0) if mean.r > 0 else parts.amin(dim=0)
    weights = torch.tensor(mean.weights, dtype=parts.dtype, device=parts.device)[:, None, None]
    if mean.r == 0.0:
        return (weights * parts).sum(dim=0)
    return torch.logsumexp(weights.log() + mean.r * parts, dim=0) / mean.r


def _ones(like: Tensor, tokens: Alphabet) -> Tensor:
    """Return log 1 at every token of the alphabet, -inf at the others."""
    row = torch.where(torch.from_numpy(tokens.keep).to(like.device), 0.0, -torch.inf).to(like.dtype)
    return row.expand_as(like).clone()
