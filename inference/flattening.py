"""Flattening: runs whose tokens are drawn from the experts' masses raised to a power, under the masks and checks.

With m(v) the mass that the experts of a text give its next token, and e > 0:

    q(v) = m(v)^e / Z_e,    Z_e = Σ_v m(v)^e.

A run has two weights over how it was drawn: ω for the program's measure, and ω_0 for the measure in which every text
has its experts to the power e and its constraint, while potentials, conditions, factors and observations are 1 and
finite choices are normalised. A kernel that draws from q within the constraint with weight w adds w Z_e to ω_0, and
w m(v) / q(v) to ω.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from inference.engines.base import NextTokens
from inference.experts import Laws
from inference.kernels import Proposal
from inference.kernels.base import Tokens
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.text import TextState
from inference.twists import State
from inference.weights import Floats, log_masses
from ppl.compiler.plan import KernelName
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class _Law:
    """A flattened law.

    Attributes
    ----------
    flat:
        log q.
    masses:
        (U, V) log m, row by row.
    log_normalisers:
        (U,) log Z_e, float64.
    """

    flat: NextTokens
    masses: Tensor
    log_normalisers: Floats


@dataclass(frozen=True)
class _Paid(Proposal):
    """A kernel's proposal on q, whose draws pay m(v) / q(v).

    Attributes
    ----------
    kernel:
        The kernel's proposal.
    law, sources:
        The law, and (n,) the row of it for each particle.
    members, log_starts:
        (n,) the particles, and where their log ω_0 are kept.
    """

    kernel: Proposal
    law: _Law
    sources: NDArray[np.int64]
    members: NDArray[np.int64]
    log_starts: Floats

    @override
    def take(self, members: NDArray[np.int64]) -> Self:
        taken = super().take(members)
        kernel = self.kernel.take(members)
        return replace(taken, kernel=kernel, sources=self.sources[members], members=self.members[members])

    @override
    def draw(self, rng: Rng, states: Sequence[TextState]) -> tuple[Tokens, Floats]:
        tokens, log_weights = self.kernel.draw(rng, states)
        self.log_starts[self.members] += log_weights
        device = self.law.masses.device
        at = torch.from_numpy(self.sources).to(device), torch.from_numpy(tokens).to(device)
        tilts = self.law.masses[at].double() - self.law.flat.logprobs[at].double()
        return tokens, log_weights + tilts.cpu().numpy()


class Flattened(Scheduler):
    """A population that is drawn from masses to a power; it is not resampled.

    Attributes
    ----------
    log_starts:
        (N,) log ω_0, in nats; of no use where the run is dead.
    """

    def __init__(self, model: Model[Any], size: int, rng: Rng, runtime: Runtime, exponent: float) -> None:
        super().__init__(model, size, rng, runtime)
        self.log_starts: Floats = np.zeros(size)
        self._exponent = exponent
        self._flat: dict[int, _Law] = {}

    def run(self) -> None:
        """Draw every run to its end."""
        try:
            self.start()
            while self.live:
                self.propose()
                self.draw()
        finally:
            self.close()

    @override
    def _laws(self, states: Sequence[State], *, ahead: bool) -> list[Laws]:
        laws = super()._laws(states, ahead=ahead)
        flattened = [self._flatten(law.following) for law in laws]
        self._flat = {id(law.flat): law for law in flattened}
        return [Laws(law.members, flat.flat) for law, flat in zip(laws, flattened, strict=True)]

    def _flatten(self, following: NextTokens) -> _Law:
        raised = self._exponent * following.logprobs
        log_normalisers = log_masses(raised)
        normalised = raised - log_normalisers[:, None].to(raised.dtype)
        logprobs = torch.where(raised == -torch.inf, -torch.inf, normalised)
        flat = NextTokens(logprobs, following.rows)
        return _Law(flat, following.logprobs, log_normalisers.cpu().numpy())

    @override
    def _weigh(
        self, kernel: KernelName, following: NextTokens, members: NDArray[np.int64], at: list[int]
    ) -> None:
        super()._weigh(kernel, following, members, at)
        law, sources = self._flat[id(following)], following.rows[at]
        made = self._groups[-1].proposal
        self.log_starts[members] += made.log_weights + law.log_normalisers[sources]
        masses = NextTokens(law.masses, following.rows)
        self.runtime.recorder.weighed(self.particles, members, masses, at, made)
        self._groups[-1].proposal = _Paid(
            made.numerators, made.rows, made.log_weights, made, law, sources, members, self.log_starts
        )
