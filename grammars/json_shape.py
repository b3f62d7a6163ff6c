"""A shape: values that are scalars, arrays or objects of these kinds, as `grammars.json_shapes` finds them."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from grammars.json_values import enumerated, is_admitted

Number: TypeAlias = int
"""A shape, by its number in `Shapes.all`."""


@dataclass(frozen=True)
class ObjectShape:
    """Objects with these members in any order.

    Attributes
    ----------
    members:
        The shapes of the listed names, in the order of the schema.
    patterns:
        The shapes of unlisted names that a pattern finds.
    rest:
        The shape of all other names, or None if there may be none.
    required:
        The names that must occur.
    least, most:
        How many members there are.
    """

    members: dict[str, Number] = field(hash=False)
    patterns: tuple[tuple[str, Number], ...] = ()
    rest: Number | None = None
    required: frozenset[str] = frozenset()
    least: int = 0
    most: int | None = None

    @property
    def demands(self) -> tuple[frozenset[str], int, int | None]:
        """What an object must have, whatever the values."""
        return self.required, self.least, self.most

    def is_possible(self, alive: Container[Number]) -> bool:
        """Return whether there is such an object, if of the other shapes those in `alive` have values."""
        enough = self.most is None or max(self.least, len(self.required)) <= self.most
        return enough and all(self.members[name] in alive for name in self.required)


@dataclass(frozen=True)
class ArrayShape:
    """Arrays of `least` to `most` items: the first as in `prefix`, then `rest`."""

    prefix: tuple[Number, ...]
    rest: Number
    least: int = 0
    most: int | None = None

    def item(self, index: int) -> Number:
        """Return the shape of an item."""
        return self.prefix[index] if index < len(self.prefix) else self.rest

    def is_possible(self, alive: Container[Number]) -> bool:
        """Return whether there is such an array, if of the other shapes those in `alive` have values."""
        needed = (self.item(index) for index in range(min(self.least, len(self.prefix) + 1)))
        return all(number in alive for number in needed) and (self.most is None or self.least <= self.most)


@dataclass
class Shape:
    """Values that are one of these; `anything` stands for every value."""

    scalars: list[dict[str, Any]] = field(default_factory=list)
    """Flat schemas of values that are neither arrays nor objects."""
    arrays: list[ArrayShape] = field(default_factory=list)
    objects: list[ObjectShape] = field(default_factory=list)
    anything: bool = False

    def admits(self, scalar: Any) -> bool:
        """Return whether a value that is neither array nor object may be one of these, as far as is known."""
        return self.anything or any(is_admitted(scalar, schema) for schema in self.scalars)

    def excludes(self, other: Shape) -> bool:
        """Return whether no value is one of both, as far as is known."""
        if (
            self.anything
            or other.anything
            or (self.arrays and other.arrays)
            or (self.objects and other.objects)
        ):
            return False
        for one, two in ((self, other), (other, self)):
            values = [enumerated(schema, has_const=True) for schema in one.scalars]
            if None not in values and not any(two.admits(value) for found in values for value in found or ()):
                return True
        return False
