"""Best-first search (A*): partial runs in the order of their mass times what is hoped for. Deterministic; a heuristic.

The mass of a partial run s is γ(s) = Π (weights so far) · Π (probabilities of what it has chosen), as in
`inference.methods.beam`. A frontier holds partial runs and finished ones, in the order of

    log γ(s) + h(s),        h = 0 for finished runs,

where h says how much the mass may still change. The first B that are unfinished are expanded in one call of the
language model; what may follow each stays in the frontier as a sorted list, of which only the top counts, with

    log γ(s c) + log_bound,

until it comes first; only then is c written, is the program run on, and h asked. A finished run that comes first, when
nothing before it waits to be expanded, is a result. If h is *admissible*, log γ(x) - log γ(s) <= h(s) <= log_bound for
every run x that begins with s, then no run can be heavier than a finished one that comes first: the first result is
the run of the largest mass, the second the next, and so on. The runs found are distinct and have their exact masses,
so that their sum is a lower bound on the evidence, and the posterior is the program's restricted to them.

With h = 0 the search visits all that is heavier than the result, which for long texts is much; a heuristic that is not
admissible, such as what a text loses on average until it ends, finds a good run sooner.

References: Hart, Nilsson and Raphael (1968), *A formal basis for the heuristic determination of minimum cost paths*;
for texts Meister, Vieira and Cotterell (2020), *Best-first beam search*, and Lu et al. (2022), "NeuroLogic A*esque
decoding"; for lists of which only the top counts, Yoshizumi, Miura and Ishida (2000), "A* with partial expansion for
large branching factor problems".
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, NamedTuple

import numpy as np
from typing_extensions import override

from inference.branching import Branching, Move, passes
from inference.diagnostics import Step
from inference.methods.base import Method, Result, require_positive
from inference.particle import Particle
from inference.population import Todo
from inference.progress import Progress
from inference.runtime import Runtime
from inference.tallies import rejected
from inference.text import TextState
from inference.twists import Question, State, certain_text
from inference.weights import effective_sample_size, log_sum_exp
from ppl.compiler.normal_form import FiniteForm
from ppl.errors import InvalidArgument
from ppl.potentials import FunctionPotential, potential
from ppl.program import Model
from ppl.rng import Rng

_RANKED = 16
"""Outcomes of a row that are fetched from the device at once; more are sorted when they are needed."""


@dataclass(frozen=True)
class BestFirst(Method):
    """Best-first search: a heuristic, whose samples are runs with their exact masses, but not all of them.

    With an admissible heuristic the samples are the heaviest runs, in order, if the search ended within its budget:
    `sum(step.live for step in posterior.steps) < expansions`.

    Parameters
    ----------
    expansions:
        The budget: how many partial runs are expanded, at least 1. Each takes the memory of a row of the vocabulary.
    batch:
        B, how many are expanded in one call of the language model.
    samples:
        How many results are wanted, at least 1.
    heuristic:
        h: maps the text so far of the site that is being written to nats, or a `potential` of such a function, which is
        asked at its boundaries and may be batched; between two of them the last value holds, before the first
        `log_bound`. None: `log_bound`. Values above `log_bound` count as that.
    log_bound:
        An upper bound, in nats, on what can yet be added to the weight of a run: positive factors and potentials.

    Notes
    -----
    `log_evidence` is the log of the mass of the runs found, a lower bound. Nothing is random: the seed has no effect,
    but where a potential looks ahead by drawn continuations. Besides the results, other runs that were finished on the
    way are returned. Two runs may have the same value, if a text has several tokenizations.
    """

    expansions: int = 256
    batch: int = 8
    samples: int = 1
    heuristic: Callable[[str], float] | FunctionPotential | None = None
    log_bound: float = 0.0

    def __post_init__(self) -> None:
        for name in ("expansions", "batch", "samples"):
            require_positive(name, getattr(self, name))
        h = self.heuristic
        if isinstance(h, FunctionPotential) and h.lookahead:
            raise InvalidArgument(
                f"heuristic={h}: it draws continuations", hint="a potential without a lookahead"
            )
        if h is not None and not isinstance(h, FunctionPotential) and not callable(h):
            raise InvalidArgument(f"heuristic={h!r}", hint="a function of the text so far, or a potential")
        if not isinstance(self.log_bound, int | float) or not math.isfinite(self.log_bound):
            raise InvalidArgument(f"log_bound={self.log_bound!r}", hint="a finite number of nats")

    @property
    @override
    def recordable(self) -> bool:
        """False: its runs do not advance together."""
        return False

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Expand until there are enough results, or the budget is spent."""
        search = _Search(model, rng, runtime, self)
        steps: list[Step] = []
        log_mass, left = 0.0, self.expansions
        try:
            search.start()
            while search.results < self.samples and left and (batch := search.next(min(self.batch, left))):
                search.expand(batch)
                left -= len(batch)
                found = np.array([run.log_weight for run in search.found])
                before, log_mass = log_mass, log_sum_exp(found) if len(found) else 0.0
                ess = effective_sample_size(found)
                steps.append(Step(len(steps) + 1, len(batch), ess, log_mass - before))
                progress.update(steps[-1], search.drawn)
        finally:
            search.close()
        runs = sorted(search.found, key=lambda run: -run.log_weight)
        weights = np.array([run.log_weight for run in runs])
        over = f"no run was finished within expansions={self.expansions}; raise it, or give a heuristic"
        death = search.last_death if left or runs else over
        return Result(
            [run.particle for run in runs], weights, log_sum_exp(weights), steps, search.drawn, death
        )


