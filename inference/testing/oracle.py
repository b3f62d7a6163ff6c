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
from dataclasses import replace
from typing import Any

from inference.engines.drafted import DraftedLM
from inference.engines.errors import NotSpellable
from inference.engines.table import TableLM
from inference.engines.warped import WarpedLM
from inference.testing.paths import first_infill, path_masses
from ppl.fiber import Draw, Fiber, Finished, Observe, Request
from ppl.lm import LM
from ppl.nested import Nested
from ppl.potentials import FunctionPotential, Potential, ScorePotential
from ppl.program import Model
from ppl.targets import Categorical, Constrained, Power, PowerMean, Product, Target, Text, Twisted

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
    total: defaultdict[Any, float] = defaultdict(float)
    for (value, _), mass in _masses(target).items():
        total[value] += mass
    return {value: mass for value, mass in total.items() if mass > 0.0}


def token_sequences(target: Text) -> list[tuple[bytes, tuple[int, ...], float]]:
    """Return every sequence of the text distribution: its text, its ids without an end, its probability."""
    lm = target.lm
    stops = [stop.encode() for stop in target.stop]
    done: list[tuple[bytes, tuple[int, ...], float]] = []
    open_: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    while open_:
        ids, mass = open_.pop()
        for token, probability in enumerate(_law(lm, target.prompt, ids)):
            p = mass * probability
            if token == lm.vocabulary.end:
                done.append((lm.vocabulary.decode(ids), ids, p))
                continue
            cut = _cut(lm.vocabulary.decode((*ids, token)), stops)
            if cut is not None:
                done.append((cut, (*ids, token), p))
            elif len(ids) < target.max_tokens:
                open_.append(((*ids, token), p))
    return done


def _law(lm: LM, prompt: tuple[int, ...], ids: tuple[int, ...]) -> list[float]:
    """Return the probabilities of the next token, of a table or of one that is warped."""
    if isinstance(lm, TableLM):
        return [math.exp(logprob) for logprob in lm.logprobs(prompt, ids).tolist()]
    if isinstance(lm, DraftedLM):
        return _law(lm.base, prompt, ids)
    assert isinstance(lm, WarpedLM)
    if lm.length is not None and len(ids) >= lm.length:
        return [float(token == lm.vocabulary.end) for token in range(lm.vocabulary.size)]
    powers = [p ** (1.0 / lm.temperature) for p in _law(lm.base, prompt, ids)]
    masses = [p / sum(powers) for p in powers]
    kept, nucleus = 0.0, set[int]()
    for token in sorted(range(len(masses)), key=lambda token: (-masses[token], token)):
        if kept < lm.top_p:
            nucleus.add(token)
            kept += masses[token]
    return [p / kept if token in nucleus else 0.0 for token, p in enumerate(masses)]


def _masses(target: Target[Any]) -> dict[tuple[Any, Any], float]:
    """Return the mass of each sequence of tokens with its text, or of each finite value; 0 included.

    Powers and products are of these masses, not of those of texts, which may be spelled in several ways.
    """
    if isinstance(target, Constrained):
        inner = _masses(target.target)
        return {key: m if target.constraint.matches(key[0]) else 0.0 for key, m in inner.items()}
    if isinstance(target, Nested):
        found = measure(target.model)
        total_mass = math.fsum(found.values()) if target.normalised else 1.0
        return {(value, None): m / total_mass for value, m in found.items()}
    if isinstance(target, Twisted):
        inner = _masses(target.target)
        return {key: m * math.exp(_potential(target.potential, key[0])) for key, m in inner.items()}
    if first_infill(target) is not None:
        return dict(path_masses(target))
    if isinstance(target, Power):
        return {key: _power(m, target.exponent) for key, m in _masses(target.target).items()}
    if isinstance(target, Product):
        left = _masses(target.left)
        if (
            isinstance(target.right, Text)
            and target.right.lm.vocabulary.tokens != _first_text(target.left).lm.vocabulary.tokens
        ):
            return {key: _times(m, math.exp(_log_score(target.right, key[0]))) for key, m in left.items()}
        right = _masses(target.right)
        return {key: _times(m, right[key]) for key, m in left.items() if key in right}
    if isinstance(target, PowerMean):
        return _token_by_token(target)
    if isinstance(target, Categorical):
        total: dict[tuple[Any, Any], float] = defaultdict(float)
        for value, p in zip(target.values, target.probabilities, strict=True):
            total[value, None] += p
        return dict(total)
    assert isinstance(target, Text)
    return {(content.decode("utf-8", "replace"), ids): mass for content, ids, mass in token_sequences(target)}


