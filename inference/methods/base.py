"""Method: the interface of inference algorithms, and what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.diagnostics import Step
from inference.particle import Death, Particle
from inference.progress import Progress
from inference.runtime import Runtime
from inference.weights import Floats
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class Result:
    """What a method hands to the posterior.

    Attributes
    ----------
    particles:
        Finished and dead particles.
    log_weights:
        (N,) log-weights on any common scale; -inf for the dead.
    log_evidence:
        Log of an unbiased (or exact) estimate of the evidence.
    steps:
        The ticks, in order.
    drawn:
        Tokens drawn.
    last_death:
        The most recent death, or another reason, to tell why nobody survived.
    chains:
        How many Markov chains the particles are the states of, in this order; None if of none.
    """

    particles: Sequence[Particle]
    log_weights: Floats
    log_evidence: float
    steps: Sequence[Step]
    drawn: int
    last_death: Death | str | None
    chains: int | None = None


class Method(ABC):
    """An inference algorithm with its parameters: an immutable value, usable for any number of runs."""

    @property
    def recordable(self) -> bool:
        """Whether `infer(..., record=True)` can keep its moves: those of populations from the program's start on."""
        return True

    @abstractmethod
    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run on `model`; all randomness comes from `rng`, all language-model calls go through `runtime.sessions`."""


def require_positive(name: str, value: int) -> None:
    """Raise `InvalidArgument` unless `value` is an integer of at least 1."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise InvalidArgument(f"{name}={value!r}", hint=f"{name} is an integer of at least 1")
