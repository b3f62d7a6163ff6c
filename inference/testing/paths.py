"""Paths: the measure of a masked-diffusion target over the ways to unmask it, by brute force.

Part of the oracle: a second implementation of what `ppl.mdm` says, token by token from the definition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import permutations
from typing import Any

from inference.denoisers.base import Denoiser
from ppl.mdm import Infill
from ppl.targets import Power, PowerMean, Product, Target

Path = tuple[tuple[int, int], ...]


def first_infill(target: Target[Any]) -> Infill | None:
    """Return the first masked-diffusion text in powers, products and means, None if there is none."""
    if isinstance(target, Infill):
        return target
    if isinstance(target, Power):
        return first_infill(target.target)
    if isinstance(target, Product):
        return first_infill(target.left)
    return first_infill(target.targets[0]) if isinstance(target, PowerMean) else None


def path_masses(target: Target[Any]) -> dict[tuple[str, Path], float]:
    """Return the mass of each path, Π r(positions | visible) Π m(token), with the text that it leads to."""
    first = _leaf(target)
    size = len(first.masked)
    done: dict[tuple[str, Path], float] = {}
    pending: list[tuple[Path, float]] = [((), 1.0)]
    while pending:
        path, mass = pending.pop()
        visible = dict(path)
        if len(visible) == size:
            key = _text(first, visible), path
            done[key] = done.get(key, 0.0) + mass
            continue
        for positions, share in _orders(first, visible):
            pending += [
                ((*path, *step), mass * share * m)
                for step, m in _steps(target, visible, positions)
                if m > 0.0
            ]
    return done


def _steps(
    target: Target[Any], visible: dict[int, int], positions: tuple[int, ...]
) -> Iterator[tuple[Path, float]]:
    """Yield the ways to fill positions that are chosen at once, with their masses."""
    if not positions:
        yield (), 1.0
        return
    first, *rest = positions
    size = _leaf(target).mdm.size
    for token in range(size):
        mass = _mass(target, visible, first, token)
        for more, other in _steps(target, visible, tuple(rest)):
            yield ((first, token), *more), mass * other


def _mass(target: Target[Any], visible: dict[int, int], position: int, token: int) -> float:
    """Return the mass that a tree of experts gives a token at a position."""
    if isinstance(target, Infill):
        return float(math.exp(_logs(target, visible)[position][token]))
    if isinstance(target, Power):
        mass = _mass(target.target, visible, position, token)
        if mass == 0.0:
            return float(target.exponent == 0.0 and token != _leaf(target).mdm.mask)
        return float(mass**target.exponent)
    if isinstance(target, Product):
        return _mass(target.left, visible, position, token) * _mass(target.right, visible, position, token)
    assert isinstance(target, PowerMean)
    masses = [_mass(part, visible, position, token) for part in target.targets]
    if target.r < 0.0 and 0.0 in masses:
        return 0.0
    return float(
        sum(w * m**target.r for w, m in zip(target.weights, masses, strict=True)) ** (1.0 / target.r)
    )


def _leaf(target: Target[Any]) -> Infill:
    first = first_infill(target)
    assert first is not None
    return first


def _logs(infill: Infill, visible: dict[int, int]) -> list[list[float]]:
    assert isinstance(infill.mdm, Denoiser)
    ids = list(infill.template)
    for k, position in enumerate(infill.masked):
        ids[position] = visible.get(k, infill.mdm.mask)
    rows: list[list[float]] = infill.mdm.denoise([tuple(ids)], infill.masked)[0].tolist()
    return rows


def _orders(infill: Infill, visible: dict[int, int]) -> list[tuple[tuple[int, ...], float]]:
    """Return the positions that may be chosen next, with the probability of each choice."""
    masked = [k for k in range(len(infill.masked)) if k not in visible]
    count = min(infill.per_step, len(masked))
    if infill.order == "random":
        choices = list(permutations(masked, count))
        return [(choice, 1.0 / len(choices)) for choice in choices]
    if infill.order == "confident":
        rows = _logs(infill, visible)
        masked.sort(key=lambda k: (-max(rows[k]), k))
    return [(tuple(masked[:count]), 1.0)]


def _text(infill: Infill, visible: dict[int, int]) -> str:
    ids = list(infill.template)
    for k, position in enumerate(infill.masked):
        ids[position] = visible[k]
    return infill.mdm.decode(ids[infill.start : infill.stop])
