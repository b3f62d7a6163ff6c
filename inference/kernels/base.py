"""Kernel and proposal: next tokens of a group of particles, weighed first and drawn later.

The move of a particle is split where its weight is known. A `Proposal` carries the part of the incremental
log-weight that does not depend on which token is drawn, so that a method can resample *before* the draw: the
children of one particle then draw different tokens. `draw` returns the part that does depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inference.engines.base import NextTokens
from inference.text import TextState
from inference.weights import Floats
from ppl.rng import Noise, Rng

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Proposal:
    """The weighed moves of n particles.

    Attributes
    ----------
    numerators:
        (U, V) log of the unnormalised law of the next token; particles may share a row.
    rows:
        (n,) the row of each particle.
    log_weights:
        (n,) the incremental log-weights known before the draw, float64; -inf where no token may come.
    choices:
        (U,) the number of tokens that a mask leaves in each row; None without a mask.
    """

    numerators: Tensor
    rows: NDArray[np.int64]
    log_weights: Floats
    choices: NDArray[np.int64] | None = field(default=None, kw_only=True)

    def take(self, members: NDArray[np.int64]) -> Self:
        """Return the proposal of `members` (m,), in which a particle may occur several times or not at all."""
        return replace(self, rows=self.rows[members], log_weights=self.log_weights[members])

    @property
    def forced(self) -> bool:
        """Whether there is nothing to draw: masks leave each particle at most one token."""
        return self.choices is not None and bool((self.choices[self.rows] <= 1).all())

    def draw(self, rng: Rng, states: Sequence[TextState]) -> tuple[Tokens, Floats]:
        """Draw a token for each particle.

        Parameters
        ----------
        rng:
            Where the randomness comes from.
        states:
            The n text states, not yet advanced.

        Returns
        -------
        (n,) tokens, and (n,) the log-weights that the draws add.
        """
        noise = set_aside(states)
        drawn = rng.categorical(self.numerators, self.rows, *([noise] if noise else []))
        return drawn, np.zeros(len(self.rows))


def set_aside(states: Sequence[TextState]) -> list[Noise | None]:
    """Take the randomness that was set aside for the next draw of each state; nothing if there is none for any."""
    noise = [state.noise.pop(0) if isinstance(state, TextState) and state.noise else None for state in states]
    return noise if any(noise) else []


class Kernel(Protocol):
    """A proposal for the next tokens of particles with these distributions and states."""

    def __call__(self, following: NextTokens, states: Sequence[TextState]) -> Proposal:
        """Return the proposal; `following.rows` has one entry for each of `states`."""
        ...
