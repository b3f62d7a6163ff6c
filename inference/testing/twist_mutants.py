"""Mutants of learned twists: what turns a guide into another target."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from inference import learned_twist
from inference.kernels import Proposal
from inference.learned_twist import LearnedTwist, Twisted
from inference.population import Todo
from inference.scheduler import Scheduler
from inference.testing.mutant import mutant


@mutant("ASAp: SMC draws by the learned bounds, and the weights are those of draws without them")
def twist_weights_thrown_away() -> Iterator[None]:
    original = learned_twist._tilted

    def tilted(proposal: Proposal, shifts: Any) -> Proposal:
        made = original(proposal, shifts)
        return replace(made, log_weights=proposal.log_weights)

    def descend(self: Twisted, i: int, choice: int) -> None:
        node = self._nodes[i]
        self._nodes[i] = None if node is None else node.children.get(choice)

    with patch.object(learned_twist, "_tilted", tilted), patch.object(Twisted, "_descend", descend):
        yield


@mutant("a twist is not divided out at the end of a run")
def twist_left_in() -> Iterator[None]:
    with patch.object(Twisted, "_handle", lambda self, i, request: Scheduler._handle(self, i, request)):
        yield


@mutant("copies of a particle keep the nodes and twists of the particles that they replace")
def twists_not_resampled() -> Iterator[None]:
    with patch.object(Twisted, "select", lambda self, ancestors: Scheduler.select(self, ancestors)):
        yield


@mutant("choices that nobody has tried are left out where others have been tried")
def untried_choices_left_out() -> Iterator[None]:
    original = Twisted._shifts

    def shifts(self: Twisted, i: int) -> Mapping[int, float] | None:
        found = original(self, i)
        return dict.fromkeys(range(2), -math.inf) | dict(found) if found else found

    with patch.object(Twisted, "_shifts", shifts):
        yield


@mutant("finite choices are drawn by the learned bounds without paying for it")
def finite_choices_not_paid_for() -> Iterator[None]:
    original = Twisted._choose

    def choose(self: Twisted, i: int, form: Any) -> Todo:
        before = float(self.log_weights[i])
        todo = original(self, i, form)
        if self.particles[i].death is None:
            self.log_weights[i] = before
        return todo

    with patch.object(Twisted, "_choose", choose):
        yield


@mutant("a twist is used for whatever program it is given")
def twist_of_another_program() -> Iterator[None]:
    with patch.object(LearnedTwist, "require", lambda self, model: None):
        yield


@mutant("a twist looks at the program, and not at its arguments")
def twist_of_other_arguments() -> Iterator[None]:
    original = LearnedTwist.require

    def require(self: LearnedTwist, model: Any) -> None:
        original(self, self.model if model.program is self.model.program else model)

    with patch.object(LearnedTwist, "require", require):
        yield
