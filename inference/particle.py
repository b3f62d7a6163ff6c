"""Particle: one run of the program, with the text it is writing and its fate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference.infilling import InfillState
from inference.text import TextState
from ppl.fiber import Fiber, Finished
from ppl.trace import Address, Trace


@dataclass(frozen=True)
class Death:
    """Why a particle lost its weight."""

    address: Address
    reason: str
    text: str

    def __str__(self) -> str:
        so_far = f"; text so far {self.text!r}" if self.text else ""
        return f"at {self.address} ({self.address.file}): {self.reason}{so_far}"


@dataclass
class Particle:
    """A run that is writing a text (`text` is set), finished (`finished`, with its `value`), or dead (`death`)."""

    fiber: Fiber
    text: TextState | InfillState | None = None
    value: Any = None
    finished: bool = False
    death: Death | None = None
    tip: int = -1
    """The node of its last move in the run's record, see `inference.recording`."""

    @property
    def address(self) -> Address:
        """The site that the run has reached; it must not be finished."""
        request = self.fiber.pending
        assert request is not None
        assert not isinstance(request, Finished)
        return request.address

    @property
    def live(self) -> bool:
        """Whether the particle has a move to make."""
        return self.text is not None and self.death is None

    @property
    def trace(self) -> Trace:
        """The choices made so far."""
        return self.fiber.trace

    def fork(self) -> Particle:
        """Return a copy: the trace is copied, the stack replayed when it is needed."""
        text = None if self.text is None else self.text.fork()
        return Particle(self.fiber.fork(), text, self.value, self.finished, self.death, self.tip)

    def close(self) -> None:
        """Abandon the run."""
        self.fiber.close()
