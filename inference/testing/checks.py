"""Checks: statements about the law of an algorithm, verified by enumeration.

Each raises `AssertionError` with both numbers where they differ by more than `tolerance` (relative to the
larger of 1 and the number). For toy language models: the work grows with the number of random paths.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import torch

from grammars.errors import PPLError
from inference.drawing import draw
from inference.engines.base import NextTokens
from inference.estimators import AWRS
from inference.experts import next_laws
from inference.infer import infer
from inference.kernels import Kernel
from inference.many import infer_many, program_seed
from inference.methods.base import Method, Result
from inference.posterior import Posterior
from inference.progress import Progress
from inference.resampling import Scheme, resample
from inference.runtime import Runtime
from inference.sessions import Sessions
from inference.testing.enum_rng import expectation
from inference.testing.oracle import Measure, measure, target_measure
from inference.text import TextState
from inference.weights import Floats, normalise
from ppl.fiber import Draw, Finished
from ppl.program import Model
from ppl.rng import Rng

TOLERANCE = 1e-10


def check_unbiased(
    model: Model[Any],
    method: Method,
    *,
    awrs: AWRS | None = None,
    tolerance: float = TOLERANCE,
    max_paths: int = 100_000,
) -> None:
    """Check that `method` is unbiased for `model`: E[Ẑ] = Z, and E[Ẑ Σ W_i 1{x_i = x}] = γ(x) for each value x.

    γ is the measure that the program denotes, by the oracle; values must be hashable. Raises `TooManyPaths`
    where the method makes more than `max_paths` different runs.
    """
    expected: dict[Any, float] = {**measure(model), _EVIDENCE: 0.0}
    expected[_EVIDENCE] = math.fsum(expected.values())
    actual = expectation(lambda rng: _estimate(model, method, awrs, rng), max_paths=max_paths)
    compare(actual, expected, f"{method!r} on {model!r}", tolerance)


def check_kernel(
    kernel: Kernel, state: TextState, target: Mapping[int, float], *, tolerance: float = TOLERANCE
) -> None:
    """Check that a kernel is properly weighted: E[w 1{x}] = target(x) for each token x.

    Parameters
    ----------
    kernel:
        The kernel under test.
    state:
        Where the token is proposed; it is not changed.
    target:
        The unnormalised law of the next token; tokens left out have mass 0.
    tolerance:
        Largest absolute difference that passes.
    """
    with Sessions() as sessions:
        following = next_laws([state], sessions)[0].following

    def propose(rng: Rng) -> dict[int, float]:
        proposal = kernel(NextTokens(following.logprobs, following.rows), [state])
        before = float(proposal.log_weights[0])
        if before == -math.inf:
            return {}
        tokens, after = proposal.draw(rng, [state])
        return {int(tokens[0]): math.exp(before + float(after[0]))}

    compare(expectation(propose), target, f"the kernel at {state.content!r}", tolerance)


def check_resampling(scheme: Scheme, weights: Floats, *, tolerance: float = TOLERANCE) -> None:
    """Check that a scheme gives particle j an expected number of N W_j offspring, and N in total."""
    weights, size = normalise(np.log(weights)), len(weights)

    def offspring(rng: Rng) -> dict[int, float]:
        ancestors = resample(scheme, weights, rng)
        assert len(ancestors) == size, f"{scheme}: {len(ancestors)} ancestors for {size} particles"
        return {int(j): float(np.sum(ancestors == j)) for j in set(ancestors)}

    expected = {j: size * w for j, w in enumerate(weights.tolist())}
    compare(expectation(offspring), expected, f"{scheme} resampling of {weights.tolist()}", tolerance)


def check_drawing(weights: Floats, n: int, *, tolerance: float = TOLERANCE) -> None:
    """Check that each of n choices (`inference.drawing`) has the law of the weights, with no copies but by weight."""
    weights = normalise(np.log(weights))

    def choices(rng: Rng) -> dict[tuple[int, int], float]:
        chosen = draw(weights, n, rng)
        for i, w in enumerate(weights):
            assert abs(chosen.count(i) - n * w) < 1.0 + TOLERANCE, (
                f"{chosen.count(i)} of {n} for a weight of {w}"
            )
        return dict.fromkeys(enumerate(chosen), 1.0)

    expected = {(place, i): w for place in range(n) for i, w in enumerate(weights.tolist())}
    compare(expectation(choices), expected, f"{n} choices by weights {weights.tolist()}", tolerance)


def check_together(
    models: Sequence[Model[Any]],
    method: Method,
    *,
    seed: int = 0,
    concurrency: int = 8,
    awrs: AWRS | None = None,
) -> None:
    """Check that `infer_many` gives each of several models, bit by bit, what `infer` gives it alone.

    Values, log-weights, evidence, ticks and cost (but for times) are compared, or the errors. For language models whose
    rows do not depend on each other, as those of `TableLM`; values must compare by ==.
    """
    results = list(infer_many(models, method, seed=seed, concurrency=concurrency, awrs=awrs, errors="return"))
    assert len(results) == len(models), f"{len(results)} results of {len(models)} models"
    seeds = [program_seed(seed, index) for index in range(len(models))]
    assert len(set(seeds)) == len(models), f"{len(models)} models share {len(set(seeds))} seeds"
    for model, alone_seed, together in zip(models, seeds, results, strict=True):
        alone: Posterior[Any] | Exception
        try:
            alone = infer(model, method, seed=alone_seed, awrs=awrs)
        except PPLError as error:
            alone = error
        expected, actual = _facts(alone), _facts(together)
        assert actual == expected, f"{method!r} on {model!r}: {actual} together, {expected} alone"


def _facts(result: Posterior[Any] | Exception) -> object:
    if isinstance(result, Exception):
        return type(result), str(result)
    samples = [(sample.value, sample.log_weight) for sample in result.samples]
    return samples, result.log_evidence, result.steps, replace(result.cost, seconds=0.0), result.seed


def check_replay(model: Model[Any], rng: Rng) -> None:
    """Check that a program can be replayed: a fork at each draw, run on, makes the same requests.

    The outcomes are drawn from the sites' own toy distributions. Raises `ReplayDivergence` where a program
    depends on more than its samples.
    """
    original = model.fiber()
    request = original.start()
    while not isinstance(request, Finished):
        outcome = None
        if isinstance(request, Draw):
            choices = list(target_measure(request.target).items())
            if not choices:
                break
            masses = np.log([mass for _, mass in choices])
            outcome = choices[_pick(masses, rng)][0]
        copy = original.fork() if isinstance(request, Draw) else None
        request = original.answer(outcome)
        if copy is not None:
            replayed = copy.answer(outcome)
            assert replayed == request, f"the replay of {model!r} reached {replayed}, the original {request}"
            copy.close()


_EVIDENCE = object()


def compare(actual: Mapping[Any, float], expected: Mapping[Any, float], what: str, tolerance: float) -> None:
    """Raise `AssertionError` with both numbers where two sparse vectors differ."""
    for key in {**expected, **actual}:
        a, e = actual.get(key, 0.0), expected.get(key, 0.0)
        if not abs(a - e) <= tolerance * max(1.0, abs(e)):
            name = "the evidence" if key is _EVIDENCE else repr(key)
            raise AssertionError(f"{what}: expected {e!r} for {name}, got {a!r}")


def _run(model: Model[Any], method: Method, awrs: AWRS | None, rng: Rng) -> Result:
    clock = count(
        0.0, 1e9
    ).__next__  # no mask takes long beside it: paths depend on choices, not on the machine
    with Runtime(awrs, clock=clock) as runtime:
        return method.run(model, rng, runtime, Progress())


def _estimate(model: Model[Any], method: Method, awrs: AWRS | None, rng: Rng) -> Measure:
    """Return one run's estimate of the measure, Ẑ Σ W_i 1{x_i}, and of the evidence, Ẑ."""
    result = _run(model, method, awrs, rng)
    estimate: Measure = {_EVIDENCE: math.exp(result.log_evidence)}
    if result.log_evidence > -math.inf:
        weights = normalise(result.log_weights)
        for particle, weight in zip(result.particles, weights.tolist(), strict=True):
            if weight > 0.0:
                mass = estimate[_EVIDENCE] * weight
                estimate[particle.value] = estimate.get(particle.value, 0.0) + mass
    return estimate


def _pick(masses: Floats, rng: Rng) -> int:
    return int(rng.categorical(torch.from_numpy(masses)[None], np.zeros(1, dtype=np.int64))[0])
