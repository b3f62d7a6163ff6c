"""Successive draws: sampling without replacement, a draw at a time, from many distributions at once.

The k-th draw of a member is proportional to the masses that its first k - 1 draws left. This is the order in which
a Gumbel top-k would list the indices, and also that of the first occurrences in independent draws: a draw that
repeats an earlier one is left out. So a batch of independent draws from what is left gives the next few of the
sequence. The masses are summed in blocks, an inverse cumulative distribution finds the block and then the index;
what was drawn is taken out of its block before the next batch, so that few draws of it repeat. The remaining mass
is a sum of masses, never a difference: it stays accurate when nearly everything has been drawn.

Reference: Yellott (1977), *The relationship between Luce's choice axiom, Thurstone's theory of comparative
judgment, and the double exponential distribution*, for the equality of the orders.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

BLOCK = 256
_FIRST, _MOST, _TOGETHER = 8, 256, 4096
"""How many independent draws are made for a member that needs one: at first, and at most; and for all together."""
_FADED = -46.0
"""Log of the remaining share of the mass below which the rest is scaled up, lest it underflow in float32."""


class Draw(NamedTuple):
    """One draw of one member; masses in nats, unnormalised as the logits are."""

    token: int
    """The drawn index; -1 where nothing is left to draw."""
    log_mass: float
    """Its log-mass."""
    log_before: float
    """Log of the mass that was left before the draw, that of the drawn index included; -inf if none."""
    log_after: float
    """Log of the mass that is left after the draw; -inf if none."""


_NOTHING = Draw(-1, -np.inf, -np.inf, -np.inf)


class SuccessiveDraws(ABC):
    """Draws without replacement from n distributions; see `Rng.without_replacement`."""

    @abstractmethod
    def next(self, members: Sequence[int]) -> list[Draw]:
        """Return the next draw of each of `members`, distinct numbers from 0 to n - 1."""


class BlockwiseDraws(SuccessiveDraws):
    """Successive draws by two-level inversion; a few are made ahead, so that most requests need no device.

    A member needs a number for each block, and a byte for each index once it needs a second batch.

    Parameters
    ----------
    logits:
        (U, V) unnormalised log-probabilities.
    rows:
        (n,) the row of each member.
    uniforms:
        `uniforms((a, b))` gives (a, b) independent uniform draws from [0, 1).
    """

    def __init__(self, logits: Tensor, rows: Indices, uniforms: Callable[[tuple[int, int]], Floats]) -> None:
        self._logits, self._uniforms = logits, uniforms
        self._source = rows
        self._rows = torch.tensor(rows, device=logits.device)
        scale = logits.amax(dim=-1).clamp(min=torch.finfo(logits.dtype).min)
        self._blocks = _blocks(logits, scale)
        self._scale = scale.double()[self._rows]
        self._sums = self._blocks.sum(dim=-1, dtype=torch.float64)[self._rows]
        self._taken: Tensor | None = None  # (n, blocks, BLOCK) whether an index was drawn; None: nothing yet
        self._ahead: list[list[Draw]] = [[] for _ in rows]
        self._steps = [_FIRST] * len(rows)

    def next(self, members: Sequence[int]) -> list[Draw]:
        """Return the next draw of each of `members`."""
        needy = [i for i in members if not self._ahead[i]]
        while needy:
            steps = max(self._steps[i] for i in needy)
            together = max(1, _TOGETHER // steps)
            self._draw_ahead(needy[:together], steps)
            needy = needy[together:]
        return [self._ahead[i].pop() for i in members]

    def _draw_ahead(self, members: Sequence[int], steps: int) -> None:
        """Make `steps` independent draws for each of `members`, and keep those that are new."""
        index = torch.tensor(members, device=self._rows.device)
        uniforms = torch.from_numpy(self._uniforms((len(members), steps))).to(self._rows.device)
        results = self._batch(index, uniforms).cpu().numpy()
        for i, rows in zip(members, results, strict=True):
            made = [Draw(int(token), *masses) for token, *masses in rows[rows[:, 0] >= 0.0].tolist()]
            if not made:
                made = [_NOTHING]
            elif made[-1].log_after - float(self._scale[i]) < _FADED:
                made = self._restored(i, made)
            self._ahead[i] = made[::-1]
            self._steps[i] = min(_MOST, 2 * steps)

    def _batch(self, index: Tensor, uniforms: Tensor) -> Tensor:
        """Return (m, k, 4) float64: the fields of a `Draw` for each of (m, k) uniforms; token -1 if it is no news."""
        block, rest = invert(self._sums[index].cumsum(dim=-1), uniforms)
        within = self._left(index, block)
        before = within.sum(dim=-1)
        place, _ = invert(
            within.cumsum(dim=-1), (rest / before.clamp(min=torch.finfo(torch.float64).tiny))[..., None]
        )
        token = torch.where(before > 0.0, block * BLOCK + place[..., 0], -1)
        repeats = (token[:, :, None] == token[:, None, :]).tril(-1).any(dim=-1)
        token = token.masked_fill(repeats, -1)
        mass = within.gather(-1, place)[..., 0].masked_fill(token < 0, 0.0)
        if self._taken is None:
            self._taken = torch.zeros(
                (len(self._rows), *self._blocks.shape[1:]), dtype=torch.bool, device=index.device
            )
        self._taken[index[:, None], block, place[..., 0]] = True
        self._sums[index[:, None], block] = self._left(index, block).sum(dim=-1)
        left = self._sums[index].sum(dim=-1, keepdim=True)
        from_here = (
            mass.flip(-1).cumsum(-1).flip(-1) + left
        )  # left after this draw and the later ones, and this
        after = torch.cat([from_here[:, 1:], left], dim=-1)
        logs = torch.stack([mass, from_here, after], dim=-1).log() + self._scale[index][:, None, None]
        return torch.cat([token[..., None].double(), logs], dim=-1)

    def _left(self, index: Tensor, block: Tensor) -> Tensor:
        """Return (m, k, BLOCK) float64: what is left in (m, k) blocks of the members of `index`."""
        masses = self._blocks[self._rows[index][:, None], block].double()
        return masses if self._taken is None else masses.masked_fill_(self._taken[index[:, None], block], 0.0)

    def _restored(self, i: int, made: list[Draw]) -> list[Draw]:
        """Return the draws made for a member of whom hardly anything is left, its masses scaled up.

        What is left may have underflowed, so the mass after the last draw is computed anew.
        """
        assert self._taken is not None
        logits = self._logits[int(self._source[i])].clone()
        logits[self._taken[i].view(-1)[: len(logits)]] = -torch.inf
        scale = logits.amax()
        if not bool(torch.isfinite(scale)):  # everything was drawn
            return [*made[:-1], made[-1]._replace(log_after=-np.inf)]
        blocks = _blocks(logits[None], scale[None])
        self._rows[i] = len(self._blocks)
        self._blocks = torch.cat([self._blocks, blocks])
        self._sums[i] = blocks[0].sum(dim=-1, dtype=torch.float64)
        self._scale[i] = scale.double()
        log_after = float(self._sums[i].sum().log() + self._scale[i])
        return [*made[:-1], made[-1]._replace(log_after=log_after)]


def _blocks(logits: Tensor, scale: Tensor) -> Tensor:
    """Return exp(logits - scale) of (U, V) logits in blocks, shape (U, ceil(V / 256), 256)."""
    masses = (logits - scale[:, None]).exp_()
    return torch.nn.functional.pad(masses, (0, -masses.shape[-1] % BLOCK)).view(len(masses), -1, BLOCK)


def invert(cumulative: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cells of `uniforms` · total in cumulative masses, and the rest inside each.

    The strict comparison never lands on a cell of mass 0; the minimum serves uniforms so near 1 that rounding
    carries them past the last mass.

    Parameters
    ----------
    cumulative:
        (..., cells) non-decreasing masses.
    uniforms:
        (..., draws) in [0, 1).
    """
    total = cumulative[..., -1:]
    target = uniforms * total
    last = (cumulative < total).sum(dim=-1, keepdim=True)
    cell = torch.minimum(torch.searchsorted(cumulative, target, right=True), last)
    before = torch.where(cell > 0, cumulative.gather(-1, (cell - 1).clamp(min=0)), 0.0)
    return cell, (target - before).clamp(min=0.0)
