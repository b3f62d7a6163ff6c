"""Branching: a population that follows outcomes of a move, several for each particle, instead of drawing one.

The log-weight of a particle is the log-mass of its own partial run, the product of the weights and of the probabilities
of all that it has chosen; a finished one has the mass of its run. A method says which outcomes are followed.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import torch

from inference.infilling import InfillState
from inference.kernels import Proposal
from inference.particle import Particle
from inference.population import Todo
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.tallies import rejected
from inference.text import TextState
from inference.twists import State
from inference.weights import Floats, log_masses
from ppl.compiler.normal_form import FiniteForm
from ppl.errors import InvalidArgument
from ppl.fiber import Request
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class Move:
    """An outcome to be followed.

    Attributes
    ----------
    particle:
        Whose outcome it is.
    outcome:
        A token, or the index of a value of a finite site; None: the particle stays as it is.
    log_probability:
        Of the outcome, given the particle.
    log_weight:
        The log-mass of the partial run with the outcome.
    """

    particle: int
    outcome: int | None
    log_probability: float
    log_weight: float


class Branching(Scheduler):
    """A scheduler whose particles move to given outcomes, each to any number of them."""

    takes_estimates: ClassVar[bool] = False

    def __init__(self, model: Model[Any], rng: Rng, runtime: Runtime) -> None:
        runtime.drafts = None  # every token is followed, none is guessed
        super().__init__(model, 1, rng, runtime)
        self._choosing: list[tuple[int, FiniteForm]] = []

    def propose(self) -> None:
        """Ask the language models; a position that is drawn at random is no move that could be followed."""
        random = [i for i in self.live if _drawn_order(self._text(i))]
        if random:
            raise InvalidArgument(
                f"no outcomes to follow on a site that is unmasked in random order: {self._text(random[0]).plan}",
                hint="order='left_to_right' or 'confident', or a method that samples, such as SMC",
            )
        super().propose()

    def write(self, moves: Sequence[Move]) -> None:
        """Replace the population by the outcomes of `moves`, tokens, and run on those whose text is finished."""
        todo = self._follow(moves)
        self._groups = []
        self.drawn += len(todo)
        tokens = np.array([token for _, token, _ in todo], dtype=np.int64)
        log_draws = np.array([move.log_probability for _, _, move in todo])
        self.runtime.recorder.drawn(self.particles, [j for j, _, _ in todo], tokens, log_draws)
        self._go_on([written for j, token, _ in todo for written in self._write(j, token)])
        self.runtime.recorder.ticked()

    def _follow(self, moves: Sequence[Move]) -> list[tuple[int, int, Move]]:
        """Replace the population by one particle for each move; return (particle, outcome, move) of those that move.

        The last move of a particle keeps its live run, the others replay.
        """
        parents, left = self.particles, Counter(move.particle for move in moves)
        self.particles, followed = list[Particle](), list[tuple[int, int, Move]]()
        for move in moves:
            left[move.particle] -= 1
            parent = parents[move.particle]
            if move.outcome is not None:
                followed.append((len(self.particles), move.outcome, move))
            self.particles.append(parent.fork() if left[move.particle] else parent)
        kept = {move.particle for move in moves}
        for i, parent in enumerate(parents):
            if i not in kept:
                parent.close()
        self.log_weights = np.array([move.log_weight for move in moves])
        return followed

    def _write(self, i: int, token: int) -> list[tuple[int, State]]:
        """Write a token; return the particle with its state if it has lived on."""
        state = self._text(i)
        state.advance(token)
        return [(i, state)]

    def ranked(self, proposal: Proposal, particles: list[int], first: int) -> list[Iterator[Move]]:
        """Return the tokens of each live particle in descending order.

        The `first` of all rows are found on the device and come over together. Where only masks decide they are mostly
        enough; a stream goes on through the rest of its row.
        """
        size = min(first, proposal.numerators.shape[-1])
        values, tokens = torch.topk(proposal.numerators, size, dim=-1)
        totals = log_masses(proposal.numerators)[:, None]
        tops, largest = (values.double() - totals).cpu().numpy(), tokens.cpu().numpy()

        def stream(i: int, row: int, base: float) -> Iterator[Move]:
            ranked = zip(largest[row].tolist(), tops[row].tolist(), strict=True)
            for token, log_probability in chain(ranked, _rest(proposal, row, largest[row].tolist())):
                if log_probability == -math.inf:
                    return
                yield Move(i, token, log_probability, base + log_probability)

        rows, weights = proposal.rows.tolist(), self.log_weights.tolist()
        live = [(i, row) for i, row in zip(particles, rows, strict=True) if self.particles[i].live]
        return [stream(i, row, weights[i]) for i, row in live]

    def _choose(self, i: int, form: FiniteForm) -> Todo:
        """Leave the particle at its finite site, and take note of it."""
        if max(form.log_masses) == -math.inf:
            self._add_weight(i, -math.inf, f"no value left of {form}")
        else:
            self._choosing.append((i, form))
        return []

    def _values(self, i: int, form: FiniteForm) -> list[Move]:
        """Return the values of the finite site that a particle is at in descending order."""
        base = float(self.log_weights[i])
        ranked = sorted(enumerate(form.log_masses), key=lambda value: -value[1])
        return [Move(i, k, log_mass, base + log_mass) for k, log_mass in ranked if log_mass > -math.inf]

    def _answer(self, i: int, value: Any) -> Request:
        return self._guard(i, partial(self.particles[i].fiber.answer, value))

    def _stay(self) -> list[Move]:
        """Return the moves of the finished particles: none."""
        weights = self.log_weights.tolist()
        return [Move(i, None, 0.0, weights[i]) for i, p in enumerate(self.particles) if p.finished]


class Pruning(Branching):
    """A population of bounded size: of all outcomes some are kept, by a rule that sees them all.

    All runs that are at a finite site choose together, so that a row of them does not multiply the runs.
    """

    @abstractmethod
    def _kept(self, streams: Sequence[Iterable[Move]]) -> list[Move]:
        """Return the outcomes to follow of those that streams give, each in descending order."""

    def _follow_tokens(self, moves: Sequence[Move]) -> None:
        """Write the tokens of `moves`; whoever has none is dropped, and has died if nobody is left."""
        for i in self.live if not moves else ():
            self._kill(i, rejected(self._text(i)))
        self._drop(moves)
        for move in moves:
            if move.outcome is not None:
                state = self._text(move.particle)
                state.site.tally.tokens += 1
                state.site.tally.kernels[state.kernel] += 1
        self.write(moves)

    def _drop(self, moves: Sequence[Move]) -> None:
        """Tell the recorder who is left out."""
        kept = sorted({move.particle for move in moves})
        particles = [self.particles[i] for i in kept]
        self.runtime.recorder.selected(self.particles, particles, self.log_weights[kept])

    def _settle(self, todo: Todo) -> None:
        super()._settle(todo)
        while self._choosing:
            forms, self._choosing = dict(self._choosing), []
            self.runtime.recorder.settled(self.particles, self.log_weights)
            before: Floats = self.log_weights
            moves = self._kept([self._choices(i, forms.get(i)) for i in range(len(self.particles))])
            self._drop(moves)
            chosen = self._follow(moves)
            for j, value, move in chosen:
                base = float(before[move.particle])
                self.runtime.recorder.chosen(self.particles, j, forms[move.particle], value, base)
            super()._settle([(j, self._answer(j, forms[move.particle].values[v])) for j, v, move in chosen])

    def _choices(self, i: int, form: FiniteForm | None) -> list[Move]:
        """Return the moves of a particle in descending order: the values of its finite site, or to stay."""
        if form is not None:
            return self._values(i, form)
        base = float(self.log_weights[i])
        return [] if base == -math.inf else [Move(i, None, 0.0, base)]


def passes(state: State | None, outcome: int | None) -> bool:
    """Return whether the checks of a site let an outcome of a text pass."""
    if outcome is None or not isinstance(state, TextState) or state.kernel != "awrs":
        return True
    return state.site.verdicts([(state, outcome)])[0]


def _rest(proposal: Proposal, row: int, first: list[int]) -> Iterator[tuple[int, float]]:
    """Yield the tokens after the first ones of a row, in descending order, with their log-probabilities."""
    logs = proposal.numerators[row].double()
    values, tokens = torch.sort(logs - log_masses(logs), descending=True, stable=True)
    for token, log_probability in zip(tokens.tolist(), values.tolist(), strict=True):
        if token not in first:
            yield token, log_probability


def _drawn_order(state: State) -> bool:
    """Return whether the next position is drawn at random."""
    return isinstance(state, InfillState) and state.plan.infill.order == "random" and len(state.masked) > 1
