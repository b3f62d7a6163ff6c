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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from inference.branching import Move, Pruning, passes
from inference.diagnostics import Step
from inference.methods.base import Method, Result, require_positive
from inference.progress import Progress
from inference.runtime import Runtime
from inference.weights import effective_sample_size, log_sum_exp
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


class _Beam(Pruning):
    """A scheduler that follows the outcomes of the largest mass."""

    def __init__(self, model: Model[Any], rng: Rng, runtime: Runtime, width: int) -> None:
        super().__init__(model, rng, runtime)
        self._width = width

    def advance(self) -> None:
        """Write the tokens of the `width` largest continuations."""
        streams: list[Iterable[Move]] = [[move] for move in self._stay()]
        for group in self._groups:
            streams += self.ranked(group.proposal, group.particles.tolist(), self._width)
        self._follow_tokens(self._kept(streams))

    def _kept(self, streams: Sequence[Iterable[Move]]) -> list[Move]:
        """Return the largest `width` moves of streams in descending order, as far as the checks let them pass."""
        merged = heapq.merge(*streams, key=lambda move: -move.log_weight)
        return list(islice(filter(self._passes, merged), self._width))

    def _passes(self, move: Move) -> bool:
        return passes(self.particles[move.particle].text, move.outcome)
