"""Masked kernel: draw from the language model restricted to the allowed tokens.

target(x) = p(x) 1[x in A], q(x) = target(x) / Z, weight Z = Σ_{x in A} p(x), the same whatever is drawn. The
end is an ordinary symbol of A. Locally masked decoding is this kernel with the weight thrown away.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch

from grammars.vocabulary import Mask, unpack
from inference.engines.base import NextTokens
from inference.kernels.base import Proposal, weigh
from inference.text import TextState


def masked(following: NextTokens, states: Sequence[TextState]) -> Proposal:
    """Propose from the allowed tokens; equal texts share a mask, equal pairs of distribution and mask a row."""
    seen: dict[tuple[Hashable, ...], Mask] = {}
    index: dict[tuple[int, bytes], int] = {}
    masks: list[Mask] = []
    sources: list[int] = []
    rows = np.empty(len(states), dtype=np.int64)
    for i, state in enumerate(states):
        mask = seen.get(state.key)
        if mask is None:
            mask = seen[state.key] = state.allowed()
        source = int(following.rows[i])
        row = index.setdefault((source, mask.tobytes()), len(masks))
        if row == len(masks):
            masks.append(mask)
            sources.append(source)
        rows[i] = row
    logprobs = following.logprobs
    allowed = torch.from_numpy(unpack(np.stack(masks), logprobs.shape[-1])).to(logprobs.device)
    numerators = torch.where(allowed, logprobs[torch.tensor(sources, device=logprobs.device)], -torch.inf)
    log_normalisers, choices = weigh(numerators)
    return Proposal(numerators, rows, log_normalisers[rows], choices=choices)
