"""Visit storage: a population that remembers the sites of its runs.

A `Visit` (`inference.visits`) is a site with what was drawn there, the run as it waited before it, and the weight and
the probability of the draw. It knows the visit before, so that the history of a population is a tree, as that of its
draws is in `inference.path_storage`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from inference.kernels import Proposal
from inference.particle import Particle
from inference.path_storage import Run, RunStorage
from inference.population import Todo
from inference.runtime import Runtime
from inference.text import TextState
from inference.twists import State
from inference.visits import Ids, Key, Visit, score_value, written
from inference.weights import Floats
from ppl.compiler.normal_form import FiniteForm
from ppl.fiber import Draw, Request
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class Opened:
    """A site whose draw is not complete."""

    key: Key
    before: Particle
    earned: float


class VisitStorage(RunStorage):
    """A scheduler whose runs remember their sites.

    Attributes
    ----------
    visits:
        For each particle its latest visit; None before the first.
    """

    def __init__(self, model: Model[Any], size: int, rng: Rng, runtime: Runtime) -> None:
        super().__init__(model, size, rng, runtime)
        self.visits: list[Visit | None] = [None] * size
        self._opened: list[Opened | None] = [None] * size
        self._log_proposals = np.zeros(size)  # of the texts that are being written; nan where checks decided

    @override
    def run(self, i: int) -> Run:
        """Return particle i, which has finished, with its sites."""
        visits = []
        visit = self.visits[i]
        while visit is not None:
            visits.append(visit)
            visit = visit.parent
        return Run(self.particles[i], self.earned(i), visits=tuple(reversed(visits)))

    @override
    def select(self, ancestors: NDArray[np.int64], log_weights: Floats | None = None) -> None:
        super().select(ancestors, log_weights)
        self.visits = [self.visits[a] for a in ancestors.tolist()]
        self._opened = [self._opened[a] for a in ancestors.tolist()]
        self._log_proposals = self._log_proposals[ancestors]

    @override
    def _handle(self, i: int, request: Request) -> Todo:
        return self._open(i, request) if isinstance(request, Draw) else super()._handle(i, request)

    @override
    def _note_value(self, i: int, form: FiniteForm, index: int) -> None:
        opened, score = self._opened[i], score_value(form, form.values[index])
        assert opened is not None
        self._visited(i, opened, score.value, (), score.log_weight, score.log_proposal)

    @override
    def _note(self, indices: Sequence[int], proposal: Proposal, tokens: NDArray[np.int64]) -> None:
        numerators = proposal.numerators
        rows = torch.from_numpy(proposal.rows).to(numerators.device)
        drawn = numerators[rows, torch.from_numpy(tokens).to(numerators.device)].double().cpu().numpy()
        for k, i in enumerate(indices):
            state = self.particles[i].text
            known = isinstance(state, TextState) and state.kernel != "awrs"
            self._log_proposals[i] += drawn[k] - proposal.log_weights[k] if known else math.nan

    @override
    def _end_text(self, i: int, state: State) -> Request:
        opened = self._opened[i]
        assert opened is not None
        log_weight, log_q = self.earned(i) - opened.earned, float(self._log_proposals[i])
        path = written(state) if isinstance(state, TextState) else ()
        self._visited(i, opened, state.shown, path, log_weight, None if math.isnan(log_q) else log_q)
        return super()._end_text(i, state)

    def _key(self, i: int, request: Draw) -> Key:
        count, visit = 0, self.visits[i]
        while visit is not None:
            count += visit.key[0] == request.address
            visit = visit.parent
        return request.address, count

    def _open(self, i: int, request: Draw) -> Todo:
        """Draw afresh."""
        self._opened[i] = Opened(self._key(i, request), self.particles[i].fork(), self.earned(i))
        self._log_proposals[i] = 0.0
        return super()._handle(i, request)

    def _visited(
        self, i: int, opened: Opened, value: Any, path: Ids, log_weight: float, log_q: float | None
    ) -> Visit:
        """Take note of a site whose draw is complete."""
        request = opened.before.fiber.pending
        assert isinstance(request, Draw)
        visit = Visit(
            opened.key,
            request.target,
            opened.before,
            opened.earned,
            value,
            path,
            log_weight,
            log_q,
            self.visits[i],
        )
        self.visits[i], self._opened[i] = visit, None
        return visit
