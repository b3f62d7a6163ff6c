"""Beam search: the partial runs of the largest mass, a token at a time. Deterministic; a heuristic.

The mass of a partial run is γ_t = Π (weights so far) · Π (probabilities of what it has chosen): the target's own mass
of the prefix, under masks, exponents, factors and what potentials say at their boundaries. Of all continuations of the
B partial runs by one token, finished runs among them as they are, the B of the largest mass are kept:

    beam_t = the B largest of γ_t over { continuations of beam_{t-1} } ∪ { finished runs of beam_{t-1} }.

A value of a finite site is a move of its own, by all runs that are at one. The runs at the end are distinct and have
their true masses, so that the sum of these is a lower bound on the evidence, and the posterior is the program's
restricted to the runs found. With B at least the number of partial runs nothing is lost, and it is enumeration. Else
the largest mass at the end may be missed, as may all mass: a prefix of large mass need not lead anywhere.

References: Lowerre (1976), *The Harpy speech recognition system*; in this form, Meister, Cotterell and Vieira (2020),
*If beam search is the answer, what was the question?*
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

import torch

from inference.branching import Branching, Move
from inference.diagnostics import Step
from inference.kernels import Proposal
from inference.methods.base import Method, Result, require_positive
from inference.progress import Progress
from inference.runtime import Runtime
from inference.scheduler import Todo
from inference.tallies import rejected
from inference.text import TextState
from inference.weights import effective_sample_size, log_masses, log_sum_exp
from ppl.compiler.normal_form import FiniteForm
from ppl.fiber import Request
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class BeamSearch(Method):
    """Beam search: a heuristic, whose samples are runs with their exact masses, but not all of them.

    Parameters
    ----------
    width:
        B, the number of partial runs that are kept, at least 1; 1 is greedy search.

    Notes
    -----
    `log_evidence` is the log of the mass of the runs found, a lower bound. Nothing is random: the seed has no effect,
    but where a potential looks ahead by drawn continuations.
    """

    width: int = 16

    def __post_init__(self) -> None:
        require_positive("width", self.width)

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Follow the beam until all runs in it are finished."""
        beam = _Beam(model, rng, runtime, self.width)
        try:
            beam.start()
            steps: list[Step] = []
            log_mass = 0.0
            while live := beam.live:
                beam.propose()
                beam.advance()
                before, log_mass = log_mass, log_sum_exp(beam.log_weights)
                ess = effective_sample_size(beam.log_weights)
                steps.append(Step(len(steps) + 1, len(live), ess, log_mass - before))
                progress.update(steps[-1], beam.drawn)
        finally:
            beam.close()
        return Result(
            beam.particles,
            beam.log_weights,
            log_sum_exp(beam.log_weights),
            steps,
            beam.drawn,
            beam.last_death,
        )


