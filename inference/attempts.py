"""Attempts: runs that are drawn in proportion to what is known of the valid mass, and given up as soon as they may be.

At a node s of the trie (`inference.mass_trie`) the choice c is drawn from q(c | s) U(s c) / S(s), with
S(s) = Σ_c q(c | s) U(s c), and the run goes on with probability S(s) / U'(s), where U' is the bound that s was chosen
by. At the end of the run w / B takes the place of S. All factors but the first and the last cancel: a complete run x is
reached, and accepted, with probability

    Π_t q(x_t | x_<t) · (w(x) / B) / U(root) = γ(x) / (B U(root)),

whatever the bounds were on the way, as long as each test is a probability: S(s) <= U'(s), since bounds only fall. The
bounds may change between a run's steps by what other runs find; each factor uses the bound that the draw used.

A run is given up only where something new was found: that its weight, or what is left of the mass, is less than
was known. Where the trie is right no test can fail.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.engines.base import NextTokens
from inference.errors import BoundExceeded
from inference.infilling import InfillState
from inference.kernels import Proposal
from inference.kernels.base import Tokens
from inference.mass_trie import Node
from inference.population import Todo
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.text import TextState
from inference.twists import State
from inference.weights import Floats, log_masses
from ppl.compiler.normal_form import FiniteForm
from ppl.compiler.plan import KernelName
from ppl.errors import InvalidArgument
from ppl.fiber import Finished, Request
from ppl.potentials import FunctionPotential
from ppl.program import Model
from ppl.rng import Rng

_ROUNDING = 1e-5
"""Nats per move by which gains may exceed the bound: what a mask that removes nothing adds at most in float32."""
_CERTAIN = 1e-12
"""Nats by which a test may fall short of certainty and still be no test: what rounding in float64 makes."""


class Attempts(Scheduler):
    """Runs of one model that share a trie.

    Each step of a run adds to its log-weight, or takes away. B bounds the sum of what is *added*, so that what is taken
    away, by masks, densities and negative factors, lowers the bound at once and not at the end. Without a
    bound gains do not count, and a run goes on until it has no weight: the trie learns of losses, as deep as it can,
    and what is accepted is of no use.

    Attributes
    ----------
    accepted:
        (N,) whether the run is complete and passed all tests.
    """

    takes_estimates: ClassVar[bool] = False

    def __init__(
        self, model: Model[Any], size: int, rng: Rng, runtime: Runtime, root: Node, log_bound: float | None
    ) -> None:
        super().__init__(model, size, rng, runtime)
        self._counts_gains, self._bound = log_bound is not None, log_bound or 0.0
        self._nodes = [root] * size
        self._chosen_by = np.full(size, root.log_bound)  # log U', the bounds that the nodes were chosen by
        self._gained, self._lost = np.zeros(size), np.zeros(size)
        self._moves = np.zeros(size)
        self.accepted = np.zeros(size, dtype=np.bool_)

    def propose(self) -> None:
        """Ask the language models. Masks and checks stay as they are: the trie is about one law of proposals."""
        self._propose(self.live)

    def descend(self, i: int, choice: int, share: float, log_bound: float) -> None:
        """Go on to the node after a choice with proposal probability `share`, chosen by the bound `log_bound`."""
        self._nodes[i] = self._nodes[i].child(choice, share)
        self._chosen_by[i] = log_bound

    # Moves: as those of the scheduler, with proposals that are tilted by the bounds.

    def _weigh(
        self, kernel: KernelName, following: NextTokens, members: NDArray[np.int64], at: list[int]
    ) -> None:
        if kernel != "awrs":
            self._weigh_tilted(kernel, following, members, at)
            return
        unmasked = np.array([isinstance(s, TextState) and s.unmasked for s in map(self._text, members)])
        parts: tuple[tuple[KernelName, NDArray[np.bool_]], ...] = (
            ("direct", unmasked),
            ("masked", ~unmasked),
        )
        for name, part in parts:
            if part.any():
                self._weigh_tilted(name, following, members[part], np.array(at)[part].tolist())

    def _weigh_tilted(
        self, kernel: KernelName, following: NextTokens, members: NDArray[np.int64], at: list[int]
    ) -> None:
        super()._weigh(kernel, following, members, at)
        group = self._groups[-1]
        untilted, tilted, tilts = group.proposal, list[Tensor](), list[Mapping[int, float]]()
        rows = untilted.rows.copy()
        for k, i in enumerate(members.tolist()):
            self._count(i, float(untilted.log_weights[k]))
            tilt: dict[int, float] = {}
            if self.particles[i].live:
                row = untilted.numerators[rows[k]]
                row, tilt = self._visit(i, row, float(untilted.log_weights[k]))
                if tilt:
                    rows[k] = len(untilted.numerators) + len(tilted)
                    tilted.append(row)
            tilts.append(tilt)
        numerators = torch.cat([untilted.numerators, torch.stack(tilted)]) if tilted else untilted.numerators
        group.proposal = _Tilted(
            numerators, rows, untilted.log_weights, untilted=untilted, tilts=tilts, members=members, runs=self
        )

    def _choose(self, i: int, form: FiniteForm) -> Todo:
        logits = torch.tensor(form.log_masses, dtype=torch.float64)
        before, log_total = float(self.log_weights[i]), float(torch.logsumexp(logits, -1))
        if not self._add_weight(i, log_total, f"no value left of {form}"):
            return []
        row, tilt = self._visit(i, logits, log_total)
        if self.particles[i].death is not None:
            return []
        index = int(self.rng.categorical(row[None], np.zeros(1, dtype=np.int64))[0])
        self.descend(i, index, math.exp(form.log_masses[index] - log_total), tilt.get(index, -self._lost[i]))
        self.runtime.recorder.chosen(self.particles, i, form, index, before)
        return [(i, self._guard(i, lambda: self.particles[i].fiber.answer(form.values[index])))]

    def _handle(self, i: int, request: Request) -> Todo:
        todo = super()._handle(i, request)
        if isinstance(request, Finished):
            log_share = min(self._gained[i] - self._bound, 0.0) - self._lost[i]
            self._nodes[i].choices = 0
            self._nodes[i].learn(log_share)
            self.accepted[i] = self._passes(i, log_share)
        elif (state := self.particles[i].text) is not None:
            with self._located(i):
                _require_deterministic(state)
        return todo

    # Tests.

    def _visit(self, i: int, row: Tensor, log_total: float) -> tuple[Tensor, dict[int, float]]:
        """Test whether run i goes on from its node; return what its choice is drawn from, and the bounds in it.

        `row` (V,) is the log of the unnormalised law of the choice, `log_total` that of its sum.
        """
        node = self._nodes[i]
        node.level = -float(self._lost[i])
        if node.choices is None:
            node.choices = int(torch.isfinite(row).sum())
        tilt = {choice: child.log_bound for choice, child in node.children.items()}
        log_sum = node.level
        if tilt:
            row = row.clone()
            shifts = torch.tensor(list(tilt.values()), dtype=row.dtype, device=row.device) - node.level
            row[torch.tensor(list(tilt), device=row.device)] += shifts
            log_sum += float(log_masses(row)) - log_total
        node.learn(log_sum)
        if log_sum == -math.inf:
            self._kill(i, "everything that may come next is known to fail")
        elif not self._passes(i, log_sum):
            super()._kill(i, "what may come next has less valid mass than was known")
        return row, tilt

    def _passes(self, i: int, log_sum: float) -> bool:
        """Let a run pass with probability S / U'; where only learning matters, to its end."""
        if not self._counts_gains:
            return log_sum > -math.inf
        log_share = log_sum - float(self._chosen_by[i])
        if log_share > -_CERTAIN:
            return True
        share = math.exp(log_share)
        return share > 0.0 and self.rng.uniform([share]) < share

    # Weights and deaths.

    def _add_weight(self, i: int, log_weight: float, reason: str) -> bool:
        alive = super()._add_weight(i, log_weight, reason)
        if alive:
            self._count(i, log_weight)
        return alive

    def _count(self, i: int, log_weight: float) -> None:
        self._gained[i] += max(log_weight, 0.0) if self._counts_gains else 0.0
        self._lost[i] += max(-log_weight, 0.0)
        self._moves[i] += 1
        if self._gained[i] - self._bound > _ROUNDING * self._moves[i]:
            raise BoundExceeded(
                f"the gains of a run add up to {self._gained[i]:.6g}, above log_bound={self._bound:.6g}",
                hint="pass a log_bound that no run exceeds (the sum of the largest positive factors; losses do not "
                "make up for gains here), or use SMC",
            )

    def _kill(self, i: int, reason: str) -> None:
        """Let a run die that has no weight, of which the trie takes note."""
        self._nodes[i].learn(-math.inf)
        super()._kill(i, reason)


