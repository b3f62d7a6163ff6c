"""Drawing from a posterior: n of its N weighted samples, and the tokens that they were written with.

The choices are drawn by systematic resampling, in a random rotation. So each choice by itself has the law of the
weights W, sample i is chosen n W_i times on average, and not twice unless its weight is above 1/n: of runs that all
have the same weight, each is chosen once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inference.posterior import Posterior
from inference.resampling import Ancestors, systematic
from inference.weights import Floats
from ppl.rng import Rng


def draw(weights: Floats, n: int, rng: Rng) -> list[int]:
    """Return the indices of n samples for (N,) normalised weights, see the top of this file."""
    chosen: list[int] = _turned(systematic(weights, n, rng), rng).tolist()
    return chosen


def _turned(drawn: Ancestors, rng: Rng) -> Ancestors:
    """Return the choices from a random one of them on, in a circle: as they come they are in the order of samples."""
    n = len(drawn)
    return np.roll(drawn, int(n * rng.uniform([i / n for i in range(1, n)])))


def written(posterior: Posterior[Any], sample: int) -> tuple[tuple[int, ...], bool]:
    """Return the token ids of a sample of a recorded posterior of one text, and whether the end was drawn after them.

    Where a stop string ended the text, its tokens are among them, and the end was not drawn.
    """
    assert posterior.record is not None
    symbols = [move.symbol for move in posterior.record.moves(sample) if move.symbol is not None]
    ended = not symbols[-1].data
    return tuple(symbol.token for symbol in (symbols[:-1] if ended else symbols)), ended
