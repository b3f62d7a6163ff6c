"""Checked kernel: draw from what the masks allow, then check the drawn token.

For constraints that offer a check of single tokens but no exact mask: target(x) = p(x) 1[x in A] 1[x passes],
q(x) = p(x) 1[x in A] / Z, weight Z · 1[x passes]. A failed check costs the particle its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.engines.base import NextTokens
from inference.kernels.base import Proposal, Tokens
from inference.kernels.masked import masked
from inference.text import TextState
from inference.weights import Floats
from ppl.rng import Rng


@dataclass(frozen=True)
class _CheckedProposal(Proposal):
    def draw(self, rng: Rng, states: Sequence[TextState]) -> tuple[Tokens, Floats]:
        tokens, _ = super().draw(rng, states)
        passed = [state.passes(int(token)) for state, token in zip(states, tokens, strict=True)]
        return tokens, np.where(passed, 0.0, -np.inf)


def checked(following: NextTokens, states: Sequence[TextState]) -> Proposal:
    """Propose from the masked part of the constraint and leave the rest to the check."""
    proposal = masked(following, states)
    return _CheckedProposal(proposal.numerators, proposal.rows, proposal.log_weights)
