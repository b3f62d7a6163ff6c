"""Tallies: what moves of a population did, site by site, and why texts ended without weight."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from inference.infilling import InfillState
from inference.site import Site
from inference.twists import State
from inference.weights import Floats
from ppl.compiler.plan import KernelName


def tally_draws(kernel: KernelName, states: Sequence[State], log_weights: Floats) -> None:
    """Take note of drawn tokens, and of weights that the draws made."""
    for site, chosen in _by_site(states).items():
        site.tally.tokens += len(chosen)
        site.tally.kernels[kernel] += len(chosen)
        if kernel == "awrs":
            site.tally.weigh(log_weights[chosen])


def tally_masses(kernel: KernelName, states: Sequence[State], log_masses: Floats) -> None:
    """Take note of the masses that are weights before the draw, and of the shares that masks allow."""
    for site, chosen in _by_site(states).items():
        site.tally.weigh(log_masses[chosen])
        if kernel == "masked" and states[chosen[0]].plan.pool.plain:
            site.tally.mass += float(np.exp(log_masses[chosen]).sum())
            site.tally.masses += len(chosen)


def rejected(state: State) -> str:
    """Return why a draw left no weight."""
    return f"no token that was drawn and checked may come next under {state.plan.constraint}"


def dead_end(state: State) -> str:
    """Return why no token has mass."""
    if isinstance(state, InfillState):
        return "no token has positive mass at the position that is filled next"
    if state.at_limit:
        return f"the text has max_tokens={state.plan.text.max_tokens} tokens and may not end there"
    return f"no token that the model gives positive probability satisfies {state.plan.constraint}"


def _by_site(states: Sequence[State]) -> dict[Site, list[int]]:
    sites: defaultdict[Site, list[int]] = defaultdict(list)
    for k, state in enumerate(states):
        sites[state.site].append(k)
    return sites
