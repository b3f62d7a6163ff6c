"""Which members an object may still have: the state of reading a JSON text, byte by byte.

Of each object that is open, the state holds the names it has so far, and the `ObjectShape`s that they leave
possible. A name must be a new one, and one that some shape still admits. An object may end where some shape has
all that it requires, and go on where some shape has room. Values are looked at only where they tell shapes apart,
as `{"kind": "circle", ...}` does: whether they are right is the mask engine's part. So this reads any JSON text, and
of other texts says nothing.

States are immutable, and equal where the same may follow.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache

from grammars.json_frames import (
    AFTER,
    COLON,
    ESCAPED,
    FIRST_NAME,
    ITEM,
    NAME,
    NAME_ESCAPED,
    NEXT_NAME,
    SCALAR,
    STRING,
    VALUE,
    Frame,
    Names,
    Place,
    State,
    within,
)
from grammars.json_shape import ArrayShape, Number, ObjectShape
from grammars.json_shapes import Shapes

_SPACE = frozenset(b" \t\n\r")
_AFTER_SCALAR = frozenset(b" \t\n\r,]}")
_LONGEST_VALUE = 256
"""Of a text that may tell shapes apart, in bytes."""
_OPEN_BRACE, _CLOSE_BRACE, _OPEN_BRACKET, _CLOSE_BRACKET, _COMMA, _COLON, _QUOTE, _BACKSLASH = b'{}[],:"\\'


class Members:
    """What `shapes` say of the members of objects.

    Parameters
    ----------
    shapes:
        The shapes of a schema.
    faithful:
        Whether the grammar beside this admits of each shape what it says, but for the order of members.

    Attributes
    ----------
    start:
        The state before the first byte.
    """

    def __init__(self, shapes: Shapes, *, faithful: bool = True) -> None:
        self._faithful = faithful
        self._all, self._alive = shapes.all, shapes.alive
        self._objects: list[ObjectShape] = []
        self._arrays: list[ArrayShape] = []
        self._of: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        for shape in shapes.all:
            objects, arrays = len(self._objects), len(self._arrays)
            self._objects += shape.objects
            self._arrays += shape.arrays
            self._of.append(
                (tuple(range(objects, len(self._objects))), tuple(range(arrays, len(self._arrays))))
            )
        self._closed = [
            None if any(number in shapes.alive for number in _others(shape)) else frozenset(
                name for name, number in shape.members.items() if number in shapes.alive
            )
            for shape in self._objects
        ]  # fmt: skip
        self._names = lru_cache(maxsize=4096)(self._names_of)
        self._spelled = lru_cache(maxsize=4096)(_spelled)
        self._telling = lru_cache(maxsize=4096)(self._tells_apart)
        self._listed = lru_cache(maxsize=4096)(self._listed_of)
        self.start: State = (VALUE, None, ((0,), None))

    def read(self, state: State, data: bytes) -> State | None:
        """Return the state after `data`, or None if no text goes on that way."""
        where, frame, extra = state
        at, end = 0, len(data)
        while at < end:
            byte = data[at]
            at += 1
            if where in (STRING, ESCAPED):
                extra = extra and _longer(extra, byte)
                if where == STRING and byte == _QUOTE:
                    where, frame, extra = AFTER, self._judged(frame, extra), None
                else:
                    where = ESCAPED if where == STRING and byte == _BACKSLASH else STRING
            elif where == NAME:
                assert frame is not None
                if byte == _QUOTE:
                    named = self._named(frame, extra)
                    if named is None:
                        return None
                    where, (frame, extra) = COLON, named
                    continue
                if not self._may_begin(frame, extra, data[at - 1 : at]):
                    return None
                where, extra = NAME_ESCAPED if byte == _BACKSLASH else NAME, extra + data[at - 1 : at]
            elif where == NAME_ESCAPED:
                where, extra = NAME, extra + data[at - 1 : at]
            elif where == SCALAR and byte not in _AFTER_SCALAR:
                extra = extra and _longer(extra, byte)
            elif where == SCALAR:
                where, frame, extra, at = AFTER, self._judged(frame, extra), None, at - 1
            elif byte in _SPACE:
                pass
            elif where in (VALUE, ITEM) and byte != _CLOSE_BRACKET:
                where, frame, extra = self._begin(frame, extra, byte)
            elif where in (FIRST_NAME, NEXT_NAME) and byte == _QUOTE:
                assert frame is not None
                if frame.names == frozenset():
                    return None
                where, extra = NAME, b""
            elif where == COLON:
                where = VALUE
            else:
                after = self._after(frame, byte)
                if after is None:
                    return None
                where, frame, extra = after
        return where, frame, extra

    def is_complete(self, state: State) -> bool:
        """Return whether a text may end here."""
        where, frame, _ = state
        return frame is None and where in (SCALAR, AFTER)

    def place_of_name(self, state: State) -> tuple[Place, bytes] | None:
        """Return where, in an object that may have any other name, a name is being read, and what of it.

        The mask of the grammar depends on that alone. None anywhere else.
        """
        where, frame, begun = state
        if where != NAME or frame is None or frame.names is not None or not self._faithful:
            return None
        return None if frame.place is None else (frame.place, begun)

    def ends(self, frame: Frame, begun: bytes) -> list[bytes] | None:
        """Return what is missing of the names that begin so and that the object has; None if that is unclear."""
        if b"\\" in begun:
            return None
        assert isinstance(frame.seen, frozenset)
        return [name[len(begun) :] for name in self._spelled(frame.seen) if name.startswith(begun)]

    def listed_names(self, state: State) -> tuple[bytes, ...]:
        """Return the names with values that an object lists and does not have yet, in quotes, before a colon.

        Where a name may come, of an object that may have any other: those that it requires first.
        """
        where, frame, _ = state
        if where not in (FIRST_NAME, NEXT_NAME) or frame is None or frame.names is not None:
            return ()
        assert isinstance(frame.seen, frozenset)
        return self._listed(frame.shapes, frame.seen)

    def _listed_of(self, shapes: tuple[int, ...], seen: frozenset[str]) -> tuple[bytes, ...]:
        objects = [self._objects[index] for index in shapes]
        required = [name for shape in objects for name in sorted(shape.required)]
        listed = [
            name for shape in objects for name, number in shape.members.items() if number in self._alive
        ]
        names = [name for name in dict.fromkeys(required + listed) if name not in seen]
        return tuple(json.dumps(name, ensure_ascii=False).encode() + b":" for name in names)

    def _begin(self, frame: Frame | None, extra: tuple[tuple[Number, ...], str | None], byte: int) -> State:
        """Return the state after the first byte of a value."""
        numbers, name = extra
        if byte not in b"{[":
            raw = None if name is None else (bytes([byte]), name)
            return STRING if byte == _QUOTE else SCALAR, frame, raw
        kind = 0 if byte == _OPEN_BRACE else 1
        shapes = tuple(index for number in numbers for index in self._of[number][kind])
        if frame is not None and name is not None:
            frame = self._narrowed(frame, name, lambda number: bool(self._of[number][kind]))
        place = within(frame, shapes)
        if byte == _OPEN_BRACE:
            return FIRST_NAME, self._object(frame, shapes, frozenset(), place), None
        if place is not None:
            unbounded = self._arrays[shapes[0]].most is None
            place = (*place[:-1], ~shapes[0], 0) if unbounded else None  # negative, unlike objects
        return ITEM, Frame(frame, shapes, 0, place), (self._items(shapes, 0), None)

    def _judged(self, frame: Frame | None, extra: tuple[bytes, str] | None) -> Frame | None:
        """Return the object after a string, number or literal, without the shapes that it belies."""
        if frame is None or extra is None:
            return frame
        raw, name = extra
        try:
            value = json.loads(raw)
        except ValueError:
            return frame
        return self._narrowed(frame, name, lambda number: self._all[number].admits(value))

    def _narrowed(self, frame: Frame, name: str, admits: Callable[[Number], bool]) -> Frame:
        """Return the object with those of its shapes whose member of that name may be so; all, if none may."""
        shapes = tuple(index for index in frame.shapes if any(map(admits, self._children(index, name))))
        if not shapes or shapes == frame.shapes:
            return frame
        assert isinstance(frame.seen, frozenset)
        return self._object(frame.parent, shapes, frame.seen, frame.place)

    def _tells_apart(self, shapes: tuple[int, ...], name: str) -> bool:
        """Return whether the value of a member may tell which of these shapes an object has."""
        demands = {(self._objects[index].demands, self._closed[index]) for index in shapes}
        return len(demands) > 1 and len({self._children(index, name) for index in shapes}) > 1

    def _children(self, index: int, name: str) -> tuple[Number, ...]:
        """Return the shapes of the member of that name, of an object of a shape."""
        shape = self._objects[index]
        return (shape.members[name],) if name in shape.members else _others(shape)

    def _after(self, frame: Frame | None, byte: int) -> State | None:
        """Return the state after a byte that ends a value, or begins another."""
        if frame is None:
            return None
        if byte == _COMMA and frame.is_object:
            return None if frame.names == frozenset() else (NEXT_NAME, frame, None)
        if byte == _COMMA:
            assert isinstance(frame.seen, int)
            shapes = [self._arrays[index] for index in frame.shapes]
            last = max((max(len(shape.prefix), shape.least) for shape in shapes), default=0)
            index = min(frame.seen + 1, last)
            place = None if frame.place is None else (*frame.place[:-1], index)
            items = self._items(frame.shapes, index)
            return VALUE, Frame(frame.parent, frame.shapes, index, place), (items, None)
        if byte in (_CLOSE_BRACE, _CLOSE_BRACKET) and frame.complete:
            return AFTER, frame.parent, None
        return None

    def _items(self, shapes: tuple[int, ...], index: int) -> tuple[Number, ...]:
        return tuple(dict.fromkeys(self._arrays[shape].item(index) for shape in shapes))

    def _object(
        self, parent: Frame | None, shapes: tuple[int, ...], seen: frozenset[str], place: Place
    ) -> Frame:
        found = [self._names(index, seen) for index in shapes]
        names = _union(found)
        return Frame(parent, shapes, seen, place, names, any(self._complete(index, seen) for index in shapes))

    def _complete(self, index: int, seen: frozenset[str]) -> bool:
        shape = self._objects[index]
        return (
            shape.required <= seen
            and shape.least <= len(seen)
            and (shape.most is None or len(seen) <= shape.most)
        )

    def _names_of(self, index: int, seen: frozenset[str]) -> Names:
        """Return the names that an object of a shape may still have after those of `seen`."""
        shape, missing = self._objects[index], self._objects[index].required - seen
        if shape.most is not None:
            room = shape.most - len(seen)
            if room <= len(missing):
                return missing if room == len(missing) else frozenset()
        closed = self._closed[index]
        return None if closed is None else closed - seen

    def _may_begin(self, frame: Frame, begun: bytes, byte: bytes) -> bool:
        """Return whether a name that may still come begins so; behind an escape, which has two spellings, yes."""
        if frame.names is None or b"\\" in begun:
            return True
        spelled, longer = self._spelled(frame.names), begun + byte
        at = bisect_left(spelled, longer)
        return at < len(spelled) and spelled[at].startswith(longer)

    def _named(
        self, frame: Frame, spelled: bytes
    ) -> tuple[Frame, tuple[tuple[Number, ...], str | None]] | None:
        """Return the object with one name more, or None if it may not have that.

        And the shapes of its value, and the name if the value may tell shapes of the object apart.
        """
        try:
            name = json.loads(b'"' + spelled + b'"')
        except ValueError:
            return None
        seen = frame.seen
        assert isinstance(seen, frozenset)
        if name in seen:
            return None
        shapes = tuple(
            index for index in frame.shapes if (names := self._names(index, seen)) is None or name in names
        )
        if not shapes:
            return None
        numbers = tuple(dict.fromkeys(number for index in shapes for number in self._children(index, name)))
        telling = name if len(shapes) > 1 and self._telling(shapes, name) else None
        return self._object(frame.parent, shapes, seen | {name}, frame.place), (numbers, telling)


def _others(shape: ObjectShape) -> tuple[Number, ...]:
    """Return the shapes of members that are not listed."""
    return (*(number for _, number in shape.patterns), *(() if shape.rest is None else (shape.rest,)))


def _longer(extra: tuple[bytes, str], byte: int) -> tuple[bytes, str] | None:
    """Return a value that is being read, with a byte more; None if it is too long to matter."""
    raw, name = extra
    return None if len(raw) >= _LONGEST_VALUE else (raw + bytes([byte]), name)


def _union(sets: list[Names]) -> Names:
    if len(sets) == 1:
        return sets[0]
    return None if None in sets else frozenset(name for names in sets for name in names or ())


def _spelled(names: frozenset[str]) -> list[bytes]:
    return sorted(json.dumps(name, ensure_ascii=False)[1:-1].encode() for name in names)
