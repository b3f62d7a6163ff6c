"""Scheduler: a population of runs that advance in ticks.

At each tick every live particle makes one move, a token at the text site it has reached, whatever site that is:
`propose` asks each language model once for all of them and adds the weights that are known before the draw,
`draw` draws and writes the tokens. Particles whose text is finished go on in Python until their next text
site; all other primitives are resolved on the way, `observe` for all waiting particles together. A method
(`inference.methods`) decides what happens between the ticks; `select` is how it resamples.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from grammars.errors import PPLError
from inference.engines.base import NextTokens
from inference.experts import Laws, next_laws
from inference.infilling import InfillState, infill_laws
from inference.kernels import KERNELS, Proposal
from inference.particle import Death, Particle
from inference.runtime import Runtime
from inference.scoring import log_densities, log_mass
from inference.tallies import dead_end, rejected, tally_draws, tally_masses
from inference.text import TextState
from inference.twists import State
from inference.weights import Floats, log_mean_exp
from ppl.compiler.normal_form import FiniteForm, InfillForm, NormalForm, normal_form
from ppl.compiler.plan import KernelName, plan_infill, plan_text
from ppl.errors import InvalidArgument, ProgramError
from ppl.fiber import Draw, Finished, Observe, Request, Weigh
from ppl.nested import Nested
from ppl.program import Model
from ppl.rng import Rng

Todo = list[tuple[int, Request]]


class _Inner(Protocol):
    """What a nested program is computed by, see `inference.nesting`."""

    @property
    def exact(self) -> bool: ...

    def form(self, target: Nested[Any], rng: Rng, runtime: Runtime) -> tuple[FiniteForm, int]: ...


@dataclass
class _Group:
    """A proposal, the kernel that made it, and the particles it is for."""

    kernel: KernelName
    proposal: Proposal
    particles: NDArray[np.int64]


class Scheduler:
    """The runs of one model, their log-weights, and the ticks that advance them.

    Attributes
    ----------
    particles:
        N particles.
    log_weights:
        (N,) float64, in nats; the mean of exp(log_weights) estimates the evidence at any tick.
    drawn:
        Number of tokens drawn so far, ends included.
    """

    takes_estimates: ClassVar[bool] = True
    """Whether the masses of a nested program may be unbiased estimates."""

    def __init__(self, model: Model[Any], size: int, rng: Rng, runtime: Runtime) -> None:
        self.rng = rng
        self.runtime = runtime
        self.particles = [Particle(model.fiber()) for _ in range(size)]
        self.log_weights: Floats = np.zeros(size)
        self.drawn = 0
        self.last_death: Death | None = None
        self._groups: list[_Group] = []

    def start(self) -> None:
        """Run every particle to its first text site."""
        self.runtime.recorder.begin(self.particles)
        self._settle([(i, self._guard(i, p.fiber.start)) for i, p in enumerate(self.particles)])
        self.runtime.recorder.settled(self.particles, self.log_weights)
        self.runtime.recorder.ticked()

    @property
    def live(self) -> list[int]:
        """The particles that have a move to make."""
        return [i for i, p in enumerate(self.particles) if p.live]

    def propose(self) -> None:
        """Ask the language models, and multiply in the weights that are known before the draw."""
        self.runtime.adapt()
        self._propose(self.live)

    def _propose(self, chosen: Sequence[int], *, ahead: bool = False) -> None:
        """Make the proposals of some particles; `ahead`: of those whose next laws are known."""
        self._groups = []
        live = np.array(chosen, dtype=np.int64)
        states = [self._text(i) for i in live]
        for laws in self._laws(states, ahead=ahead):
            by_kernel: defaultdict[KernelName, list[int]] = defaultdict(list)
            for row, position in enumerate(laws.members):
                by_kernel[states[position].kernel].append(row)
            members = live[laws.members]
            for kernel, rows in by_kernel.items():
                self._weigh(kernel, laws.following, members[rows], rows)

    def _laws(self, states: Sequence[State], *, ahead: bool) -> list[Laws]:
        """Ask the language models and the denoisers; `members` are indices into `states`."""
        texts = [i for i, state in enumerate(states) if isinstance(state, TextState)]
        infills = [i for i, state in enumerate(states) if isinstance(state, InfillState)]
        written = [state for state in states if isinstance(state, TextState)]
        filled = [state for state in states if isinstance(state, InfillState)]
        runtime, laws = self.runtime, list[Laws]()
        if written:
            drafts, guess = list[tuple[int, ...]](), None
            if runtime.drafts is not None and not ahead:
                drafts, guess = runtime.drafts.drafts(
                    written,
                    runtime.sessions,
                    self.rng,
                    bridged=runtime.bridge is not None,
                    switching=runtime.switching,
                )
            laws = next_laws(written, runtime.sessions, runtime.bridge, drafts, guess, ahead=ahead)
        more = infill_laws(filled, self.rng, self.runtime.denoising) if filled else []
        return [
            *(Laws([texts[i] for i in law.members], law.following) for law in laws),
            *(Laws([infills[i] for i in law.members], law.following) for law in more),
        ]

    @property
    def forced(self) -> bool:
        """Whether no live particle has a choice of tokens in this tick."""
        return all(group.proposal.forced for group in self._groups)

    def select(self, ancestors: NDArray[np.int64], log_weights: Floats | None = None) -> None:
        """Replace the particles by copies of `ancestors` (N,), each with the mean weight, or with the given ones.

        The first copy of a particle keeps its live run, the others replay. Proposals move along, so that the
        copies draw different tokens.
        """
        parents, seen = self.particles, set[int]()
        self.particles = []
        for a in ancestors.tolist():
            self.particles.append(parents[a].fork() if a in seen else parents[a])
            seen.add(a)
        for a, parent in enumerate(parents):
            if a not in seen:
                parent.close()
        mean = log_mean_exp(self.log_weights)
        self.log_weights = np.full(len(ancestors), mean) if log_weights is None else log_weights
        self.runtime.recorder.selected(parents, self.particles, self.log_weights)
        for group in self._groups:
            order = {int(i): k for k, i in enumerate(group.particles)}
            chosen = [(j, order[a]) for j, a in enumerate(ancestors.tolist()) if a in order]
            group.particles = np.array([j for j, _ in chosen], dtype=np.int64)
            group.proposal = group.proposal.take(np.array([k for _, k in chosen], dtype=np.int64))

    def draw(self) -> None:
        """Draw and write the token of each live particle, and run on those whose text is finished.

        Particles whose drafts come true go on, as far as their next laws are known.
        """
        self._draw()
        while members := self._ahead():
            self._propose(members, ahead=True)
            self._draw()
        self.runtime.recorder.ticked()

    def _ahead(self) -> list[int]:
        """Return the particles whose next laws are known without a pass."""
        drafts, sessions = self.runtime.drafts, self.runtime.sessions
        return [] if drafts is None else [i for i in self.live if drafts.known(self._text(i), sessions)]

    def _draw(self) -> None:
        written: list[tuple[int, State]] = []
        drafts = self.runtime.drafts
        for group in self._groups:
            members = np.flatnonzero([self.particles[i].live for i in group.particles])
            if not len(members):
                continue
            indices = group.particles[members].tolist()
            states: list[Any] = [self._text(i) for i in indices]
            with self._located(indices[0]):
                proposal = group.proposal.take(members)
                tokens, log_weights = proposal.draw(self.rng, states)
            self.drawn += len(tokens)
            self._note(indices, proposal, tokens)
            tally_draws(group.kernel, states, log_weights)
            self.runtime.recorder.drawn(self.particles, indices, tokens, log_weights)
            for i, state, token, w in zip(
                indices, states, tokens.tolist(), log_weights.tolist(), strict=True
            ):
                self.log_weights[i] += w
                if self.log_weights[i] == -np.inf:
                    self._kill(i, rejected(state))
                    continue
                if drafts is not None and isinstance(state, TextState):
                    drafts.drawn(state, token)
                state.advance(token)
                written.append((i, state))
        self._groups = []
        self._go_on(sorted(written, key=lambda t: t[0]))

    def _note(self, indices: Sequence[int], proposal: Proposal, tokens: NDArray[np.int64]) -> None:
        """Take note of the tokens that particles have drawn and not yet written; for schedulers that follow them."""

    def _note_value(self, i: int, form: FiniteForm, index: int) -> None:
        """Take note of the value that particle i has drawn; for schedulers that follow it."""

    def close(self) -> None:
        """Abandon the runs that are still going."""
        for particle in self.particles:
            particle.close()

    def _go_on(self, written: Sequence[tuple[int, State]]) -> None:
        """Ask the potentials of texts that have a new token, and run on those whose text is finished."""
        twisted = [(i, state) for i, state in written if state.plan.potentials]
        if twisted:
            with self._located(twisted[0][0]):
                log_weights = self.runtime.twists.weigh([state for _, state in twisted], self.rng)
            for (i, _), w in zip(twisted, log_weights.tolist(), strict=True):
                self._add_weight(i, w, "a potential is -inf here")
        for i, state in written:
            constraint = state.plan.constraint
            complete = isinstance(state, InfillState) and state.finished
            if complete and constraint is not None and not constraint.matches(state.shown):
                self._add_weight(i, -math.inf, f"the complete text violates {constraint}")
        self._settle(
            [(i, self._end_text(i, s)) for i, s in written if s.finished and self.particles[i].death is None]
        )
        self.runtime.recorder.settled(self.particles, self.log_weights)

    # Moves between text sites.

    def _settle(self, todo: Todo) -> None:
        """Handle requests until each particle is at a text site, finished or dead."""
        while todo:
            waiting: Todo = []
            queue, todo = todo[::-1], []
            while queue:
                i, request = queue.pop()
                if self._is_scored(i, request):
                    waiting.append((i, request))
                else:
                    queue += reversed(self._handle(i, request))
            todo = self._score(waiting)

    def _is_scored(self, i: int, request: Request) -> bool:
        """Return whether a request of particle i waits for the others, to be scored with theirs."""
        return isinstance(request, Observe) and not isinstance(request.target, Nested)

    def _score(self, waiting: Todo) -> Todo:
        """Resolve the requests that wait to be scored; return those that follow."""
        observed = [(i, request) for i, request in waiting if isinstance(request, Observe)]
        asked = [(request.target, request.value) for _, request in observed]
        densities = log_densities(asked, self.runtime.sessions, self.runtime.twists)
        todo: Todo = []
        for (i, request), log_density in zip(observed, densities, strict=True):
            if self._add_weight(i, log_density, f"observe: density 0 at {request.value!r}"):
                todo.append((i, self._guard(i, self.particles[i].fiber.answer)))
        return todo

    def _handle(self, i: int, request: Request) -> Todo:
        """Resolve one request of particle i; return the requests that follow from it."""
        particle = self.particles[i]
        if isinstance(request, Finished):
            particle.finished, particle.value = True, request.value
            self.runtime.runs += 1
            return []
        if isinstance(request, Weigh):
            reason = "the condition was false" if request.primitive == "condition" else "factor(-inf)"
            if not self._add_weight(i, request.log_weight, reason):
                return []
            return [(i, self._guard(i, particle.fiber.answer))]
        if isinstance(request, Observe):
            with self._located(i):
                found = log_mass(self._nested(normal_form(request.target)), request.value)
            if not self._add_weight(
                i, found, f"observe: no run of the nested program led to {request.value!r}"
            ):
                return []
            return [(i, self._guard(i, particle.fiber.answer))]
        assert isinstance(request, Draw)
        form = normal_form(request.target)
        if isinstance(form, Nested):
            with self._located(i):
                form = self._nested(form)
            if not form.values:
                self._add_weight(i, -math.inf, "no run of the nested program has weight")
                return []
        if isinstance(form, FiniteForm):
            return self._choose(i, form)
        with self._located(i):
            if isinstance(form, InfillForm):
                filling = plan_infill(form)
                particle.text = InfillState.begin(filling, self.runtime.site(request.address, filling))
            else:
                plan = plan_text(form)
                particle.text = TextState.begin(plan, self.runtime.site(request.address, plan))
        return []

    def _choose(self, i: int, form: FiniteForm) -> Todo:
        """Draw the value of a finite site in proportion to its masses; their sum is the weight."""
        logits, before = torch.tensor([form.log_masses], dtype=torch.float64), float(self.log_weights[i])
        if not self._add_weight(i, float(torch.logsumexp(logits, -1)), f"no value left of {form}"):
            return []
        index = int(self.rng.categorical(logits, np.zeros(1, dtype=np.int64))[0])
        self._note_value(i, form, index)
        self.runtime.recorder.chosen(self.particles, i, form, index, before)
        return [(i, self._guard(i, lambda: self.particles[i].fiber.answer(form.values[index])))]

    def _nested(self, target: NormalForm) -> FiniteForm:
        """Return the values of a nested program and their masses, by an inference of its own."""
        assert isinstance(target, Nested)
        inner = cast(_Inner, target.method)
        if not self.takes_estimates and not inner.exact:
            raise InvalidArgument(
                f"{target}: its masses are estimates, and this method takes them for exact",
                hint="nested(model, Enumerate()), or an outer method that samples, such as SMC",
            )
        form, drawn = inner.form(target, self.rng, self.runtime)
        self.drawn += drawn
        return form

    def _end_text(self, i: int, state: State) -> Request:
        particle = self.particles[i]
        particle.text = None
        return self._guard(i, lambda: particle.fiber.answer(state.shown))

    # Weights and deaths.

    def _weigh(
        self, kernel: KernelName, following: NextTokens, members: NDArray[np.int64], at: list[int]
    ) -> None:
        states: list[Any] = [self._text(i) for i in members]  # only texts have masks and checks
        with self._located(int(members[0])):
            proposal = KERNELS[kernel](NextTokens(following.logprobs, following.rows[at]), states)
        self.log_weights[members] += proposal.log_weights
        self.runtime.recorder.weighed(self.particles, members, following, at, proposal)
        if kernel in ("masked", "corrector"):
            tally_masses(kernel, states, proposal.log_weights)
        for i in members[np.isneginf(proposal.log_weights)].tolist():
            self._kill(i, dead_end(self._text(i)))
        self._groups.append(_Group(kernel, proposal, members))

    @contextmanager
    def _located(self, i: int) -> Iterator[None]:
        """Name particle i's site in errors that a check raises."""
        try:
            yield
        except PPLError as error:
            error.message = f"sample at {self.particles[i].address}: {error.message}"
            raise

    def _add_weight(self, i: int, log_weight: float, reason: str) -> bool:
        total = float(self.log_weights[i]) + log_weight
        if not total < math.inf:
            raise InvalidArgument(
                f"particle {i}: the log-weights add up to {total}",
                hint="factors are in nats: exp of their sum must make sense as a relative mass",
            )
        self.log_weights[i] = total
        if total == -math.inf:
            self._kill(i, reason)
            return False
        return True

    def _kill(self, i: int, reason: str) -> None:
        particle = self.particles[i]
        text = "" if particle.text is None else particle.text.shown
        particle.death = self.last_death = Death(particle.address, reason, text)
        particle.text = None
        particle.close()

    def _text(self, i: int) -> State:
        text = self.particles[i].text
        assert text is not None
        return text

    def _guard(self, i: int, resume: Callable[[], Request]) -> Request:
        try:
            return resume()
        except ProgramError as error:
            error.message = f"particle {i}: {error.message}"
            raise
