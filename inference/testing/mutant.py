"""Mutant: a seeded bug, and the list of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

Patch = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Mutant:
    """A seeded bug; `planted()` puts it in place for the length of a `with` block.

    `part` is the part of the suite that is about it, and must fail by itself; None: all of it.
    """

    name: str
    description: str
    planted: Patch
    part: Callable[[], None] | None = None


MUTANTS: list[Mutant] = []


def mutant(
    description: str, part: Callable[[], None] | None = None, mutants: list[Mutant] = MUTANTS
) -> Callable[[Callable[[], Iterator[None]]], None]:
    """Return a decorator that adds a generator function, which plants a bug around its `yield`, to a list."""

    def register(plant: Callable[[], Iterator[None]]) -> None:
        mutants.append(Mutant(plant.__name__, description, contextmanager(plant), part))

    return register
