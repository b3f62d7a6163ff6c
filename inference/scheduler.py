"""Scheduler: a population of runs that advance in ticks.

At each tick every live particle makes one move, a token at the text site it has reached, whatever site that is:
`propose` asks each language model once for all of them and adds the weights that are known before the draw,
`draw` draws and writes the tokens. Particles whose text is finished go on to their next text site
(`inference.population`). A method (`inference.methods`) decides what happens between the ticks; `select` is how it
resamples.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.base import NextTokens
from inference.experts import Laws, next_laws
from inference.infilling import InfillState, infill_laws
from inference.kernels import KERNELS, Proposal
from inference.population import Population
from inference.runtime import Runtime
from inference.tallies import dead_end, rejected, tally_draws, tally_masses
from inference.text import TextState
from inference.twists import State
from inference.weights import Floats, log_mean_exp
from ppl.compiler.plan import KernelName
from ppl.program import Model
from ppl.rng import Rng


@dataclass
class _Group:
    """A proposal, the kernel that made it, and the particles it is for."""

    kernel: KernelName
    proposal: Proposal
    particles: NDArray[np.int64]


class Scheduler(Population):
    """The ticks that advance a population."""

    def __init__(self, model: Model[Any], size: int, rng: Rng, runtime: Runtime) -> None:
        super().__init__(model, size, rng, runtime)
        self._groups: list[_Group] = []

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
