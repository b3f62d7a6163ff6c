"""Recording: an observer that a scheduler tells of every move, and the record that it makes.

`Recorder` is told and takes note of nothing; `Recording` keeps it all. Neither draws a random number nor changes what
it sees. Each particle carries the node of its last move (`Particle.tip`), which forks copy, so whatever a method does
with particles, their paths are known.

What a move adds to the log-weight is found as a difference: of the particle's log-weight now, and at the end of its
move before. Resampling, which sets all weights to their mean, sets the level from which the difference is taken.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from inference.engines.base import NextTokens
from inference.infilling import InfillState
from inference.particle import Particle
from inference.record import Flag, Record, Symbol
from inference.site import Site
from inference.text import TextState
from inference.weights import Floats, log_sum_exp
from ppl.compiler.normal_form import FiniteForm

if TYPE_CHECKING:
    from inference.kernels.base import Proposal


State = TextState | InfillState
Indices = NDArray[np.int64]
T = TypeVar("T")


class Recorder:
    """An observer that takes note of nothing: what a run has that is not recorded."""

    def site(self, site: Site) -> None:
        """Take note of a new text site."""

    def begin(self, particles: Sequence[Particle]) -> None:
        """Take note of a new population, before anything has run."""

    def weighed(
        self,
        particles: Sequence[Particle],
        members: Indices,
        following: NextTokens,
        at: Sequence[int],
        proposal: Proposal,
    ) -> None:
        """Take note of the proposals of a kernel.

        Parameters
        ----------
        particles, members:
            The population, and (n,) those of it that the proposals are for.
        following, at:
            The laws before masks, and n indices into `following.rows`.
        proposal:
            What the kernel made of them.
        """

    def selected(
        self, parents: Sequence[Particle], particles: Sequence[Particle], log_weights: Floats
    ) -> None:
        """Take note of a resampling, between proposals and draws; the log-weights are those after it."""

    def drawn(
        self, particles: Sequence[Particle], members: Sequence[int], tokens: Indices, log_weights: Floats
    ) -> None:
        """Take note of the tokens of some particles, before they are written, and of what the draws weigh."""

    def chosen(
        self, particles: Sequence[Particle], member: int, form: FiniteForm, index: int, log_weight: float
    ) -> None:
        """Take note of a finite choice; `log_weight` is the particle's before it."""

    def settled(self, particles: Sequence[Particle], log_weights: Floats) -> None:
        """Take note that every particle is at its next text site, finished or dead."""

    def ticked(self) -> None:
        """Take note that a tick is over."""

    def record(self, samples: Sequence[Particle]) -> Record | None:
        """Return what was recorded, with the tips of the posterior's samples."""
        return None


@dataclass(frozen=True)
class _Waiting:
    """A proposal for one particle."""

    laws: Tensor
    row: int
    log_mass: float
    forced: bool


class _Table(Generic[T]):
    """Entries in order of first occurrence, each once, by a key."""

    def __init__(self) -> None:
        self._index: dict[Hashable, int] = {}
        self.entries: list[T] = []

    def __call__(self, key: Hashable, entry: T) -> int:
        index = self._index.setdefault(key, len(self.entries))
        if index == len(self.entries):
            self.entries.append(entry)
        return index


_INTS = ("parents", "lanes", "ticks", "positions", "site", "kernel", "symbol", "flags")
_FLOATS = ("log_probs", "log_masses", "log_draws", "log_weights")


