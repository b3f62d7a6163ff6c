"""Learned twist: what adaptive rejection finds out about a program tells SMC where to go.

Attempts (`inference.attempts`) leave a trie of upper bounds on the valid mass (`inference.mass_trie`). Let h(s) be what
they say of a beginning s: a bound on the mean of what the runs that go on from s still lose,

    h(s c) = U(s c) / level(s),        1 for a choice c that has not been tried after s, or where nobody has been.

Twisted SMC draws the next choice in proportion to q(c | s) h(s c), and has the weight of a run times h of its node:

    W_{t+1} = W_t · Z(s) Σ_c q(c | s) h(s c) / h(s),        and W / h at the end of the run,

so that h cancels, and target and evidence stay what they are: a beginning that is known to fail is left out, one that
mostly fails is light before it fails, not after. Sampling in proportion to the bounds and throwing the weights away is
ASAp (Park et al.), which is biased until everything has been learned.

The trie is not changed while SMC runs. Given the trie the evidence is unbiased; and so it is on average over tries that
were learned with other random numbers. Where h is 0, there is nothing for the same program with the same arguments: for
another one, there might be. A twist therefore knows what it was learned from.

References: Whiteley and Lee (2014), *Twisted particle filters*; Park et al. (2024), *Grammar-aligned decoding*; Parys
et al. (2025), *Constrained adaptive rejection sampling*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from inference.attempts import Attempts
from inference.engines.base import NextTokens
from inference.kernels import Proposal
from inference.mass_trie import Node
from inference.population import Todo
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.weights import Floats, log_masses
from ppl.compiler.normal_form import FiniteForm
from ppl.compiler.plan import KernelName
from ppl.errors import InvalidArgument
from ppl.fiber import Finished, Request
from ppl.program import Model, Program
from ppl.rng import Rng


@dataclass(frozen=True, eq=False)
class LearnedTwist:
    """What attempts at one model have learned, for `SMC(twist=...)` on the same model; `learn_twist` makes it.

    Attributes
    ----------
    model:
        The program with its arguments.
    attempts:
        How many there were.
    drawn:
        Tokens that they drew.
    """

    model: Model[Any]
    attempts: int
    drawn: int
    root: Node
    shown: str
    """The model as it was when the twist was learned: arguments may be changed in place."""

    @property
    def log_bound(self) -> float:
        """Upper bound on the log of the valid mass, in nats, gains left out."""
        return self.root.log_bound

    def require(self, model: Model[Any]) -> None:
        """Raise `InvalidArgument` unless `model` is the program that this was learned from, with equal arguments."""
        mine, other = self.model, model
        same = (
            mine.program is other.program
            and len(mine.args) == len(other.args)
            and mine.kwargs.keys() == other.kwargs.keys()
            and all(map(_same, mine.args, other.args))
            and all(_same(value, other.kwargs[name]) for name, value in mine.kwargs.items())
        )
        if not same or repr(other) != self.shown:
            raise InvalidArgument(
                f"a twist that was learned from {_short(self.shown)} is used for {_short(repr(other))}",
                hint="what fails in one program need not fail in another: learn_twist(model) for this one",
            )

    def __repr__(self) -> str:
        return f"<twist of {self.attempts} attempts at {_short(self.shown)}>"


def learn_twist(model: Model[Any], attempts: int = 200, *, batch: int = 8, seed: int = 0) -> LearnedTwist:
    """Return what adaptive attempts at a model learn of where its runs fail, for `SMC(twist=...)`.

    They learn of losses: masks, checks, conditions, observations, negative factors and potentials. What the program
    reads besides its arguments (variables around it, files) must stay the same as long as the twist is used.

    Parameters
    ----------
    model:
        A program applied to its arguments.
    attempts:
        How many attempts to make.
    batch:
        How many advance together, see `AdaptiveRejection`.
    seed:
        Of the attempts; another one than that of the runs which use the twist.

    Raises
    ------
    InvalidArgument
        If an argument is none of these, or if weights are random given the choices of a run, as those of lookaheads.
    """
    if isinstance(model, Program) or not isinstance(model, Model):
        raise InvalidArgument(f"learn_twist got {model!r}", hint="a program with its arguments: program(...)")
    for name, value in (("attempts", attempts), ("batch", batch)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidArgument(f"{name}={value!r}", hint=f"{name} is an integer of at least 1")
    with Runtime() as runtime:
        return learn(model, attempts, batch, Rng(seed), runtime)


def learn(model: Model[Any], attempts: int, batch: int, rng: Rng, runtime: Runtime) -> LearnedTwist:
    """Return what attempts learn that are made in a given runtime."""
    root, made, drawn = Node(), 0, 0
    while made < attempts and root.log_bound > -math.inf:
        population = Attempts(model, min(batch, attempts - made), rng, runtime, root, None)
        try:
            population.start()
            while population.live:
                population.propose()
                population.draw()
        finally:
            population.close()
        made, drawn = made + len(population.particles), drawn + population.drawn
    return LearnedTwist(model, made, drawn, root, repr(model))


class Twisted(Scheduler):
    """A scheduler whose particles are drawn and weighed by a learned twist."""

    def __init__(self, model: Model[Any], size: int, rng: Rng, runtime: Runtime, twist: LearnedTwist) -> None:
        super().__init__(model, size, rng, runtime)
        self._nodes: list[Node | None] = [twist.root] * size
        self._twists = np.zeros(size)  # log h, as it is in the weights

    @override
    def select(self, ancestors: NDArray[np.int64], log_weights: Floats | None = None) -> None:
        super().select(ancestors, log_weights)
        self._nodes = [self._nodes[a] for a in ancestors.tolist()]
        self._twists = self._twists[ancestors]

    @override
    def _weigh(
        self, kernel: KernelName, following: NextTokens, members: NDArray[np.int64], at: list[int]
    ) -> None:
        super()._weigh(kernel, following, members, at)
        group = self._groups[-1]
        untilted = group.proposal
        shifts = [self._shifts(i) if self.particles[i].live else None for i in members.tolist()]
        group.proposal = _tilted(untilted, shifts)
        for k, i in enumerate(members.tolist()):
            if shifts[k] is not None:
                log_sum = group.proposal.log_weights[k]
                self.log_weights[i] += log_sum - untilted.log_weights[k] - self._twists[i]
                if log_sum == -math.inf:
                    self._kill(i, "everything that may come next is known to fail")

    @override
    def _choose(self, i: int, form: FiniteForm) -> Todo:
        shifts = self._shifts(i)
        if shifts is not None:
            masses = tuple(w + shifts.get(index, 0.0) for index, w in enumerate(form.log_masses))
            form = FiniteForm(form.values, masses)
            self.log_weights[i] -= self._twists[i]
        return super()._choose(i, form)

    @override
    def _note(self, indices: Sequence[int], proposal: Proposal, tokens: NDArray[np.int64]) -> None:
        for i, token in zip(indices, tokens.tolist(), strict=True):
            self._descend(i, token)

    @override
    def _note_value(self, i: int, form: FiniteForm, index: int) -> None:
        self._descend(i, index)

    @override
    def _handle(self, i: int, request: Request) -> Todo:
        if isinstance(request, Finished):
            self.log_weights[i] -= self._twists[i]
            self._twists[i] = 0.0
        return super()._handle(i, request)

    def _shifts(self, i: int) -> Mapping[int, float] | None:
        """Return log h of the choices that were tried where particle i is; None where nobody has been."""
        node = self._nodes[i]
        if node is None or node.choices is None:
            return None
        return {choice: child.log_bound - node.level for choice, child in node.children.items()}

    def _descend(self, i: int, choice: int) -> None:
        """Go on to the node after a choice; where nobody has been, h stays what it was."""
        node = self._nodes[i]
        self._nodes[i] = None
        if node is not None and node.choices is not None:
            child = self._nodes[i] = node.children.get(choice)
            self._twists[i] = 0.0 if child is None else child.log_bound - node.level


def _tilted(proposal: Proposal, shifts: Sequence[Mapping[int, float] | None]) -> Proposal:
    """Return a proposal in which the law of member k is multiplied by exp(shifts[k]), with the new sums as weights."""
    rows, tilted = proposal.rows.copy(), list[Tensor]()
    for k, shift in enumerate(shifts):
        if shift:
            row = proposal.numerators[rows[k]].clone()
            at = torch.tensor(list(shift), device=row.device)
            row[at] += torch.tensor(list(shift.values()), dtype=row.dtype, device=row.device)
            rows[k] = len(proposal.numerators) + len(tilted)
            tilted.append(row)
    if not tilted:
        return proposal
    added = torch.stack(tilted)
    sums, log_weights = log_masses(added).cpu().numpy(), proposal.log_weights.copy()
    moved = rows >= len(proposal.numerators)
    log_weights[moved] = sums[rows[moved] - len(proposal.numerators)]
    choices = proposal.choices
    if choices is not None:
        choices = np.concatenate([choices, torch.isfinite(added).sum(dim=-1).cpu().numpy()])
    numerators = torch.cat([proposal.numerators, added])
    return replace(proposal, numerators=numerators, rows=rows, log_weights=log_weights, choices=choices)


def _short(shown: str) -> str:
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


def _same(a: object, b: object) -> bool:
    return a is b or (type(a) is type(b) and bool(a == b))
