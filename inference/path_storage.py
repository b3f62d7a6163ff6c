"""Path storage: a population that remembers how each of its runs came about, draw by draw.

A run is a sequence of draws: values of finite sites, tokens, and the random weights that come with them (of AWRS, of
lookahead). A `Moment` is the run just before one of them, as a fork that can be gone on from, with the log-weight
earned by then. It knows the moment before, so that the history of a population is a tree: what no living run descends
from is forgotten by itself.

A Markov chain over whole runs needs both: to keep a run as it was, random weights included, and to begin anew from the
middle of one.

Reference: Jacob, Murray and Rubenthaler (2015), *Path storage in the particle filter*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from inference.infilling import InfillState
from inference.particle import Particle
from inference.population import Todo
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.visits import Visit
from inference.weights import Floats, log_masses
from ppl.compiler.normal_form import FiniteForm
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True, eq=False)
class Moment:
    """A run just before a draw.

    Attributes
    ----------
    particle:
        The run: at a text, or at a finite site. It is never advanced, only its forks are.
    log_weight:
        What the run has earned by then, in nats, as if it had never been resampled.
    parent:
        The moment before the draw before.
    positions:
        At a masked-diffusion text, the positions that this move chose to fill next.
    entropy:
        Of the law that the draw is from (before checks), in nats; 0 where it was not asked for.
    """

    particle: Particle
    log_weight: float
    parent: Moment | None
    positions: tuple[int, ...] = ()
    entropy: float = 0.0

    def repeated(self) -> Particle:
        """Return the run as it was here, with the positions that it chose."""
        particle = self.particle.fork()
        if isinstance(particle.text, InfillState):
            particle.text.planned = self.positions
        return particle


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    Attributes
    ----------
    particle:
        The run at its end.
    log_weight:
        Its whole log-weight, in nats, of what it drew over what it proposed.
    moments:
        Its draws, in order, where these are stored.
    visits:
        Its sites, in order, where these are stored.
    """

    particle: Particle
    log_weight: float
    moments: tuple[Moment, ...] = ()
    visits: tuple[Visit, ...] = ()


class RunStorage(Scheduler):
    """A scheduler that knows what each of its runs has earned by itself, as if it had never been resampled."""

    def __init__(self, model: Model[Any], size: int, rng: Rng, runtime: Runtime) -> None:
        super().__init__(model, size, rng, runtime)
        self._offsets: Floats = np.zeros(size)  # what a run earned, less its weight in the population

    def earned(self, i: int) -> float:
        """Return the log-weight of run i by itself."""
        return float(self.log_weights[i] + self._offsets[i])

    def run(self, i: int) -> Run:
        """Return particle i, which has finished."""
        return Run(self.particles[i], self.earned(i))

    @override
    def select(self, ancestors: NDArray[np.int64], log_weights: Floats | None = None) -> None:
        earned = self.log_weights + self._offsets
        super().select(ancestors, log_weights)
        self._offsets = earned[ancestors] - self.log_weights


class PathStorage(RunStorage):
    """A scheduler whose runs remember their draws.

    Attributes
    ----------
    moments:
        For each particle the moment before its latest draw; None before the first.
    """

    def __init__(
        self, model: Model[Any], size: int, rng: Rng, runtime: Runtime, *, entropies: bool = False
    ) -> None:
        super().__init__(model, size, rng, runtime)
        self._asked_for_entropies = entropies
        self.moments: list[Moment | None] = [None] * size

    @override
    def run(self, i: int) -> Run:
        """Return particle i, which has finished, with its draws."""
        moments = []
        moment = self.moments[i]
        while moment is not None:
            moments.append(moment)
            moment = moment.parent
        return Run(self.particles[i], self.earned(i), tuple(reversed(moments)))

    def resume(self, moments: Sequence[Moment]) -> None:
        """Begin from a moment for each particle, instead of the program's start."""
        todo: Todo = []
        for i, moment in enumerate(moments):
            self.particles[i] = moment.particle.fork()
            self.moments[i], self.log_weights[i] = moment.parent, moment.log_weight
            pending = self.particles[i].fiber.pending
            if not self.particles[i].live and pending is not None:
                todo.append((i, pending))
        self._settle(todo)

    @override
    def propose(self) -> None:
        before = [(i, _snapshot(self.particles[i]), self.earned(i)) for i in self.live]
        super().propose()
        entropies = self._entropies()
        for i, snapshot, earned in before:
            if self.particles[i].live:
                positions = _newly_chosen(snapshot, self.particles[i])
                self._remember(i, snapshot, earned, positions, entropies.get(i, 0.0))

    @override
    def select(self, ancestors: NDArray[np.int64], log_weights: Floats | None = None) -> None:
        super().select(ancestors, log_weights)
        self.moments = [self.moments[a] for a in ancestors.tolist()]

    @override
    def _choose(self, i: int, form: FiniteForm) -> Todo:
        entropy = 0.0
        if self._asked_for_entropies:
            entropy = float(_entropies(torch.tensor([form.log_masses], dtype=torch.float64))[0])
        self._remember(i, self.particles[i].fork(), self.earned(i), (), entropy)
        return super()._choose(i, form)

    def _remember(
        self, i: int, snapshot: Particle, earned: float, positions: tuple[int, ...], entropy: float
    ) -> None:
        self.moments[i] = Moment(snapshot, earned, self.moments[i], positions, entropy)

    def _entropies(self) -> dict[int, float]:
        """Return the entropy of each live particle's proposal, where they were asked for."""
        found: dict[int, float] = {}
        for group in self._groups if self._asked_for_entropies else ():
            of_rows = _entropies(group.proposal.numerators)[group.proposal.rows]
            found.update(zip(group.particles.tolist(), of_rows.tolist(), strict=True))
        return found


def _snapshot(particle: Particle) -> Particle:
    """Return a fork that holds nothing that the next move makes anew."""
    copy = particle.fork()
    if isinstance(copy.text, InfillState) and not copy.text.pending:
        copy.text.ahead = None
    return copy


def _newly_chosen(before: Particle, after: Particle) -> tuple[int, ...]:
    """Return the positions that a masked-diffusion text chose between two states."""
    if isinstance(before.text, InfillState) and isinstance(after.text, InfillState):
        return () if before.text.pending else after.text.pending
    return ()


def _entropies(numerators: Tensor) -> Floats:
    """Return the (U,) entropies of unnormalised laws (U, V), 0 where there is no mass."""
    logs = numerators.double() - log_masses(numerators)[:, None]
    entropies: Floats = -torch.where(torch.isfinite(logs), logs.exp() * logs, 0.0).sum(dim=-1).cpu().numpy()
    return entropies
