"""Checks of search and of early stopping: what a heuristic claims, verified by enumeration."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from itertools import product
from typing import Any

from inference.infer import infer
from inference.methods import AdaptiveConsistency, BestFirst, Enumerate, FirstFinished, Importance
from inference.methods.base import Method, Result
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing.checks import TOLERANCE, compare
from inference.testing.enum_rng import expectation, paths
from ppl.program import Model
from ppl.rng import Rng


def check_heaviest(model: Model[Any], method: BestFirst, *, tolerance: float = TOLERANCE) -> None:
    """Check that the first samples of a best-first search are the heaviest runs, in order: h is to be admissible."""
    masses = sorted((s.log_weight for s in infer(model, Enumerate()).samples), reverse=True)
    wanted = min(method.samples, len(masses))
    found = [sample.log_weight for sample in infer(model, method).samples][:wanted]
    expected = dict(enumerate(masses[:wanted]))
    compare(dict(enumerate(found)), expected, f"the heaviest runs of {model!r} by {method!r}", tolerance)


def check_shortest(model: Model[Any], method: FirstFinished, *, tolerance: float = TOLERANCE) -> None:
    """Check the law of `FirstFinished`: E[(1/k) Σ ω 1{x}] over the m shortest of k runs that have weight.

    Of equal lengths the first are kept. The law is computed from that of a single run; values must be sortable.
    """
    k, m = method.particles, method.keep
    expected: defaultdict[Any, float] = defaultdict(float)
    for runs in product(_single_runs(model).items(), repeat=k):
        probability = math.prod(p for _, p in runs)
        weighed = [(tokens, i, value, w) for i, ((value, w, tokens), _) in enumerate(runs) if w > 0.0]
        for _, _, value, w in sorted(weighed)[:m]:
            expected[value] += probability * w / k
    expected[_EVIDENCE] = math.fsum(expected.values())

    def kept(rng: Rng) -> dict[Any, float]:
        result = _run(model, method, rng)
        masses: defaultdict[Any, float] = defaultdict(float, {_EVIDENCE: math.exp(result.log_evidence)})
        for particle, log_weight in zip(result.particles, result.log_weights.tolist(), strict=True):
            masses[particle.value] += math.exp(log_weight) / k
        return masses

    compare(expectation(kept), expected, f"{method!r} on {model!r}", tolerance)


def check_reading_order(
    model: Model[Any], method: AdaptiveConsistency, *, tolerance: float = TOLERANCE
) -> None:
    """Check that the law of the runs that are read, in order, is that of runs that are written one after the other."""

    def law(method: AdaptiveConsistency) -> dict[Any, float]:
        def read(rng: Rng) -> dict[Any, float]:
            return {tuple(particle.value for particle in _run(model, method, rng).particles): 1.0}

        return expectation(read)

    compare(law(method), law(replace(method, batch=1)), f"{method!r} on {model!r}", tolerance)


_EVIDENCE = "the evidence"


def _run(model: Model[Any], method: Method, rng: Rng) -> Result:
    with Runtime() as runtime:
        return method.run(model, rng, runtime, Progress())


def _single_runs(model: Model[Any]) -> dict[tuple[Any, float, int], float]:
    """Return the law of a run's value, weight and number of tokens."""
    law: defaultdict[tuple[Any, float, int], float] = defaultdict(float)
    for probability, result in paths(lambda rng: _run(model, Importance(1), rng)):
        weight = math.exp(float(result.log_weights[0]))
        law[result.particles[0].value, weight, result.drawn] += probability
    return law
