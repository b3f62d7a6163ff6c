"""Population: runs of one model side by side, with their weights, from one text site to the next.

Each run goes on in Python until it comes to a text site or to its end. On the way every other primitive is resolved:
values of finite sites are drawn, conditions and factors weighed, nested programs computed; `observe` waits until all
runs have come as far as they can, and is scored for them together. What happens at the text sites is the scheduler's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol, cast

import numpy as np
import torch

from grammars.errors import PPLError
from inference.infilling import InfillState
from inference.particle import Death, Particle
from inference.runtime import Runtime
from inference.scoring import log_densities, log_mass
from inference.text import TextState
from inference.twists import State
from inference.weights import Floats
from ppl.compiler.normal_form import FiniteForm, InfillForm, NormalForm, normal_form
from ppl.compiler.plan import plan_infill, plan_text
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


class Population:
    """The runs of one model and their log-weights.

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

    def close(self) -> None:
        """Abandon the runs that are still going."""
        for particle in self.particles:
            particle.close()

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

    def _note_value(self, i: int, form: FiniteForm, index: int) -> None:
        """Take note of the value that particle i has drawn; for schedulers that follow it."""

    def _end_text(self, i: int, state: State) -> Request:
        particle = self.particles[i]
        particle.text = None
        return self._guard(i, lambda: particle.fiber.answer(state.shown))

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
