"""Invariance: does the kernel of a Markov chain leave the posterior as it is, to rounding error?

A chain's state is more than the value of its run: random weights, an estimate of the evidence. So πK = π is checked
from a properly weighted start, X_0 with the estimate Ẑ and E[Ẑ f(X_0)] = γ(f) for all functions f of the whole state,
by following every path of the start and of one sweep:

    E[Ẑ 1{X_1 = x}] = γ(x)        for each value x,

with γ from the oracle. A reversible kernel has E[Ẑ 1{X_0 = x, X_1 = y}] = E[Ẑ 1{X_0 = y, X_1 = x}], too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np

from inference.conditional import ConditionalScheme, conditional_resample
from inference.estimators import AWRS
from inference.methods.chain import Chain
from inference.resampling import Ancestors, resample
from inference.runtime import Runtime
from inference.testing.checks import TOLERANCE, compare
from inference.testing.enum_rng import expectation
from inference.testing.oracle import measure
from inference.weights import Floats
from ppl.program import Model
from ppl.rng import Rng

Flux = dict[tuple[Any, Any], float]
"""E[Ẑ 1{X_0 = x, X_1 = y}], the mass that one sweep moves from x to y."""


def flux(model: Model[Any], method: Chain, *, awrs: AWRS | None = None, max_paths: int = 100_000) -> Flux:
    """Return the mass that one sweep of a chain moves from each value to each, over all its chains."""

    def moved(rng: Rng) -> Flux:
        with Runtime(awrs) as runtime:
            runtime.adaptive, runtime.drafts = False, None  # as in a chain's sweeps
            start = method.start(model, rng, runtime)
            if not start.runs:
                return {}
            assert start.log_estimate is not None
            after = method.sweep(start.runs, model, rng, runtime)
        mass = math.exp(start.log_estimate) / len(start.runs)
        masses: Flux = {}
        for before, now in zip(start.runs, after.runs, strict=True):
            pair = before.particle.value, now.particle.value
            masses[pair] = masses.get(pair, 0.0) + mass
        return masses

    return expectation(moved, max_paths=max_paths)


def check_invariant(
    model: Model[Any],
    method: Chain,
    *,
    awrs: AWRS | None = None,
    reversible: bool = True,
    tolerance: float = TOLERANCE,
    max_paths: int = 100_000,
) -> None:
    """Check that a sweep of a chain leaves the posterior of `model` invariant: πK = π.

    Parameters
    ----------
    model:
        A program over toy models; its values must be hashable.
    method:
        A chain with few particles, also at its start.
    awrs:
        How rejection sampling spends its checks.
    reversible:
        Check detailed balance between values, too.
    tolerance:
        Largest difference of masses that passes.
    max_paths:
        `TooManyPaths` is raised beyond.
    """
    moved = flux(model, method, awrs=awrs, max_paths=max_paths)
    before: dict[Any, float] = {}
    after: dict[Any, float] = {}
    for (x, y), mass in moved.items():
        before[x] = before.get(x, 0.0) + mass
        after[y] = after.get(y, 0.0) + mass
    expected, name = measure(model), f"{method!r} on {model!r}"
    compare(before, expected, f"{name}, at its start", tolerance)
    compare(after, expected, f"{name}, after a sweep", tolerance)
    if reversible:
        compare(moved, {(y, x): mass for (x, y), mass in moved.items()}, f"{name}, reversed", tolerance)


def check_conditional_resampling(
    scheme: ConditionalScheme, weights: Floats, *, tolerance: float = TOLERANCE
) -> None:
    """Check the law of a scheme given that particle 0 is retained in its place.

    With c_i copies of particle i it is P(c) c_0 / N W_0, where P is the law of the scheme by itself for particles in
    random order.
    """
    weights, size = weights / weights.sum(), len(weights)
    orders = [np.array(order) for order in permutations(range(size))]
    expected: dict[tuple[int, ...], float] = {}
    for order in orders:

        def reordered(rng: Rng, order: Ancestors = order) -> Ancestors:
            return order[resample(scheme, weights[order], rng)]

        for copies, p in _copies(reordered, size).items():
            share = copies[0] / (size * float(weights[0]) * len(orders))
            expected[copies] = expected.get(copies, 0.0) + p * share
    actual = _copies(lambda rng: conditional_resample(scheme, weights, rng), size)
    compare(actual, expected, f"conditional {scheme} resampling of {weights.tolist()}", tolerance)


def _copies(draw: Callable[[Rng], Ancestors], size: int) -> dict[tuple[int, ...], float]:
    """Return the law of the numbers of copies."""
    return expectation(lambda rng: {tuple(np.bincount(draw(rng), minlength=size).tolist()): 1.0})