def _potential(potential: Potential, text: str) -> float:
    if isinstance(potential, FunctionPotential):
        return potential.ask([text])[0]
    assert isinstance(potential, ScorePotential)
    return potential.scale * _log_score(potential.target, text)


def _log_score(target: Target[Any], text: str) -> float:
    """Return the log-probability of the canonical tokens of a text and its end, under a text without stop strings."""
    assert isinstance(target, Text)
    try:
        ids = target.lm.encode(text)
    except NotSpellable:
        return -math.inf
    if len(ids) > target.max_tokens:
        return -math.inf
    ended = (*ids, target.lm.vocabulary.end)
    laws = [_law(target.lm, target.prompt, ended[:n]) for n in range(len(ended))]
    return sum(math.log(law[v]) if law[v] > 0.0 else -math.inf for law, v in zip(laws, ended, strict=True))


def _token_by_token(target: PowerMean) -> dict[tuple[Any, Any], float]:
    """Return the masses of an ensemble, which are products of means of next-token masses."""
    first = _first_text(target)
    lm = first.lm
    masses = {}
    for content, ids, _ in token_sequences(first):
        mass = 1.0
        ended = (
            ids if first.stop and ids and content != lm.vocabulary.decode(ids) else (*ids, lm.vocabulary.end)
        )
        for n, token in enumerate(ended):
            mass *= _next_mass(target, ended[:n], token)
        masses[content.decode("utf-8", "replace"), ids] = mass
    return masses


def _next_mass(target: Target[Any], ids: tuple[int, ...], token: int) -> float:
    if isinstance(target, Text):
        return _law(target.lm, target.prompt, ids)[token]
    if isinstance(target, Power):
        return _power(_next_mass(target.target, ids, token), target.exponent)
    if isinstance(target, Product):
        return _times(_next_mass(target.left, ids, token), _next_mass(target.right, ids, token))
    assert isinstance(target, PowerMean)
    masses = [_next_mass(part, ids, token) for part in target.targets]
    if target.r == 0.0:
        return float(math.prod(m**w for m, w in zip(masses, target.weights, strict=True)))
    if math.isinf(target.r):
        return max(masses) if target.r > 0 else min(masses)
    if target.r < 0.0 and 0.0 in masses:
        return 0.0
    return float(
        sum(w * m**target.r for m, w in zip(masses, target.weights, strict=True)) ** (1.0 / target.r)
    )


def _first_text(target: Target[Any]) -> Text:
    """Return the first text in a tree of targets, with the smallest `max_tokens` in it."""
    if isinstance(target, Text):
        return target
    if isinstance(target, Power | Constrained | Twisted):
        return _first_text(target.target)
    assert isinstance(target, Product | PowerMean)
    parts = (target.left, target.right) if isinstance(target, Product) else target.targets
    texts = [_first_text(part) for part in parts]
    return replace(texts[0], max_tokens=min(text.max_tokens for text in texts))


def _power(mass: float, exponent: float) -> float:
    if mass == 0.0:
        return math.inf if exponent < 0.0 else float(exponent == 0.0)
    return float(mass**exponent)


def _times(a: float, b: float) -> float:
    """Return a product of masses; one that is 0 wins over an infinite one."""
    return 0.0 if a == 0.0 or b == 0.0 else a * b


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
