"""From shapes to a schema for the mask engine whose objects have their members in any order.

The engine writes listed members in the order of the schema, and those of `patternProperties` in any order and
any number. So each name becomes a pattern that finds it alone, and the other names a pattern that finds all but
those. What this gives up is watched by `grammars.json_members`: that a name occurs once, that required ones
occur, and how many members there are.

The engine demands patterns that do not overlap, and looks at every two of them. So names with equal values share
one, and where there would be too many, some names share one whose values are those of any of them.
"""

from __future__ import annotations

import json
import re
from typing import Any

from grammars.json_shape import ArrayShape, Number, ObjectShape
from grammars.json_shapes import Shapes

MOST_PATTERNS = 80
"""Of one object."""
LONGEST_PATTERN = 80
"""Of names that share a pattern, in characters; the engine looks no further for an overlap."""
LONGEST_NAME = 64
"""Of a name that can be told from the unlisted ones; patterns nest as deep as it is long."""
_UNIVERSAL = re.compile(r"\^?(\.\*)?")
_PREFIX = re.compile(r"\^((?:[A-Za-z0-9_:/@ -]|\\[-./$+])+)")


def any_order(shapes: Shapes, *, disjoint: bool = True) -> tuple[Any, list[str]]:
    """Return a schema for the engine that admits what `shapes` do, and in words what it admits beside that.

    With `disjoint=False` it holds no patterns of the user, which may overlap.
    """
    writer = _Writer(shapes, disjoint)
    return writer.schema(), list(writer.loose)


class _Writer:
    def __init__(self, shapes: Shapes, disjoint: bool) -> None:
        self.loose: dict[str, None] = {}
        self._shapes = shapes
        self._disjoint = disjoint
        self._todo: list[Number] = []

    def schema(self) -> Any:
        root = self._value(0)
        named: dict[str, Any] = {}
        while self._todo:
            number = self._todo.pop()
            if _name(number) not in named:
                shape = self._shapes.all[number]
                arrays, objects = map(self._array, shape.arrays), map(self._object, shape.objects)
                named[_name(number)] = _union([*shape.scalars, *arrays, *objects])
        return root if isinstance(root, bool) else {"anyOf": [root], "$defs": named}

    def _value(self, number: Number) -> Any:
        """Return a schema of the values of a shape, by reference if they may be arrays or objects."""
        shape = self._shapes.all[number]
        if shape.anything:
            return True
        if not shape.arrays and not shape.objects:
            return _union(shape.scalars)
        self._todo.append(number)
        return {"$ref": f"#/$defs/{_name(number)}"}

    def _array(self, array: ArrayShape) -> Any:
        schema: dict[str, Any] = {"type": "array", "items": self._value(array.rest), "minItems": array.least}
        if array.prefix:
            schema["prefixItems"] = [self._value(number) for number in array.prefix]
        if array.most is not None:
            schema["maxItems"] = array.most
        return schema

    def _object(self, shape: ObjectShape) -> Any:
        rest = [] if shape.rest is None else [self._value(shape.rest)]
        named = {name: self._value(number) for name, number in shape.members.items()}
        found = {pattern: [self._value(number)] for pattern, number in shape.patterns}
        universal = [pattern for pattern in found if _UNIVERSAL.fullmatch(pattern)]
        prefixes = [match[1].replace("\\", "") for match in map(_PREFIX.fullmatch, found) if match]
        if universal and len(found) == 1:
            rest, found = found[universal[0]], {}
        elif found and not (self._disjoint and (not rest or len(prefixes) == len(found))):
            self._give_up("values of members that patterns find")
            rest, found = [value for values in found.values() for value in values] + rest, {}
        for name in list(named):
            finding = [pattern for pattern in found if re.search(pattern, name)]
            if finding or (rest and len(name) > LONGEST_NAME):
                self._give_up("values of listed members")
                for values in [found[pattern] for pattern in finding] or [rest]:
                    values.append(named[name])
                del named[name]
        patterns = {pattern: _union(values) for pattern, values in found.items()}
        grouped = self._grouped(named)
        if len(grouped) > MOST_PATTERNS:
            self._give_up("names of members")
            return {
                "type": "object",
                "additionalProperties": _union([*patterns.values(), *named.values(), *rest]),
            }
        patterns.update(grouped)
        if not patterns:
            return {"type": "object", "additionalProperties": _union(rest)}
        if rest:
            patterns[_other_names([*named], prefixes)] = _union(rest)
        return {"type": "object", "patternProperties": patterns, "additionalProperties": False}

    def _grouped(self, named: dict[str, Any]) -> dict[str, Any]:
        """Return patterns for names, as few as can be, and the schemas of their values."""
        groups: dict[str, list[str]] = {}
        for name, value in named.items():
            groups.setdefault(json.dumps(value), []).append(name)
        chunks = [chunk for names in groups.values() for chunk in _chunks(names)]
        if len(chunks) > MOST_PATTERNS:
            self._give_up("values of listed members")
            chunks = _chunks([*named])
        return {_exactly(names): _union([named[name] for name in names]) for names in chunks}

    def _give_up(self, what: str) -> None:
        self.loose[what] = None


