"""Infilling: the state of a text that a masked-diffusion model fills in, and the laws of its next tokens.

A move unmasks one position. Which one, is decided by what is visible (`ppl.mdm.Order`) before the token is drawn; so
its law m(v) = Π_i μ_i(v)^{a_i} is known, and its sum is the weight, as for the next token of a text. With `per_step`
positions at a time, the denoiser is asked once for all of them. Choosing the position by the token that was drawn for
it, as is common, is another and unknown law.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from inference.denoisers.base import Denoiser
from inference.engines.base import NextTokens, Usage
from inference.experts import Alphabet, Laws, log_pool
from inference.site import Site
from inference.text import Twist
from ppl.compiler.plan import InfillPlan, KernelName
from ppl.errors import InvalidArgument
from ppl.mdm import MDM, Infill
from ppl.rng import Rng


@dataclass(frozen=True, eq=False)
class Denoised:
    """What the experts say of the masked positions: for each expert (U, P, V) log-probabilities."""

    tables: tuple[Tensor, ...]


@dataclass
class InfillState:
    """The state of one masked-diffusion site of one particle.

    Attributes
    ----------
    values:
        The tokens at the positions that were masked at first, None where they still are.
    pending:
        Indices into `values` of the positions that are filled next, in order.
    ahead:
        What the denoisers said last, and this state's row for each expert.
    planned:
        What `pending` will be when positions are chosen next, where a run is repeated; empty: the order decides.
    """

    plan: InfillPlan
    site: Site
    values: tuple[int | None, ...]
    twists: tuple[Twist, ...]
    pending: tuple[int, ...] = ()
    ahead: tuple[Denoised, tuple[int, ...]] | None = None
    planned: tuple[int, ...] = ()

    @classmethod
    def begin(cls, plan: InfillPlan, site: Site) -> InfillState:
        """Return the state in which nothing is filled in."""
        return cls(plan, site, (None,) * len(plan.infill.masked), tuple(Twist() for _ in plan.potentials))

    @property
    def kernel(self) -> KernelName:
        """The kernel of the next move."""
        return self.plan.kernel

    @property
    def finished(self) -> bool:
        """Whether every position is visible."""
        return None not in self.values

    @property
    def masked(self) -> list[int]:
        """Indices of the positions that are still masked."""
        return [i for i, value in enumerate(self.values) if value is None]

    @property
    def shown(self) -> str:
        """The text of the visible tokens."""
        return self._text([v if v is not None else self.plan.infill.mdm.mask for v in self.values])

    def guess(self) -> str:
        """Return the text with the most probable token of the first expert at each masked position.

        It is what the denoiser last said, and so a function of the path so far.
        """
        if self.ahead is None or self.finished:
            return self.shown
        denoised, rows = self.ahead
        likely = denoised.tables[0][rows[0]].argmax(dim=-1).tolist()
        return self._text([likely[i] if v is None else v for i, v in enumerate(self.values)])

    def sequence(self, infill: Infill) -> tuple[int, ...]:
        """Return the sequence that an expert sees."""
        ids = list(infill.template)
        for position, value in zip(infill.masked, self.values, strict=True):
            ids[position] = infill.mdm.mask if value is None else value
        return tuple(ids)

    def advance(self, token: int) -> None:
        """Write `token` at the first pending position."""
        values = list(self.values)
        values[self.pending[0]] = token
        self.values, self.pending = tuple(values), self.pending[1:]

    def fork(self) -> InfillState:
        """Return an independent copy."""
        return replace(self)

    def _text(self, values: Sequence[int]) -> str:
        infill = self.plan.infill
        ids = list(infill.template)
        for position, value in zip(infill.masked, values, strict=True):
            ids[position] = value
        return infill.mdm.decode(ids[infill.start : infill.stop])


def infill_laws(states: Sequence[InfillState], rng: Rng, usage: Usage) -> list[Laws]:
    """Return the laws of the tokens at the next positions of states, which are chosen where none is pending."""
    for plan, members in _by_plan([state for state in states if not state.pending]).items():
        _denoise(plan, members, usage)
        _choose(plan, members, rng)
    groups: defaultdict[tuple[InfillPlan, Denoised], list[int]] = defaultdict(list)
    for i, state in enumerate(states):
        assert state.ahead is not None
        groups[state.plan, state.ahead[0]].append(i)
    laws = []
    for (plan, denoised), at in groups.items():
        positions = torch.tensor([states[i].pending[0] for i in at])
        rows = [
            [state.ahead[1][k] for state in map(states.__getitem__, at) if state.ahead]
            for k in range(len(plan.infills))
        ]
        chosen = [
            table[torch.tensor(row).to(table.device), positions.to(table.device)]
            for table, row in zip(denoised.tables, rows, strict=True)
        ]
        masses = chosen[0] if plan.pool.plain else log_pool(plan.pool, chosen, _alphabet(plan.infill.mdm))
        laws.append(Laws(at, NextTokens(masses, np.arange(len(at)))))
    return laws


def _rows(state: InfillState) -> tuple[int, ...]:
    assert state.ahead is not None
    return state.ahead[1]


def _by_plan(states: Sequence[InfillState]) -> dict[InfillPlan, list[InfillState]]:
    groups: defaultdict[InfillPlan, list[InfillState]] = defaultdict(list)
    for state in states:
        groups[state.plan].append(state)
    return groups


def _denoise(plan: InfillPlan, states: Sequence[InfillState], usage: Usage) -> None:
    """Ask each expert about the distinct sequences of the states."""
    tables, rows = [], []
    for infill in plan.infills:
        if not isinstance(infill.mdm, Denoiser):
            raise InvalidArgument(
                f"{infill.mdm!r} is a masked-diffusion model that cannot compute", hint="use a denoiser"
            )
        seen: dict[tuple[int, ...], int] = {}
        rows.append([seen.setdefault(state.sequence(infill), len(seen)) for state in states])
        tables.append(infill.mdm.denoise(list(seen), infill.masked))
        usage.calls += 1
        usage.tokens += len(seen) * len(infill.template)
    denoised = Denoised(tuple(tables))
    for i, state in enumerate(states):
        state.ahead = (denoised, tuple(row[i] for row in rows))


def _choose(plan: InfillPlan, states: Sequence[InfillState], rng: Rng) -> None:
    """Choose the next positions of states by the rule of their order, where they are not planned."""
    order, count = plan.infill.order, plan.infill.per_step
    for state in states:
        state.pending, state.planned = state.planned, ()
    states = [state for state in states if not state.pending]
    if order == "random":
        for _ in range(count):
            open_ = [s for s in states if len(s.masked) > len(s.pending)]
            if not open_:
                break
            logits = torch.full((len(open_), len(open_[0].values)), -torch.inf, dtype=torch.float64)
            for i, state in enumerate(open_):
                logits[i, [k for k in state.masked if k not in state.pending]] = 0.0
            drawn = rng.categorical(logits, np.arange(len(open_))).tolist()
            for state, position in zip(open_, drawn, strict=True):
                state.pending = (*state.pending, position)
        return
    for state in states:
        masked = state.masked
        if order == "confident":
            assert state.ahead is not None
            denoised, rows = state.ahead
            best = denoised.tables[0][rows[0]].amax(dim=-1).tolist()
            masked.sort(key=lambda i: -best[i])  # stable: the first of equals
        state.pending = tuple(masked[:count])


def _alphabet(mdm: MDM) -> Alphabet:
    """Return the text tokens of a denoiser."""
    assert isinstance(mdm, Denoiser)
    return Alphabet(mdm.text_ids, lambda token: repr(mdm.decode([token])))
