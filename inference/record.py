"""Record: every move of a run, kept where `infer(..., record=True)` asks for it.

The moves of all particles are a forest. A node is one move: the start of a run, a token, a finite choice, a death
before a token could be drawn, or the end of a lineage that was resampled away; its parent is the move before it. Copies
of a particle share the nodes up to the resampling that made them, so the tree is the genealogy, and what died or was
dropped stays in it.

A move's `log_weight` is all that it added to the log-weight of its particle, in nats:

    log_weight = log_mass + log_draw + (potentials, and what the program did until its next move),

with `log_mass` known before the draw (the mass Z that the masks leave, see `inference.kernels`) and `log_draw` known
after it (the estimate of rejection sampling). Where nothing was resampled, the log-weights along a path add up to the
sample's; in general the population's weights follow from them and from `Step.ancestors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntFlag
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.weights import Floats

Ints = NDArray[np.int64]


class Flag(IntFlag):
    """What is special about a move."""

    START = 1
    """The run began: no token."""
    FIRST = 2
    """The first token of a text."""
    ENDS = 4
    """The text ends with this token."""
    FORCED = 8
    """No other token had positive mass."""
    CHOICE = 16
    """A finite site; the symbol is the `repr` of its value."""
    DEATH = 32
    """The particle died before a token was drawn."""
    DROPPED = 64
    """The particle was resampled away, with the weight that it had in that tick before the draw; `lane` is its place
    before the resampling. With `DEATH`: it died in that tick, and another took its place."""


class Symbol(NamedTuple):
    """What was drawn: a token id and the bytes that it spells (none: the end); id -1 for a value's `repr`."""

    token: int
    data: bytes


class Move(NamedTuple):
    """One move of one particle; log-probabilities and log-weights in nats."""

    node: int
    tick: int
    """0 before the first token."""
    lane: int
    """The particle's place in the population."""
    site: str | None
    """Address of the site; None for the start."""
    symbol: Symbol | None
    """What was drawn; None for other moves."""
    position: int
    """Position in the sequence of a masked-diffusion model; -1 for other sites."""
    kernel: str | None
    log_prob: float
    """Log-mass that the target's experts give the symbol, before masks; nan without a symbol. Where exponents are
    bridged, with those of that tick."""
    log_mass: float
    log_draw: float
    log_weight: float
    flags: Flag
    rejected: tuple[Symbol, ...]
    """The candidates that rejection sampling drew and refused, in order."""
    death: str | None
    """Why the particle died in this move."""


@dataclass(frozen=True)
class Record:
    """The moves of a run, in columns of length M; parents come before their children.

    Attributes
    ----------
    parents:
        The node of the move before; -1 at starts.
    lanes, ticks, positions, log_probs, log_masses, log_draws, log_weights, flags:
        As in `Move`. Populations that ran one after the other have lanes of their own.
    site, kernel, symbol:
        Indices into the tables `sites`, `kernels` and `symbols`; -1 for none.
    rejected:
        Node to symbols.
    deaths:
        Node to the reason.
    tips:
        The last node of each of the posterior's samples. Copies of a finished particle share it.
    populations:
        How many populations ran, one after the other.
    """

    parents: Ints
    lanes: Ints
    ticks: Ints
    positions: Ints
    site: Ints
    kernel: Ints
    symbol: Ints
    flags: Ints
    log_probs: Floats
    log_masses: Floats
    log_draws: Floats
    log_weights: Floats
    sites: tuple[str, ...]
    kernels: tuple[str, ...]
    symbols: tuple[Symbol, ...]
    rejected: Mapping[int, tuple[int, ...]]
    deaths: Mapping[int, str]
    tips: tuple[int, ...]
    populations: int

    def __len__(self) -> int:
        return len(self.parents)

    def path(self, node: int) -> list[int]:
        """Return the nodes from a start to `node`."""
        nodes = []
        while node >= 0:
            nodes.append(node)
            node = int(self.parents[node])
        return nodes[::-1]

    def moves(self, sample: int) -> list[Move]:
        """Return the moves of the posterior's sample of that index, from its start."""
        return [self.move(node) for node in self.path(self.tips[sample])]

    def move(self, node: int) -> Move:
        """Return one move."""
        return Move(
            node=node,
            tick=int(self.ticks[node]),
            lane=int(self.lanes[node]),
            site=_entry(self.sites, int(self.site[node])),
            symbol=_entry(self.symbols, int(self.symbol[node])),
            position=int(self.positions[node]),
            kernel=_entry(self.kernels, int(self.kernel[node])),
            log_prob=float(self.log_probs[node]),
            log_mass=float(self.log_masses[node]),
            log_draw=float(self.log_draws[node]),
            log_weight=float(self.log_weights[node]),
            flags=Flag(int(self.flags[node])),
            rejected=tuple(self.symbols[k] for k in self.rejected.get(node, ())),
            death=self.deaths.get(node),
        )

    @property
    def dropped(self) -> Ints:
        """The nodes at which lineages that were alive were resampled away."""
        return np.flatnonzero(self.flags & (Flag.DROPPED | Flag.DEATH) == Flag.DROPPED)

    @property
    def leaves(self) -> Ints:
        """The nodes that no other continues: where lineages ended."""
        ended = np.ones(len(self), dtype=np.bool_)
        ended[self.parents[self.parents >= 0]] = False
        return np.flatnonzero(ended)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values: bytes as Latin-1 text, -inf and nan as text."""
        data: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                data[field.name] = _numbers(value)
            elif isinstance(value, Mapping):
                data[field.name] = {str(node): entry for node, entry in value.items()}
            else:
                data[field.name] = value
        data["rejected"] = {str(node): list(symbols) for node, symbols in self.rejected.items()}
        data["symbols"] = [[symbol.token, symbol.data.decode("latin-1")] for symbol in self.symbols]
        return data | {name: list(data[name]) for name in ("sites", "kernels", "tips")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """Return the record that `to_dict` described."""
        columns: dict[str, Any] = {
            field.name: np.array(data[field.name], dtype=np.float64 if "Floats" in field.type else np.int64)
            for field in fields(cls)
            if field.type in ("Ints", "Floats")
        }
        return cls(
            **columns,
            sites=tuple(data["sites"]),
            kernels=tuple(data["kernels"]),
            symbols=tuple(Symbol(token, text.encode("latin-1")) for token, text in data["symbols"]),
            rejected={int(node): tuple(symbols) for node, symbols in data["rejected"].items()},
            deaths={int(node): reason for node, reason in data["deaths"].items()},
            tips=tuple(data["tips"]),
            populations=data["populations"],
        )


def _entry(table: tuple[Any, ...], index: int) -> Any:
    return None if index < 0 else table[index]


def _numbers(column: NDArray[Any]) -> list[Any]:
    """Return a column as JSON numbers; what is not finite as text that `float` reads."""
    if column.dtype != np.float64 or bool(np.isfinite(column).all()):
        return list(column.tolist())
    return [x if np.isfinite(x) else str(x) for x in column.tolist()]
