"""Direct kernel: draw from the language model itself.

target(x) = p(x), q(x) = p(x), weight 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.engines.base import NextTokens
from inference.kernels.base import Proposal
from inference.text import TextState


def direct(following: NextTokens, states: Sequence[TextState]) -> Proposal:
    """Propose from the model's own distributions."""
    return Proposal(following.logprobs, following.rows, np.zeros(len(states)))
