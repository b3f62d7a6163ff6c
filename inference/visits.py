"""Visit: a site of a run with what it drew there, and the scores of given draws under other targets.

A site draws x with probability q(x) and gives it the weight w(x), of what it is worth over what it was proposed with:
γ(x) = q(x) w(x). Where w is a function of x, both are known of every x: of a text from one pass along its *tokens*,

    q(x) = Π_t m(x_t | x_<t) 1[x_t allowed] / Z_t,        w(x) = Π_t Z_t · exp Σ_j f_j(x),

with the masses m, masks and potentials of its target. (A string may have many spellings; a run has drawn one.) Where
checks reject tokens w is random, and Z_t is not known; of masked diffusion q would need the order. Such a draw is
worth something under the target that it is from, with the weight that it came with, and under no other.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from grammars.vocabulary import Mask
from inference.engines.base import NextTokens
from inference.experts import alphabet, log_pool
from inference.kernels import KERNELS
from inference.particle import Particle
from inference.runtime import Runtime
from inference.text import TextState
from inference.weights import log_sum_exp
from ppl.compiler.normal_form import FiniteForm, TextForm, normal_form, same_tokens
from ppl.compiler.plan import KernelName, plan_text
from ppl.lm import LM
from ppl.targets import Target
from ppl.trace import Address

Ids = tuple[int, ...]
Key = tuple[Address, int]
"""A site of a run: its place in the source, and how often the run had been there before."""


@dataclass(frozen=True, eq=False)
class Visit:
    """A site of a run.

    Attributes
    ----------
    key:
        Which one.
    target:
        What was sampled.
    before:
        The run as it waited at the site. It is never advanced, only its forks are.
    earned:
        What the run had earned by then, in nats.
    value:
        The finite value, or the text.
    path:
        The tokens of a text, with that which ended it; empty for other sites.
    log_weight:
        log w, in nats.
    log_proposal:
        log q; None where it is not known.
    parent:
        The visit before.
    """

    key: Key
    target: Target[Any]
    before: Particle
    earned: float
    value: Any
    path: Ids
    log_weight: float
    log_proposal: float | None
    parent: Visit | None


class Score(NamedTuple):
    """What a site says of a given draw: log w and log q in nats, -inf for what it cannot draw."""

    value: Any
    log_weight: float
    log_proposal: float

    @property
    def supported(self) -> bool:
        """Whether the site can draw it, with a positive weight."""
        return self.log_weight + self.log_proposal > -math.inf


class Given(NamedTuple):
    """A draw that is to be scored at an address under a target: the tokens of a text that `lm` wrote."""

    address: Address
    target: Target[Any]
    lm: LM
    path: Ids


def written(state: TextState) -> Ids:
    """Return the tokens of a finished text, with the one that ended it."""
    ends = (state.vocabulary.end,) if state.content == state.data else ()  # otherwise a stop string did
    return state.contexts[0].generated() + ends


def same(a: object, b: object) -> bool:
    """Return whether two finite values are the same to a program."""
    return a is b or (type(a) is type(b) and bool(a == b))


def score_value(form: FiniteForm, value: object) -> Score:
    """Return the score of a value at a finite site; equal values count together."""
    pairs = list(zip(form.values, form.log_masses, strict=True))
    total = log_sum_exp(np.array(form.log_masses))
    masses = [w for v, w in pairs if same(v, value)]
    log_mass = log_sum_exp(np.array(masses)) if masses else -math.inf
    if log_mass == -math.inf:
        return Score(value, total, -math.inf)
    here = next(v for v, w in pairs if same(v, value) and w > -math.inf)  # the object of this run
    return Score(here, total, log_mass - total)


def score_texts(given: Sequence[Given], runtime: Runtime) -> list[Score | None]:
    """Return the scores of texts, in one pass for each language model; None where q is not known."""
    results: list[Score | None] = [Score("", 0.0, -math.inf)] * len(given)
    walks: dict[int, list[TextState]] = {}
    for i, (address, target, lm, path) in enumerate(given):
        form = normal_form(target)
        if not isinstance(form, TextForm):
            results[i] = None if not isinstance(form, FiniteForm) else results[i]
        elif same_tokens(form.text.lm, lm):
            plan = plan_text(form)
            states = _walk(TextState.begin(plan, runtime.site(address, plan)), path)
            if states is None:
                results[i] = None
            elif states[-1].finished:
                walks[i] = states
    for (i, states), table in zip(walks.items(), _tables(walks, given, runtime), strict=True):
        results[i] = _score(states, given[i].path, table, runtime)
    return results


def _walk(state: TextState, path: Ids) -> list[TextState] | None:
    """Return the states before each token of a path and after the last.

    Only the first, where a token may not come; None where checks would decide that.
    """
    states = [state]
    for token in path:
        if state.kernel == "awrs":
            return None
        if state.finished or not _has(state.allowed(), token):
            return states[:1]
        state = state.fork()
        state.advance(token)
        states.append(state)
    return states


def _has(mask: Mask, token: int) -> bool:
    return bool(mask[token // 32] >> np.uint32(token % 32) & 1)


def _tables(walks: dict[int, list[TextState]], given: Sequence[Given], runtime: Runtime) -> list[Tensor]:
    """Return for each walk the (len(path), V) log-masses of the next tokens along it."""
    asked: defaultdict[LM, list[tuple[Ids, Ids]]] = defaultdict(list)
    for i, states in walks.items():
        for lm, context in zip(states[0].lms, states[0].contexts, strict=True):
            asked[lm].append((context.prompt, given[i].path[:-1]))
    answers = {lm: iter(tables) for lm, tables in runtime.sessions.along(asked).items()}
    tables = []
    for states in walks.values():
        experts, pool = [next(answers[lm]) for lm in states[0].lms], states[0].plan.pool
        tables.append(experts[0] if pool.plain else log_pool(pool, experts, alphabet(states[0].vocabulary)))
    return tables


def _score(states: Sequence[TextState], path: Ids, table: Tensor, runtime: Runtime) -> Score:
    """Return the score of a text from the masses along it."""
    by_kernel: defaultdict[KernelName, list[int]] = defaultdict(list)
    for t, state in enumerate(states[:-1]):
        by_kernel[state.kernel].append(t)
    log_weight, log_mass = 0.0, 0.0
    for kernel, at in by_kernel.items():
        proposal = KERNELS[kernel](NextTokens(table, np.array(at)), [states[t] for t in at])
        tokens = torch.tensor([path[t] for t in at], device=table.device)
        rows = torch.from_numpy(proposal.rows).to(table.device)
        log_mass += float(proposal.numerators[rows, tokens].double().sum())
        log_weight += float(proposal.log_weights.sum())
    if log_mass == -math.inf:
        return Score("", 0.0, -math.inf)
    text = states[-1].shown
    reward = sum(runtime.twists.at_end(potential, text) for potential in states[0].plan.potentials)
    return Score(text, log_weight + reward, log_mass - log_weight)
