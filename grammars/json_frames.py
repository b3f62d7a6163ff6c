"""The state of reading a JSON text: where in it, and within which arrays and objects, of which shapes."""

from __future__ import annotations

from typing import Any, TypeAlias

(VALUE, ITEM, SCALAR, STRING, ESCAPED, AFTER, FIRST_NAME, NEXT_NAME, NAME, NAME_ESCAPED, COLON) = range(11)
"""Where in a text: before a value, before the first item of an array (or its end), in a number or literal, in a
string, behind a backslash there, after a value, before the first name of an object (or its end), before another
name, in a name, behind a backslash there, after a name.
"""

State: TypeAlias = "tuple[int, Frame | None, Any]"
"""Where, within what, and beside that: of the coming value the shapes, and its name if it tells shapes of the object
apart; of such a value the bytes so far, and the name; or the bytes of a name so far.
"""
Names: TypeAlias = "frozenset[str] | None"
"""A set of names, or None for all names."""

Place: TypeAlias = "tuple[int, ...] | None"
"""The shapes of the arrays and objects that are open, from the outermost, and how far each array is."""
_DEEPEST = 32
"""Of the places that are told apart."""


class Frame:
    """An array or object that is open, and those around it.

    Attributes
    ----------
    parent:
        The one around it, or None.
    shapes:
        The shapes it may have, by number among the arrays or among the objects.
    seen:
        Of an object, the names it has; of an array, how many items it has, as far as that matters.
    names:
        Of an object, the names it may still have.
    complete:
        Of an object, whether it may end here.
    place:
        Where it stands: what the grammar allows within it depends on nothing else. None if it may.
    """

    __slots__ = ("_hash", "complete", "names", "parent", "place", "seen", "shapes")

    def __init__(
        self,
        parent: Frame | None,
        shapes: tuple[int, ...],
        seen: frozenset[str] | int,
        place: Place,
        names: Names = None,
        complete: bool = True,
    ) -> None:
        self.parent, self.shapes, self.seen, self.place = parent, shapes, seen, place
        self.names, self.complete = names, complete
        self._hash: int = hash((None if parent is None else parent._hash, shapes, seen))

    @property
    def is_object(self) -> bool:
        """Whether it is an object, not an array."""
        return not isinstance(self.seen, int)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        one: Frame | None = self
        while one is not other:
            if one is None or not isinstance(other, Frame) or one._hash != other._hash:
                return False
            if one.shapes != other.shapes or one.seen != other.seen or one.is_object != other.is_object:
                return False
            one, other = one.parent, other.parent
        return True


def within(frame: Frame | None, shapes: tuple[int, ...]) -> Place:
    """Return the place of what begins within `frame`, if it can have one shape only."""
    place = () if frame is None else frame.place
    return None if place is None or len(shapes) != 1 or len(place) > _DEEPEST else (*place, shapes[0])
