"""Oracle: the measure that a program denotes, by brute force.

A second, deliberately naive implementation of the semantics, against which inference is checked. It shares
with it the user-facing pieces (programs, targets, `Constraint.matches`, the toy model's own table) and nothing
of the machinery: no kernels, masks, stop scanners, schedulers, forks or plans. Every sequence of tokens is
spelled out, its text cut at the first stop by string search, constraints are asked about complete texts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable
from typing import Any

from inference.engines.table import TableLM
from ppl.fiber import Draw, Fiber, Finished, Observe, Request
from ppl.program import Model
from ppl.targets import Categorical, Constrained, Target, Text

Measure = dict[Any, float]
"""A finite measure: values of positive mass, with their mass."""


def measure(model: Model[Any]) -> Measure:
    """Return the unnormalised measure of a program over its (hashable) return values."""
    total: defaultdict[Hashable, float] = defaultdict(float)
    pending: list[list[Any]] = [[]]
    while pending:
        script = pending.pop()
        mass, request = _run(model.fiber(), script)
        if isinstance(request, Finished):
            total[request.value] += mass
        elif isinstance(request, Draw) and mass > 0.0:
            pending += [[*script, outcome] for outcome in target_measure(request.target)]
    return {value: mass for value, mass in total.items() if mass > 0.0}


def target_measure(target: Target[Any]) -> Measure:
    """Return the unnormalised measure of a target over its texts or values."""
    if isinstance(target, Constrained):
        inner = target_measure(target.target)
        return {x: mass for x, mass in inner.items() if target.constraint.matches(x)}
    if isinstance(target, Categorical):
        total: defaultdict[Any, float] = defaultdict(float)
        for value, p in zip(target.values, target.probabilities, strict=True):
            total[value] += p
        return {value: p for value, p in total.items() if p > 0.0}
    assert isinstance(target, Text)
    assert isinstance(target.lm, TableLM)
    texts: defaultdict[str, float] = defaultdict(float)
    for content, _, mass in token_sequences(target):
        texts[content.decode("utf-8", "replace")] += mass
    return dict(texts)


def token_sequences(target: Text) -> list[tuple[bytes, tuple[int, ...], float]]:
    """Return every sequence of the text distribution: its text, its ids without the end, its probability."""
    lm = target.lm
    assert isinstance(lm, TableLM)
    stops = [stop.encode() for stop in target.stop]
    done: list[tuple[bytes, tuple[int, ...], float]] = []
    open_: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    while open_:
        ids, mass = open_.pop()
        for token, logprob in enumerate(lm.logprobs(target.prompt, ids).tolist()):
            p = mass * math.exp(logprob)
            if p == 0.0:
                continue
            if token == lm.vocabulary.end:
                done.append((lm.vocabulary.decode(ids), ids, p))
                continue
            cut = _cut(lm.vocabulary.decode((*ids, token)), stops)
            if cut is not None:
                done.append((cut, (*ids, token), p))
            elif len(ids) < target.max_tokens:
                open_.append(((*ids, token), p))
    return done


def _cut(data: bytes, stops: list[bytes]) -> bytes | None:
    """Return `data` up to the first stop in it: the one that ends first, of those the one that begins first."""
    found = [(data.find(stop) + len(stop), data.find(stop)) for stop in stops if stop in data]
    return data[: min(found)[1]] if found else None


def _run(fiber: Fiber, script: list[Any]) -> tuple[float, Request]:
    """Run with the first draws scripted; return the mass so far and the first unscripted draw, or the end."""
    mass, at, request = 1.0, 0, fiber.start()
    while mass > 0.0 and not isinstance(request, Finished):
        if isinstance(request, Draw):
            if at == len(script):
                break
            mass *= target_measure(request.target)[script[at]]
            request, at = fiber.answer(script[at]), at + 1
        elif isinstance(request, Observe):
            mass *= target_measure(request.target).get(request.value, 0.0)
            request = fiber.answer()
        else:
            mass *= math.exp(request.log_weight)
            request = fiber.answer()
    fiber.close()
    return mass, request
