"""Successive draws: sampling without replacement, a draw at a time, from many distributions at once.

The k-th draw of a member is proportional to the masses that its first k - 1 draws left. This is the order in which
a Gumbel top-k would list the indices, computed without a random number for each of them: the masses are summed in
blocks, an inverse cumulative distribution finds the block and then the index, and a drawn index is taken out of
its block. So the remaining mass is a sum of masses, never a difference: it stays accurate when nearly everything
has been drawn.

Reference: Yellott (1977), *The relationship between Luce's choice axiom, Thurstone's theory of comparative
judgment, and the double exponential distribution*, for the equality of the two orders.
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
_FIRST, _MOST = 4, 32
"""How many draws are made ahead for a member that needs one: at first, and at most."""
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
        n = len(rows)
        self._logits, self._uniforms = logits, uniforms
        self._source = rows
        self._rows = torch.tensor(rows, device=logits.device)
        scale = logits.amax(dim=-1).clamp(min=torch.finfo(logits.dtype).min)
        self._blocks = _blocks(logits, scale)
        self._scale = scale.double()[self._rows]
        self._sums = self._blocks.sum(dim=-1, dtype=torch.float64)[self._rows]
        self._taken = torch.full((n, 0), -1, dtype=torch.long, device=logits.device)
        self._ahead: list[list[Draw]] = [[] for _ in range(n)]
        self._count = [0] * n

    def next(self, members: Sequence[int]) -> list[Draw]:
        """Return the next draw of each of `members`."""
        needy = [i for i in members if not self._ahead[i]]
        if needy:
            self._draw_ahead(needy)
        return [self._ahead[i].pop() for i in members]

    def _draw_ahead(self, members: Sequence[int]) -> None:
        steps = min(_MOST, max(_FIRST, *(self._count[i] for i in members)))
        index = torch.tensor(members, device=self._rows.device)
        uniforms = torch.from_numpy(self._uniforms((len(members), steps))).to(self._rows.device)
        steps_made = [self._step(index, uniforms[:, k]) for k in range(steps)]
        results = torch.stack(steps_made, dim=1).cpu().numpy()
        for i, rows in zip(members, results, strict=True):
            made = [Draw(int(token), *masses) for token, *masses in rows.tolist()]
            if made[-1].log_after - float(self._scale[i]) < _FADED:
                made = self._restored(i, made)
            self._ahead[i] = made[::-1]
            self._count[i] += steps

    def _step(self, index: Tensor, uniforms: Tensor) -> Tensor:
        """Make one draw for each member of `index`; return (m, 4) float64: the fields of a `Draw`."""
        sums, rows = self._sums[index], self._rows[index]
        total = sums.sum(dim=-1)
        block, rest = invert(sums.cumsum(dim=-1), uniforms)
        within = torch.nn.functional.pad(self._blocks[rows, block].double(), (0, 1))
        taken = self._taken[index]
        here = (taken // BLOCK == block[:, None]) & (taken >= 0)
        within.scatter_(1, torch.where(here, taken % BLOCK, BLOCK), 0.0)
        before = within.sum(dim=-1)
        place, _ = invert(within.cumsum(dim=-1), rest / before.clamp(min=torch.finfo(torch.float64).tiny))
        token = torch.where(before > 0.0, block * BLOCK + place, -1)
        mass = within.gather(1, place[:, None])[:, 0]
        self._sums[index, block] = within.scatter(1, place[:, None], 0.0).sum(dim=-1)
        after = self._sums[index].sum(dim=-1)
        column = torch.full((len(self._taken), 1), -1, dtype=torch.long, device=token.device)
        column[index, 0] = token
        self._taken = torch.cat([self._taken, column], dim=1)
        logs = torch.stack([mass, total, after], dim=1).log() + self._scale[index][:, None]
        return torch.cat([token[:, None].double(), logs], dim=1)

    def _restored(self, i: int, made: list[Draw]) -> list[Draw]:
        """Return the draws made for a member of whom hardly anything is left, its masses scaled up.

        What is left may have underflowed, so the mass after the last draw is computed anew.
        """
        made = [draw for draw in made if draw.token >= 0]
        logits = self._logits[int(self._source[i])].clone()
        taken = self._taken[i]
        logits[taken[taken >= 0]] = -torch.inf
        scale = logits.amax()
        if not bool(torch.isfinite(scale)):  # everything was drawn
            return [*made, _NOTHING] if not made else [*made[:-1], made[-1]._replace(log_after=-np.inf)]
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
    """Return, for each row of (n, k) cumulative masses, the cell of `uniform` * total, and the rest inside it.

    The strict comparison never lands on a cell of mass 0; the minimum serves uniforms so near 1 that rounding
    carries them past the last mass.
    """
    total = cumulative[:, -1:]
    target = uniforms[:, None] * total
    last = (cumulative < total).sum(dim=-1)
    cell = torch.minimum((cumulative <= target).sum(dim=-1), last)
    before = torch.where(cell > 0, cumulative.gather(1, (cell - 1).clamp(min=0)[:, None])[:, 0], 0.0)
    return cell, (target[:, 0] - before).clamp(min=0.0)