class _Partial(NamedTuple):
    """A run, partial or finished, with its log-mass."""

    particle: Particle
    log_weight: float


class _Choices(NamedTuple):
    """The outcomes of a partial run that are not yet written, largest first: the first one, and the rest."""

    parent: Particle
    form: FiniteForm | None
    """Of the finite site that the run is at; None: it is writing a text."""
    top: Move
    rest: Iterator[Move]


class _Search(Branching):
    """A scheduler whose population is what is expanded or written at the moment; the rest waits in the frontier.

    Attributes
    ----------
    results:
        How many finished runs have come first.
    found:
        All finished runs, with their log-masses.
    """

    def __init__(self, model: Model[Any], rng: Rng, runtime: Runtime, method: BestFirst) -> None:
        super().__init__(model, rng, runtime)
        h = method.heuristic
        self._heuristic = h if isinstance(h, FunctionPotential) or h is None else potential(h, at="token")
        self._bound, self._batch, self._wanted = method.log_bound, method.batch, method.samples
        self._order = count()
        self._frontier: list[tuple[float, int, int, _Choices | _Partial]] = []
        self._opened = list(self.particles)
        self.results = 0
        self.found: list[_Partial] = []

    def start(self) -> None:
        """Run to the first site."""
        super().start()
        self._sort_in()

    def next(self, size: int) -> list[_Partial]:
        """Return the partial runs to be expanded next, at most `size`, and count the results that come before them."""
        batch: list[_Partial] = []
        while self._frontier and len(batch) < size and self.results < self._wanted:
            first = self._frontier[0][-1]
            if isinstance(first, _Choices):
                self._write_choices()
            elif not first.particle.finished:
                batch.append(first)
                heapq.heappop(self._frontier)
            elif batch:  # which may lead to heavier runs
                break
            else:
                self.results += 1
                heapq.heappop(self._frontier)
        return batch

    def expand(self, batch: Sequence[_Partial]) -> None:
        """Ask the language models what may follow the partial runs."""
        self.particles = [partial.particle for partial in batch]
        self.log_weights = np.array([partial.log_weight for partial in batch])
        self.propose()
        for group in self._groups:
            for moves in self.ranked(group.proposal, group.particles.tolist(), _RANKED):
                first = next(moves)
                if not self._push(self.particles[first.particle], None, chain([first], moves)):
                    self._kill(first.particle, rejected(self._text(first.particle)))
        self._groups = []

    def close(self) -> None:
        """Abandon all runs."""
        for particle in self._opened:
            particle.close()

    def _write_choices(self) -> None:
        """Write the choices that come first, and run on."""
        chosen: list[_Choices] = []
        while len(chosen) < self._batch and self._frontier:
            choices = self._frontier[0][-1]
            if not isinstance(choices, _Choices):
                break
            heapq.heappop(self._frontier)
            self._push(choices.parent, choices.form, choices.rest)
            chosen.append(choices)
        self.particles = [choices.parent.fork() for choices in chosen]
        self._opened += self.particles
        self.log_weights = np.array([choices.top.log_weight for choices in chosen])
        todo: Todo = []
        written: list[tuple[int, State]] = []
        for i, choices in enumerate(chosen):
            outcome = choices.top.outcome
            assert outcome is not None
            if choices.form is not None:
                todo.append((i, self._answer(i, choices.form.values[outcome])))
                continue
            state = self._text(i)
            state.site.tally.tokens += 1
            state.site.tally.kernels[state.kernel] += 1
            self.drawn += 1
            written += self._write(i, outcome)
        self._go_on(written)
        self._settle(todo)
        self._sort_in()

    def _sort_in(self) -> None:
        """Put the population into the frontier."""
        forms, self._choosing = dict(self._choosing), []
        partial: list[_Partial] = []
        for i, particle in enumerate(self.particles):
            run = _Partial(particle, float(self.log_weights[i]))
            if particle.finished:
                self.found.append(run)
                heapq.heappush(self._frontier, (-run.log_weight, 0, next(self._order), run))
            elif i in forms:
                self._push(particle, forms[i], iter(self._values(i, forms[i])))
            elif particle.live:
                partial.append(run)
        for run, h in zip(partial, self._hopes([run.particle for run in partial]), strict=True):
            if h > -math.inf:
                heapq.heappush(self._frontier, (-(run.log_weight + h), 1, next(self._order), run))

    def _push(self, parent: Particle, form: FiniteForm | None, moves: Iterator[Move]) -> bool:
        """Put the outcomes of a partial run into the frontier; return whether there is one."""
        top = next((move for move in moves if form is not None or passes(parent.text, move.outcome)), None)
        if top is not None:
            choices = _Choices(parent, form, top, moves)
            heapq.heappush(self._frontier, (-(top.log_weight + self._bound), 1, next(self._order), choices))
        return top is not None

    def _hopes(self, particles: Sequence[Particle]) -> list[float]:
        """Return h of partial runs."""
        hopes, h = [self._bound] * len(particles), self._heuristic
        if h is None:
            return hopes
        questions: dict[int, Question] = {}
        for k, particle in enumerate(particles):
            text = certain_text(particle.text) if isinstance(particle.text, TextState) else ""
            boundary = h.boundary(text, 0) if isinstance(particle.text, TextState) else None
            if boundary is not None:
                questions[k] = Question(text[:boundary], complete=True)
        for k, value in zip(questions, self.runtime.twists.ask(h, list(questions.values())), strict=True):
            hopes[k] = min(value, self._bound)
        return hopes