class Recording(Recorder):
    """An observer that keeps every move, in columns that grow: about 100 bytes for each."""

    def __init__(self) -> None:
        self._ints = {name: array("q") for name in _INTS}
        self._floats = {name: array("d") for name in _FLOATS}
        self._levels = array("d")  # the particle's log-weight when its move was last accounted for
        self._sites, self._kernels, self._symbols = _Table[str](), _Table[str](), _Table[Symbol]()
        self._rejected: dict[int, tuple[int, ...]] = {}
        self._deaths: dict[int, str] = {}
        self._waiting: dict[int, _Waiting] = {}  # by tip: copies that have not parted wait for the same
        self._writing: list[tuple[int, State]] = []
        self._tick = self._populations = 0
        self._first_lane = self._lanes = 0

    @override
    def site(self, site: Site) -> None:
        site.rejected = {}

    @override
    def begin(self, particles: Sequence[Particle]) -> None:
        self._tick, self._first_lane = 0, self._lanes
        self._populations += 1
        for lane, particle in enumerate(particles):
            particle.tip = self._node(lane, -1, Flag.START)

    @override
    def weighed(
        self,
        particles: Sequence[Particle],
        members: Indices,
        following: NextTokens,
        at: Sequence[int],
        proposal: Proposal,
    ) -> None:
        forced = (torch.isfinite(proposal.numerators).sum(dim=-1) <= 1).cpu().numpy()[proposal.rows]
        columns = following.rows[at].tolist(), proposal.log_weights.tolist(), forced.tolist()
        for i, row, log_mass, only in zip(members.tolist(), *columns, strict=True):
            self._waiting[particles[i].tip] = _Waiting(following.logprobs, row, log_mass, only)

    @override
    def selected(
        self, parents: Sequence[Particle], particles: Sequence[Particle], log_weights: Floats
    ) -> None:
        for particle, log_weight in zip(particles, log_weights.tolist(), strict=True):
            self._levels[particle.tip] = log_weight - self._log_mass(particle)
        kept = {particle.tip for particle in particles}
        for lane, parent in enumerate(parents):
            if (
                parent.death is not None and parent.tip not in self._deaths
            ):  # in this tick, and already replaced
                self._bury(lane, parent)
                self._account(parent.tip, -np.inf)
                self._ints["flags"][parent.tip] |= Flag.DROPPED
            elif parent.death is None and parent.tip not in kept:
                node = self._node(lane, parent.tip, Flag.DROPPED)
                self._floats["log_masses"][node] = self._floats["log_weights"][node] = self._log_mass(parent)

    @override
    def drawn(
        self, particles: Sequence[Particle], members: Sequence[int], tokens: Indices, log_weights: Floats
    ) -> None:
        waiting = [self._waiting[particles[i].tip] for i in members]
        log_probs = _log_probs(waiting, tokens)
        moves = zip(members, waiting, tokens.tolist(), log_probs, log_weights.tolist(), strict=True)
        for i, before, token, log_prob, log_draw in moves:
            particle, state = particles[i], particles[i].text
            assert state is not None
            refused = [self._symbol(state, t) for t in (state.site.rejected or {}).pop(id(state), ())]
            kernel = self._kernels(state.kernel, state.kernel)
            if log_draw == -np.inf:  # no candidate passed: the token is none that was drawn
                node = self._node(i, particle.tip, Flag.DEATH)
            else:
                flags = _begins(state) * Flag.FIRST | before.forced * Flag.FORCED
                node = self._node(i, particle.tip, flags, self._symbol(state, token), log_prob)
                self._writing.append((node, state))
            self._ints["site"][node] = self._site(particle)
            self._ints["kernel"][node] = kernel
            if isinstance(state, InfillState):
                self._ints["positions"][node] = state.plan.infill.masked[state.pending[0]]
            self._floats["log_masses"][node] = before.log_mass
            self._floats["log_draws"][node] = log_draw
            if refused:
                self._rejected[node] = tuple(refused)
            particle.tip = node

    @override
    def chosen(
        self, particles: Sequence[Particle], member: int, form: FiniteForm, index: int, log_weight: float
    ) -> None:
        particle, shown = particles[member], repr(form.values[index])
        self._account(particle.tip, log_weight)
        symbol = self._symbols(("value", shown), Symbol(-1, shown.encode("utf-8", "backslashreplace")))
        particle.tip = self._node(member, particle.tip, Flag.CHOICE, symbol, form.log_masses[index])
        self._ints["site"][particle.tip] = self._site(particle)
        self._floats["log_masses"][particle.tip] = log_sum_exp(np.array(form.log_masses))

    @override
    def settled(self, particles: Sequence[Particle], log_weights: Floats) -> None:
        for node, state in self._writing:
            if state.finished:
                self._ints["flags"][node] |= Flag.ENDS
        for lane, (particle, log_weight) in enumerate(zip(particles, log_weights.tolist(), strict=True)):
            if particle.death is not None and particle.tip not in self._deaths:
                self._bury(lane, particle)
            self._account(particle.tip, log_weight)
        self._waiting, self._writing = {}, []

    @override
    def ticked(self) -> None:
        self._tick += 1

    @override
    def record(self, samples: Sequence[Particle]) -> Record:
        columns: dict[str, Any] = {name: np.array(c, dtype=np.int64) for name, c in self._ints.items()}
        columns |= {name: np.array(c, dtype=np.float64) for name, c in self._floats.items()}
        return Record(
            **columns,
            sites=tuple(self._sites.entries),
            kernels=tuple(self._kernels.entries),
            symbols=tuple(self._symbols.entries),
            rejected=self._rejected,
            deaths=self._deaths,
            tips=tuple(particle.tip for particle in samples),
            populations=self._populations,
        )

    def _node(self, lane: int, parent: int, flags: int, symbol: int = -1, log_prob: float = np.nan) -> int:
        """Append a move of this tick, which has added nothing to the weight yet."""
        ints = (parent, self._first_lane + lane, self._tick, -1, -1, -1, symbol, int(flags))
        for column, value in zip(self._ints.values(), ints, strict=True):
            column.append(value)
        for numbers, number in zip(self._floats.values(), (log_prob, 0.0, 0.0, 0.0), strict=True):
            numbers.append(number)
        self._levels.append(0.0 if parent < 0 else self._levels[parent])
        self._lanes = max(self._lanes, self._first_lane + lane + 1)
        return len(self._levels) - 1

    def _site(self, particle: Particle) -> int:
        """Return the index of the site that a particle is at."""
        address = str(particle.address)
        return self._sites(address, address)

    def _account(self, node: int, log_weight: float) -> None:
        """Put down to a move what its particle's log-weight has changed by since it was last looked at."""
        if log_weight != self._levels[node]:
            self._floats["log_weights"][node] += log_weight - self._levels[node]
            self._levels[node] = log_weight

    def _bury(self, lane: int, particle: Particle) -> None:
        """Note a death, in a node of its own if the particle has made no move in this tick."""
        assert particle.death is not None
        if self._ints["ticks"][particle.tip] != self._tick:
            log_mass = self._log_mass(particle)
            particle.tip = self._node(lane, particle.tip, Flag.DEATH)
            self._floats["log_masses"][particle.tip] = log_mass
        self._deaths[particle.tip] = particle.death.reason

    def _log_mass(self, particle: Particle) -> float:
        """Return the weight of what a particle waits for, 0 if it has nothing to draw."""
        waiting = self._waiting.get(particle.tip)
        return 0.0 if waiting is None else waiting.log_mass

    def _symbol(self, state: State, token: int) -> int:
        """Return the index of a token's symbol."""
        if isinstance(state, InfillState):
            mdm = state.plan.infill.mdm
            data = mdm.decode([token]).encode("utf-8", "backslashreplace")
            return self._symbols((mdm, token), Symbol(token, data))
        lm = state.plan.text.lm
        return self._symbols((lm, token), Symbol(token, lm.vocabulary.tokens[token] or b""))


def _log_probs(waiting: Sequence[_Waiting], tokens: Indices) -> list[float]:
    """Return what the laws give the tokens; each law is asked once."""
    found = np.empty(len(waiting))
    for laws in {id(w.laws): w.laws for w in waiting}.values():
        members = [k for k, w in enumerate(waiting) if w.laws is laws]
        rows = torch.tensor([waiting[k].row for k in members], device=laws.device)
        found[members] = laws[rows, torch.from_numpy(tokens[members]).to(laws.device)].double().cpu().numpy()
    return list(found.tolist())


def _begins(state: State) -> bool:
    """Return whether nothing of the text is written yet."""
    if isinstance(state, InfillState):
        return len(state.masked) == len(state.values)
    return state.contexts[0].length == 0
