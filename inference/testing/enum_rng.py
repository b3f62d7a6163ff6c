"""EnumRng: replay a computation once for every path of its random choices.

An algorithm that takes all its randomness from a `ppl.rng.Rng` is a function of finitely many discrete choices
on a toy language model. Running it once for every combination of them, with the probability of each, turns any
statement about its law into a finite sum, checked to rounding error instead of statistically.

    paths(lambda rng: infer_with(rng))  ->  (probability, result) for every path
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from grammars.errors import PPLError
from inference.weights import log_sum_exp, normalise
from ppl.rng import Edges, Noise, Rng
from ppl.successive import Draw, SuccessiveDraws

T = TypeVar("T")

_EMPTY = 1e-14
"""Parts of [0, 1) below this are rounding."""


class TooManyPaths(PPLError, RuntimeError):
    """An enumeration would need more paths than it was allowed."""


class EnumRng(Rng):
    """A generator that follows a script of choices, and records the alternatives to each."""

    def __init__(self, script: Sequence[int] = ()) -> None:
        self._script = script
        self.chosen: list[int] = []
        self.alternatives: list[int] = []
        self.probability = 1.0

    def noise(self) -> Noise:
        """Return a uniform number of which nothing is known yet."""
        return Noise()

    def categorical(
        self, logits: Tensor, rows: NDArray[np.int64], noise: Sequence[Noise | None] = ()
    ) -> NDArray[np.int64]:
        """Enumerate each draw over the indices of positive probability, given what is known of its noise."""
        table = logits.double().cpu().numpy()
        drawn = [
            self._draw(normalise(table[row])) if known is None else self._invert(normalise(table[row]), known)
            for row, known in zip(rows, noise or [None] * len(rows), strict=True)
        ]
        return np.array(drawn, dtype=np.int64)

    def without_replacement(self, logits: Tensor, rows: NDArray[np.int64]) -> SuccessiveDraws:
        """Enumerate each draw when it is asked for, over the indices that are left."""
        return _EnumeratedDraws(self, logits.double().cpu().numpy()[rows])

    def uniform(self, edges: Edges) -> float:
        """Enumerate the cells of the partition at `edges`; the draw is the middle of its cell."""
        inner = sorted({float(e) for e in edges if 0.0 < e < 1.0})
        bounds = np.array([0.0, *inner, 1.0])
        cell = self._draw(np.diff(bounds))
        return float(bounds[cell] + bounds[cell + 1]) / 2

    def _invert(self, probabilities: NDArray[np.float64], noise: Noise) -> int:
        """Enumerate the indices whose part of [0, 1) meets what is known of a number; it is known to lie there then."""
        above = np.cumsum(probabilities)
        below = above - probabilities
        parts = np.minimum(above, noise.high) - np.maximum(below, noise.low)
        parts[(parts < _EMPTY) | (probabilities == 0.0)] = 0.0
        index = self._draw(parts / parts.sum())
        noise.low, noise.high = max(float(below[index]), noise.low), min(float(above[index]), noise.high)
        return index

    def _draw(self, probabilities: NDArray[np.float64]) -> int:
        support = np.flatnonzero(probabilities > 0.0)
        assert len(support), "a draw from a distribution without mass"
        at = len(self.chosen)
        choice = self._script[at] if at < len(self._script) else 0
        self.chosen.append(choice)
        self.alternatives.append(len(support))
        index = int(support[choice])
        self.probability *= float(probabilities[index])
        return index


class _EnumeratedDraws(SuccessiveDraws):
    """Successive draws by an `EnumRng`, in the plainest way."""

    def __init__(self, rng: EnumRng, logits: NDArray[np.float64]) -> None:
        self._rng, self._logits = rng, logits

    def next(self, members: Sequence[int]) -> list[Draw]:
        return [self._draw(self._logits[i]) for i in members]

    def _draw(self, left: NDArray[np.float64]) -> Draw:
        before = log_sum_exp(left)
        if before == -np.inf:
            return Draw(-1, -np.inf, -np.inf, -np.inf)
        token = self._rng._draw(normalise(left))
        mass, left[token] = float(left[token]), -np.inf
        return Draw(token, mass, before, log_sum_exp(left))


def paths(run: Callable[[Rng], T], *, max_paths: int = 1_000_000) -> Iterator[tuple[float, T]]:
    """Yield (probability, result) of `run` for every path of its random choices.

    Raises
    ------
    TooManyPaths
        If there are more than `max_paths` paths.
    """
    script: list[int] = []
    for _ in range(max_paths):
        rng = EnumRng(script)
        result = run(rng)
        yield rng.probability, result
        following = _next_script(rng)
        if following is None:
            return
        script = following
    raise TooManyPaths(
        f"a run has more than {max_paths} random paths",
        hint="use fewer particles, tokens or a smaller vocabulary",
    )


def expectation(run: Callable[[Rng], dict[T, float]], *, max_paths: int = 1_000_000) -> dict[T, float]:
    """Return the exact expectation of a run that returns a sparse vector (missing keys are 0)."""
    mean: dict[T, float] = {}
    for probability, vector in paths(run, max_paths=max_paths):
        for key, x in vector.items():
            mean[key] = mean.get(key, 0.0) + probability * x
    return mean


def _next_script(rng: EnumRng) -> list[int] | None:
    """Return the choices of the next path in depth-first order, or None after the last."""
    for at in reversed(range(len(rng.chosen))):
        if rng.chosen[at] + 1 < rng.alternatives[at]:
            return [*rng.chosen[:at], rng.chosen[at] + 1]
    return None
