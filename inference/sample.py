"""Sample: one finished run of a program, with its weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from ppl.trace import Trace

R = TypeVar("R")


@dataclass(frozen=True)
class Sample(Generic[R]):
    """One finished run: its value, its unnormalised log-weight in nats, its choices, and its place among all runs.

    The place, from 0, is that in the last population, the dead included, by which `Step.ancestors` lead to the start.
    """

    value: R
    log_weight: float
    trace: Trace
    place: int = -1


class Weighted(NamedTuple, Generic[R]):
    """A sample with its normalised weight, as iteration over a posterior gives it."""

    value: R
    weight: float
    trace: Trace
