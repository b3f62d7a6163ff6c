"""Rejuvenation against brute force: does a move leave the law of partial runs as it is?

A single run is advanced by some ticks, weighed for the next one, and moved once. Over all paths of both,

    F(x, y) = E[w_t 1{Y = x, Y' = y}]

is the mass that the move takes from partial run x to partial run y. The kernel leaves γ_t invariant if the sums over y
and over x are the same measure, and is reversible if F is symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

from inference.estimators import AWRS
from inference.particle import Particle
from inference.rejuvenation import Rejuvenated
from inference.runtime import Runtime
from inference.testing.checks import TOLERANCE, compare
from inference.testing.enum_rng import expectation
from inference.testing.invariance import Flux
from ppl.program import Model
from ppl.rng import Rng


def check_rejuvenation(
    model: Model[Any],
    ticks: int,
    *,
    lag: int | None = None,
    awrs: AWRS | None = None,
    tolerance: float = TOLERANCE,
    max_paths: int = 100_000,
) -> Flux:
    """Check that moving a run after so many ticks leaves the intermediate target invariant, reversibly; return F.

    Raises
    ------
    AssertionError
        With both masses, where they differ.
    TooManyPaths
        If there are more than `max_paths` paths.
    """

    def moved(rng: Rng) -> Flux:
        with Runtime(awrs) as runtime:
            runtime.adaptive, runtime.drafts = False, None
            population = Rejuvenated(model, 1, rng, runtime, lag=lag)
            try:
                population.start()
                for _ in range(ticks):
                    population.propose()
                    population.draw()
                population.propose()
                if not population.particles[0].live:
                    return {}
                before = _key(population.particles[0])
                population.move()
                return {(before, _key(population.particles[0])): math.exp(population.log_weights[0])}
            finally:
                population.close()

    flux = expectation(moved, max_paths=max_paths)
    name = f"a move of {model!r} after {ticks} ticks, lag={lag}"
    before: dict[Any, float] = {}
    after: dict[Any, float] = {}
    for (x, y), mass in flux.items():
        before[x] = before.get(x, 0.0) + mass
        after[y] = after.get(y, 0.0) + mass
    compare(after, before, name, tolerance)
    compare(flux, {(y, x): mass for (x, y), mass in flux.items()}, f"{name}, reversed", tolerance)
    return flux


def _key(particle: Particle) -> Hashable:
    """Return what a partial run has drawn."""
    text = None if particle.text is None else particle.text.shown
    return tuple(choice.outcome for choice in particle.trace), text, particle.finished
