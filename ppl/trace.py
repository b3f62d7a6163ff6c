"""Trace: the random choices that one run of a program made, in order.

A trace is what a particle *is*: together with the program it determines the run. A fork copies the trace, and
a replay feeds it back to a fresh run of the function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from ppl.targets import Target


@dataclass(frozen=True)
class Address:
    """Where in the source a primitive was called."""

    file: str
    line: int
    function: str
    name: str | None = None

    def __str__(self) -> str:
        site = f"{self.function}:{self.line}"
        return f"{self.name} ({site})" if self.name else site


@dataclass(frozen=True)
class Choice:
    """One recorded choice: the drawn text of a text site, or the value of any other site."""

    address: Address
    target: Target[Any] | None
    """What was sampled; None for a `memo`."""
    outcome: Any
    """The text, the finite value, or the memoised result."""
    parse: Callable[[str], Any] | None = field(default=None, compare=False, repr=False)

    @property
    def value(self) -> Any:
        """What `sample` returned. Parsed anew at each access, so that no two runs share a mutable value."""
        return self.outcome if self.parse is None else self.parse(self.outcome)


class Trace(Sequence[Choice]):
    """The choices of a run in order; index by position, or by the `name=` given to `sample`."""

    def __init__(self, choices: Sequence[Choice] = ()) -> None:
        self._choices = tuple(choices)

    @overload
    def __getitem__(self, key: int | str) -> Choice: ...
    @overload
    def __getitem__(self, key: slice) -> Trace: ...
    def __getitem__(self, key: int | str | slice) -> Choice | Trace:
        if isinstance(key, slice):
            return Trace(self._choices[key])
        if isinstance(key, int):
            return self._choices[key]
        for choice in self._choices:
            if choice.address.name == key:
                return choice
        raise KeyError(key)

    def __len__(self) -> int:
        return len(self._choices)

    def __iter__(self) -> Iterator[Choice]:
        return iter(self._choices)

    def __repr__(self) -> str:
        return "Trace(" + ", ".join(f"{c.address}: {c.outcome!r}" for c in self._choices) + ")"