class _Beam(Branching):
    """A scheduler that follows the outcomes of the largest mass."""

    def __init__(self, model: Model[Any], rng: Rng, runtime: Runtime, width: int) -> None:
        super().__init__(model, rng, runtime)
        self._width = width
        self._choosing: list[tuple[int, FiniteForm]] = []

    def advance(self) -> None:
        """Write the tokens of the `width` largest continuations."""
        streams: list[Iterable[Move]] = [[move] for move in self._stay()]
        for group in self._groups:
            streams += self._ranked(group.proposal, group.particles.tolist())
        moves = self._largest(streams)
        for i in self.live if not moves else ():
            self._kill(i, rejected(self._text(i)))
        self._drop(moves)
        for move in moves:
            if move.outcome is not None:
                state = self._text(move.particle)
                state.site.tally.tokens += 1
                state.site.tally.kernels[state.kernel] += 1
        self.write(moves)

    def _largest(self, streams: Sequence[Iterable[Move]]) -> list[Move]:
        """Return the largest `width` moves of streams in descending order, as far as the checks let them pass."""
        merged = heapq.merge(*streams, key=lambda move: -move.log_weight)
        return list(islice(filter(self._passes, merged), self._width))

    def _ranked(self, proposal: Proposal, particles: list[int]) -> list[Iterator[Move]]:
        """Return the tokens of each live particle in descending order.

        The largest of all rows are found on the device and come over together. Where only masks decide they are
        enough; where checks may refuse them, a stream goes on through the rest of its row.
        """
        size = min(self._width, proposal.numerators.shape[-1])
        values, tokens = torch.topk(proposal.numerators, size, dim=-1)
        totals = log_masses(proposal.numerators)[:, None]
        tops, first = (values.double() - totals).cpu().numpy(), tokens.cpu().numpy()

        def stream(i: int, row: int) -> Iterator[Move]:
            base = float(self.log_weights[i])
            ranked = zip(first[row].tolist(), tops[row].tolist(), strict=True)
            for token, log_probability in chain(ranked, self._rest(proposal, row, first[row].tolist())):
                if log_probability == -math.inf:
                    return
                yield Move(i, token, log_probability, base + log_probability)

        rows = proposal.rows.tolist()
        return [stream(i, row) for i, row in zip(particles, rows, strict=True) if self.particles[i].live]

    def _rest(self, proposal: Proposal, row: int, first: list[int]) -> Iterator[tuple[int, float]]:
        """Yield the tokens after the first ones of a row, in descending order, with their log-probabilities."""
        logs = proposal.numerators[row].double()
        values, tokens = torch.sort(logs - log_masses(logs), descending=True, stable=True)
        for token, log_probability in zip(tokens.tolist(), values.tolist(), strict=True):
            if token not in first:
                yield token, log_probability

    def _passes(self, move: Move) -> bool:
        """Return whether the checks of a site let a move pass."""
        state = self.particles[move.particle].text
        if move.outcome is None or not isinstance(state, TextState) or state.kernel != "awrs":
            return True
        return state.site.verdicts([(state, move.outcome)])[0]

    def _drop(self, moves: Sequence[Move]) -> None:
        """Tell the recorder who is left out."""
        kept = sorted({move.particle for move in moves})
        particles = [self.particles[i] for i in kept]
        self.runtime.recorder.selected(self.particles, particles, self.log_weights[kept])

    # Finite sites: all runs that are at one choose together, so that a row of them does not multiply the runs.

    def _choose(self, i: int, form: FiniteForm) -> Todo:
        if max(form.log_masses) == -math.inf:
            self._add_weight(i, -math.inf, f"no value left of {form}")
        else:
            self._choosing.append((i, form))
        return []

    def _settle(self, todo: Todo) -> None:
        super()._settle(todo)
        while self._choosing:
            forms, self._choosing = dict(self._choosing), []
            self.runtime.recorder.settled(self.particles, self.log_weights)
            before = self.log_weights
            moves = self._largest([self._outcomes(i, forms.get(i)) for i in range(len(self.particles))])
            self._drop(moves)
            chosen = self._follow(moves)
            for j, value, move in chosen:
                base = float(before[move.particle])
                self.runtime.recorder.chosen(self.particles, j, forms[move.particle], value, base)
            super()._settle([(j, self._answer(j, forms[move.particle].values[v])) for j, v, move in chosen])

    def _outcomes(self, i: int, form: FiniteForm | None) -> list[Move]:
        """Return the moves of a particle in descending order: the values of its finite site, or to stay."""
        base = float(self.log_weights[i])
        if form is None:
            return [] if base == -math.inf else [Move(i, None, 0.0, base)]
        ranked = sorted(enumerate(form.log_masses), key=lambda value: -value[1])
        return [Move(i, k, log_mass, base + log_mass) for k, log_mass in ranked if log_mass > -math.inf]

    def _answer(self, i: int, value: Any) -> Request:
        return self._guard(i, partial(self.particles[i].fiber.answer, value))
