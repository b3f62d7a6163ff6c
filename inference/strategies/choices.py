r"""Choices: how Hypothesis's choice sequence drives the draws of a run.

Hypothesis generates, replays and shrinks *sequences of choices*; whatever a test draws is a function of them. A draw
from masses m_1, ..., m_K, with the simplest outcome first, takes one number n of 0 to G - 1, and is

    the first k with m_1 + ... + m_k > (n / G) (m_1 + ... + m_K),        G = 2^24.

So n = 0 is the simplest outcome, and n uniform gives k with probability m_k / Σ m, up to 1 / G; an outcome of less
mass may be out of reach. Where only one outcome has mass, nothing is drawn. Hypothesis makes sequences smaller, first
shorter and then number by number: with the end first, then the likeliest tokens, texts become short and usual.

A number is asked for as three bytes, which Hypothesis draws uniformly but for one in twenty or so, when it prefers a
special value. It draws integers of more than 9 bits, and floats, far from uniformly.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from numpy.typing import NDArray
from torch import Tensor

from grammars.cache import per_vocabulary
from grammars.vocabulary import Vocabulary
from inference.infilling import InfillState
from inference.text import TextState
from inference.weights import log_sum_exp
from ppl.rng import Edges, Noise, Rng
from ppl.successive import Draw, SuccessiveDraws

GRAIN = 1 << 24
_FREE = 4
"""A string is written where at least this part, 1 in so many, of the tokens may come."""
_HURRY = 12.0
"""Nats by which closing tokens are favoured where a text is about to reach its limit."""

_bytes = st.binary(min_size=3, max_size=3)


def draw_unit(draw: DrawFn) -> float:
    """Return a choice of Hypothesis's as a number in [0, 1), the simplest 0."""
    return int.from_bytes(draw(_bytes), "big") / GRAIN


def first_above(cumulative: Sequence[float], unit: float) -> int:
    """Return the first index whose cumulative mass is above `unit` times the total; the last must be the total."""
    return min(bisect_right(cumulative, unit * cumulative[-1]), len(cumulative) - 1)


class ChoiceRng(Rng):
    """A generator whose draws are choices of Hypothesis's, for runs of one particle.

    Where a token is drawn, `expect` is told the text first.
    """

    sets_aside: ClassVar[bool] = False

    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw
        self._state: TextState | None = None

    def expect(self, state: TextState | InfillState) -> None:
        """Announce that the next draw is of a token of `state`."""
        self._state = state if isinstance(state, TextState) else None

    def categorical(
        self, logits: Tensor, rows: NDArray[np.int64], noise: Sequence[Noise | None] = ()
    ) -> NDArray[np.int64]:
        """Draw an index of each row: the end first, then from the likeliest on."""
        assert not any(noise), "choices are made when a token is drawn"
        state, self._state = self._state, None
        return np.array([self._index(_Order(logits[row], state)) for row in rows.tolist()], dtype=np.int64)

    def without_replacement(self, logits: Tensor, rows: NDArray[np.int64]) -> SuccessiveDraws:
        """Draw indices without replacement: one choice for each member, asked again of what is left.

        All draws after the first are there for checks that refuse it, or for weights, which do not matter here; so
        a token is one choice, however many are refused.
        """
        state, self._state = self._state, None
        return _SuccessiveChoices([_Order(logits[row], state) for row in rows.tolist()], self._draw)

    def uniform(self, edges: Edges) -> float:
        """Draw a number in [0, 1), the simplest 0."""
        return draw_unit(self._draw)

    def _index(self, order: _Order) -> int:
        return order.indices[order.at(draw_unit(self._draw) if len(order.indices) > 1 else 0.0)]


class _Order:
    """The indices with mass in one row of logits, in the order of their simplicity."""

    def __init__(self, logits: Tensor, state: TextState | None) -> None:
        values = logits.double().cpu()
        if state is not None:
            values = values + _hurry(state, int(torch.isfinite(values).sum()))
        finite = torch.isfinite(values).nonzero()[:, 0]
        order = finite[torch.sort(values[finite], descending=True, stable=True).indices]
        if state is not None:
            end = order == state.vocabulary.end
            order = torch.cat([order[end], order[~end]])
        self.indices: list[int] = order.tolist()
        self.log_masses: list[float] = values[order].tolist()

    def at(self, unit: float) -> int:
        """Return the position that a unit choice stands for."""
        masses = np.exp(np.array(self.log_masses) - max(self.log_masses))
        return first_above(np.cumsum(masses).tolist(), unit)

    def take(self, unit: float) -> Draw:
        """Take out the index that a unit choice stands for."""
        if not self.indices:
            return Draw(-1, -np.inf, -np.inf, -np.inf)
        before = log_sum_exp(np.array(self.log_masses))
        at = self.at(unit)
        index, log_mass = self.indices.pop(at), self.log_masses.pop(at)
        return Draw(index, log_mass, before, log_sum_exp(np.array(self.log_masses)))


class _SuccessiveChoices(SuccessiveDraws):
    """Successive draws of each member by one choice."""

    def __init__(self, orders: Sequence[_Order], draw: DrawFn) -> None:
        self._orders = orders
        self._units = [draw_unit(draw) if len(order.indices) > 1 else 0.0 for order in orders]

    def next(self, members: Sequence[int]) -> list[Draw]:
        return [self._orders[i].take(self._units[i]) for i in members]


def _hurry(state: TextState, possible: int) -> Tensor | float:
    """Return what is added to the (V,) logits: in the second half of a constrained text, more and more to what closes.

    The end is forced at `max_tokens`; a text that is not complete there would be rejected. Where many tokens are
    `possible`, a string is written, and brackets close nothing.
    """
    length, limit = state.contexts[0].length, state.plan.text.max_tokens
    late = max(0.0, 2.0 * length / limit - 1.0)
    if state.matcher is None or not late:
        return 0.0
    return _HURRY * late * _closing(state.vocabulary, possible > state.vocabulary.size // _FREE)


@per_vocabulary(limit=2)
def _closing(vocabulary: Vocabulary, in_string: bool) -> Tensor:
    """Return (V,) 1 for the end and tokens that end with what closes strings or else brackets, too; otherwise 0."""
    signs = (b'"',) if in_string else (b'"', b"]", b"}", b")")
    closes = [(data or b"").endswith(signs) for data in vocabulary.tokens]
    closes[vocabulary.end] = True
    return torch.tensor(closes, dtype=torch.float64)
