"""Coupled draws: indices drawn so that the same number gives mostly the same index from distributions that are close.

Inverting a cumulative distribution at a number u does not do: along K indices of similar mass the sums of the small
differences wander, and every boundary is missed a little, so that two distributions at a distance of δ (in total
variation) give different indices with a probability of about δ √K. Here the indices are the leaves of a tree with four
children a node. A draw goes down from the root and inverts the masses of four children at each level, with a number of
its own for each level. On its way down it goes wrong where a child's share differs, and differences of many indices
mostly cancel in shares: the draws differ with a probability of a small multiple of δ, whatever K.

The numbers of the levels are made from the bits of u, by the mixing function of a splittable generator.

Reference: Steele, Lea and Flood (2014), *Fast splittable pseudorandom number generators*, for the mixing function.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_CHILDREN = 4


def coupled(logits: Tensor, rows: Tensor, uniforms: NDArray[np.float64]) -> Tensor:
    """Draw an index from exp(logits[row]) with each uniform.

    Parameters
    ----------
    logits:
        (U, V) unnormalised log-probabilities.
    rows:
        (n,) the row of each draw.
    uniforms:
        (n,) from [0, 1).

    Returns
    -------
    (n,) indices with mass; negative where a row has none, or is not a number somewhere.
    """
    masses = (logits - logits.amax(dim=-1, keepdim=True)).exp_()
    levels = [_padded(masses)]
    while levels[-1].shape[-1] > 1:
        levels.append(_padded(levels[-1].sum(dim=1)))
    rows = rows.to(logits.device)
    numbers = torch.from_numpy(level_numbers(uniforms, len(levels))).to(logits.device)
    node = torch.zeros_like(rows)
    drawable: Tensor | None = None  # whether the root has mass
    for level, u in zip(reversed(levels), numbers, strict=True):
        cumulative = level[rows, :, node].double().cumsum(dim=-1)
        total = cumulative[:, -1:]
        # The strict comparison never lands on a mass of 0; the minimum serves numbers so near 1 that they round up.
        child = torch.minimum(
            (cumulative <= u[:, None] * total).sum(dim=-1), (cumulative < total).sum(dim=-1)
        )
        drawable = total[:, 0] > 0.0 if drawable is None else drawable
        node = child * level.shape[-1] + node
    assert drawable is not None
    return torch.where(drawable, node, -1)


def level_numbers(uniforms: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    """Return (levels, n) numbers in [0, 1) from n uniforms: independent for all that a simulation can tell."""
    steps = np.arange(1, levels + 1, dtype=np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
    bits = (uniforms * 2.0**53).astype(np.uint64)[None] * np.uint64(0xD1342543DE82EF95) + steps
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    numbers: NDArray[np.float64] = ((bits ^ (bits >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
    return numbers


def _padded(masses: Tensor) -> Tensor:
    """Return (U, S) masses as (U, 4, S / 4), filled up with zeros: child c of node i is index c S / 4 + i."""
    missing = -masses.shape[-1] % _CHILDREN
    if missing:  # padding copies, even by nothing
        masses = torch.nn.functional.pad(masses, (0, missing))
    return masses.view(len(masses), _CHILDREN, -1)