@dataclass(frozen=True, kw_only=True)
class _Tilted(Proposal):
    """A proposal whose rows are multiplied by the bounds; a drawn token is checked where that is left to do.

    Attributes
    ----------
    untilted:
        The proposal before that; its log-weights are the logs of the sums of the rows.
    tilts:
        (n,) for each member the log-bounds of its known children.
    members, runs:
        (n,) the members' indices among the runs.
    """

    untilted: Proposal
    tilts: Sequence[Mapping[int, float]]
    members: NDArray[np.int64]
    runs: Attempts

    def take(self, members: NDArray[np.int64]) -> Self:
        """Return the proposal of some of the members."""
        return replace(
            super().take(members),
            untilted=self.untilted.take(members),
            tilts=[self.tilts[k] for k in members],
            members=self.members[members],
        )

    def draw(self, rng: Rng, states: Sequence[TextState]) -> tuple[Tokens, Floats]:
        """Draw a token for each member, tell the trie, and check it; a token that fails leaves no weight."""
        tokens, log_weights = super().draw(rng, states)
        base = self.untilted
        for k, (i, token, state) in enumerate(
            zip(self.members.tolist(), tokens.tolist(), states, strict=True)
        ):
            log_share = float(base.numerators[base.rows[k], token]) - float(base.log_weights[k])
            log_bound = self.tilts[k].get(token, -float(self.runs._lost[i]))
            self.runs.descend(i, token, math.exp(log_share), log_bound)
            if state.kernel == "awrs" and not state.site.verdicts([(state, token)])[0]:
                log_weights[k] = -math.inf
        return tokens, log_weights


def _require_deterministic(state: State) -> None:
    """Raise `InvalidArgument` where weights or next positions are random given the choices so far."""
    if isinstance(state, InfillState) and state.plan.infill.order == "random":
        raise InvalidArgument(
            f"AdaptiveRejection on a text that is unmasked in random order: {state.plan}",
            hint="order='left_to_right' or 'confident', or Rejection, which learns nothing",
        )
    if any(isinstance(p, FunctionPotential) and p.lookahead for p in state.plan.potentials):
        raise InvalidArgument(
            f"AdaptiveRejection with a potential that draws lookaheads: {state.plan}",
            hint="lookahead=0, or SMC: weights must be functions of the text",
        )