def _name(number: Number) -> str:
    return f"s{number}"


def _union(schemas: list[Any]) -> Any:
    """Return a schema of the values of any of `schemas`."""
    different = list({json.dumps(schema): schema for schema in schemas if schema is not False}.values())
    if any(schema is True for schema in different):
        return True
    if len(different) < 2:
        return different[0] if different else False
    return {"anyOf": different}


def _chunks(names: list[str]) -> list[list[str]]:
    """Return the names in order, so many together as one pattern may find."""
    chunks: list[list[str]] = []
    size = LONGEST_PATTERN
    for name in names:
        size += len(name) + 1
        if size > LONGEST_PATTERN:
            chunks.append([])
            size = len(name) + 1
        chunks[-1].append(name)
    return chunks


def _exactly(names: list[str]) -> str:
    """Return a pattern that finds these names alone."""
    return f"^{_these(_tree(names, 'name'))}$"


def _other_names(names: list[str], prefixes: list[str]) -> str:
    """Return a pattern that finds the names that are none of `names` and begin with none of `prefixes`."""
    return f"^{_others(_tree(names, 'name') if not prefixes else _tree(prefixes, 'prefix', _tree(names, 'name')))}$"


def _tree(names: list[str], end: str, tree: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the names as a tree of their characters, in which `end` marks where one ends."""
    tree = {} if tree is None else tree
    for name in names:
        branch = tree
        for character in name:
            branch = branch.setdefault(character, {})
        branch[end] = {}
    return tree


def _these(branch: dict[str, Any]) -> str:
    """Return an expression of what follows in the names of a branch."""
    ways = [_escaped(key) + _these(below) for key, below in branch.items() if len(key) == 1]
    if len(ways) == 1 and "name" not in branch:
        return ways[0]
    return f"(?:{'|'.join(ways)}){'?' if 'name' in branch else ''}" if ways else ""


def _others(branch: dict[str, Any]) -> str:
    """Return an expression of what may follow in the other names; None of it if all that begin so are taken."""
    following = {key: below for key, below in branch.items() if len(key) == 1}
    first = f"[^{''.join(map(_escaped, following))}]" if following else "(?s:.)"
    ways = [f"{first}(?s:.*)"]
    ways += [_escaped(key) + _others(below) for key, below in following.items() if "prefix" not in below]
    return f"(?:{'|'.join(ways)}){'' if 'name' in branch else '?'}"


def _escaped(text: str) -> str:
    """Return an expression, also within a class, of the text itself."""
    return "".join(sign if sign.isalnum() else f"\\x{{{ord(sign):x}}}" for sign in text)
