"""The one source of randomness.

Every random choice of every algorithm goes through an `Rng`, so that a run is a function of its seed, and so
that a subclass that *enumerates* (`inference.testing.EnumRng`) can check any algorithm exactly. That is why
`uniform` asks what its draw is for: an enumerating generator needs the finitely many cases that differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ppl.coupling import coupled
from ppl.errors import InvalidArgument
from ppl.successive import BLOCK, BlockwiseDraws, SuccessiveDraws, invert

_FEW = 64
"""Most indices of which a cumulative distribution is inverted; of more the draws are coupled by a tree."""

Edges = Iterable[float] | NDArray[np.float64]


def derived_seed(seed: int, *key: int) -> int:
    """Return the seed of a stream of its own, independent of the stream of `seed` and of those with other keys."""
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)[0])


def drawing_seed(seed: int) -> int:
    """Return the seed of draws *from* a result, which must not repeat those that made it, if it has the same seed."""
    return derived_seed(seed, 0, 0)


@dataclass
class Noise:
    """The randomness of one draw, set aside before its distribution is known, see `Rng.categorical`.

    A uniform number of which it is known that it lies in [low, high]. A generator of random numbers knows it,
    low = high; one that enumerates knows of it what the draws from it so far have told.
    """

    low: float = 0.0
    high: float = 1.0


class Rng:
    """Random draws from one seeded stream."""

    sets_aside: ClassVar[bool] = True
    """Whether `noise` gives something."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def noise(self) -> Noise:
        """Set aside the randomness of the next draw."""
        u = float(self._generator.random())
        return Noise(u, u)

    def categorical(
        self, logits: Tensor, rows: NDArray[np.int64], noise: Sequence[Noise | None] = ()
    ) -> NDArray[np.int64]:
        """Draw one index for each entry of `rows`, with probability proportional to exp(logits[row]).

        Parameters
        ----------
        logits:
            (U, V) unnormalised log-probabilities; each row that is drawn from has a finite entry.
        rows:
            (n,) the row that each draw is from; draws are independent.
        noise:
            For each draw the randomness that was set aside for it, if any. Draws with the same noise from two
            distributions that are close to each other are mostly equal, and each by itself has the law that it has
            without.

        Returns
        -------
        (n,) indices into the second axis, never one with -inf.

        Raises
        ------
        InvalidArgument
            If a row is not a number somewhere, or has no finite entry.
        """
        known = np.array([np.nan if x is None else x.low for x in noise or [None] * len(rows)])
        known[np.isnan(known)] = self._generator.random(int(np.isnan(known).sum()))
        if logits.shape[-1] > _FEW:
            drawn = coupled(logits, torch.from_numpy(rows), known).cpu().numpy()
        else:
            drawn = inverse_cdf(logits, torch.from_numpy(rows), torch.from_numpy(known)).cpu().numpy()
        if (drawn < 0).any():
            raise InvalidArgument(
                "a distribution that is to be drawn from has nan or no mass",
                hint="a model in float16 can overflow: load it with dtype='bfloat16' or 'float32'",
            )
        return drawn

    def without_replacement(self, logits: Tensor, rows: NDArray[np.int64]) -> SuccessiveDraws:
        """Return draws without replacement, made on request, for each entry of `rows`; see `SuccessiveDraws`.

        Parameters
        ----------
        logits:
            (U, V) unnormalised log-probabilities. Not changed, and not to be changed while drawing.
        rows:
            (n,) the row that each member draws from; members are independent.
        """
        return BlockwiseDraws(logits, rows, self._generator.random)

    def uniform(self, edges: Edges) -> float:
        """Draw from the uniform distribution on [0, 1).

        The caller promises that what it does depends on the draw only through the cell of the partition of
        [0, 1) at `edges` that the draw falls in; order, repetitions and values outside do not matter. Only a
        generator that enumerates looks at them, so that an iterator which computes them costs nothing otherwise.
        """
        return float(self._generator.random())


def inverse_cdf(logits: Tensor, rows: Tensor, uniforms: Tensor) -> Tensor:
    """Invert the cumulative distribution of exp(logits[row]) at each uniform, in two levels.

    Sums over blocks of 256 indices find the block, a sum inside it the index: one pass over the (U, V) masses
    and nothing of size (n, V), where a library multinomial needs several passes per draw. Accumulation is in
    float64. The index of a row without finite mass is negative.
    """
    masses = (logits - logits.amax(dim=-1, keepdim=True)).exp_()
    masses = torch.nn.functional.pad(masses, (0, -masses.shape[-1] % BLOCK))
    blocks = masses.view(len(masses), -1, BLOCK)
    rows, uniforms = rows.to(logits.device), uniforms.to(logits.device)
    block, rest = invert(blocks.sum(dim=-1).double().cumsum(dim=-1)[rows], uniforms[:, None])
    within = blocks[rows, block[:, 0]].double().cumsum(dim=-1)
    index, _ = invert(within, rest / within[:, -1:])
    return torch.where(within[:, -1:] > 0.0, block * BLOCK + index, -1)[:, 0]
