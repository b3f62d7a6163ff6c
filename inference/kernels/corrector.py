"""Corrector kernel: draw from a pool of experts, and pay for what local normalisation takes away.

With m(v) = Π_i p_i(v)^{a_i} the mass that the experts give token v: q(v) = m(v) / Z, weight Z = Σ_v m(v), the same
whatever is drawn. The product of the weights is what a text drawn token by token from q lacks to its target
Π_i p_i(x)^{a_i}. Sampling at a temperature, classifier-free guidance and adding logits are this kernel with the weight
thrown away.

Reference: Skreta et al. (2025), *Feynman-Kac correctors in diffusion: annealing, guidance, and product of experts*,
ICML, for continuous diffusion.
"""

from __future__ import annotations

from collections.abc import Sequence

from inference.engines.base import NextTokens
from inference.kernels.base import Proposal, weigh
from inference.text import TextState


def corrector(following: NextTokens, states: Sequence[TextState]) -> Proposal:
    """Propose in proportion to the mass that the experts give."""
    log_normalisers, choices = weigh(following.logprobs)
    return Proposal(following.logprobs, following.rows, log_normalisers[following.rows], choices=choices)
