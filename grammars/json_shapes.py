"""Shapes: what a JSON Schema says of a value, flattened to alternatives of scalars, arrays and objects.

References are followed, `allOf` and neighbouring keywords are merged, and `anyOf` and `oneOf` become
alternatives, so that every object is described by one `ObjectShape`: which names it may have, the shape of
each member, which names it must have. Shapes are numbered, since they may be recursive.

A shape admits all that its schema admits. Where it admits more, `Shapes.loose` says in words what.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import combinations
from typing import Any

from jsonschema.protocols import Validator
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
from referencing.jsonschema import specification_with

from grammars.json_alternatives import Alternatives, Part
from grammars.json_shape import ArrayShape, Number, ObjectShape, Shape
from grammars.json_values import OF_SCALARS, common, conjunction, enumerated, type_of, widened

_SCALARS = ("null", "boolean", "integer", "number", "string")
_TYPES = frozenset({*_SCALARS, "array", "object"})
_MOST_COMPARED = 64
"""Of the shapes of an object."""
_OF_ARRAYS = frozenset({"items", "prefixItems", "additionalItems", "minItems", "maxItems"})
_OF_OBJECTS = frozenset({"properties", "patternProperties", "additionalProperties", "required", "minProperties",
                         "maxProperties"})  # fmt: skip


class Shapes:
    """The shapes of a schema, which is number 0.

    Parameters
    ----------
    schema:
        A valid schema.
    cls:
        Its dialect.

    Attributes
    ----------
    all:
        The shapes by number.
    loose:
        What is admitted although the schema forbids it, in words.
    """

    def __init__(self, schema: Any, cls: type[Validator]) -> None:
        uri = cls.META_SCHEMA["$schema"]
        specification = specification_with(uri)
        self._alternatives = Alternatives(specification)
        self._has_const, self._has_prefix = "draft-04" not in uri, "2020-12" in uri
        self._numbers: dict[Any, Number] = {}
        self._todo: list[tuple[Number, Any]] = []
        self._kept: list[Any] = []  # so that the identities in `_numbers` stay those of these schemas
        self.all: list[Shape] = []
        self.loose = self._alternatives.loose
        resource = specification.create_resource(schema)
        self._of([(schema, REGISTRY.resolver_with_root(resource))])
        while self._todo:
            number, what = self._todo.pop()
            self.all[number] = self._constant(*what) if isinstance(what, tuple) else self._shape(what)
        self._prune()

    def _of(self, parts: Iterable[Part]) -> Number:
        """Return the number of the values that all of `parts` admit."""
        parts = [part for part in parts if part[0] is not True and part[0] != {}]
        self._kept += (part[0] for part in parts)
        return self._number(frozenset(id(part[0]) for part in parts), parts)

    def _of_constant(self, value: Any) -> Number:
        return self._number(json.dumps(value), (value,))

    def _number(self, key: Any, what: Any) -> Number:
        if key not in self._numbers:
            self._numbers[key] = len(self.all)
            self.all.append(Shape())
            self._todo.append((self._numbers[key], what))
        return self._numbers[key]

    def _constant(self, value: Any) -> Shape:
        if isinstance(value, list):
            prefix = tuple(map(self._of_constant, value))
            return Shape(arrays=[ArrayShape(prefix, self._of([(False, None)]), len(value), len(value))])
        if isinstance(value, dict):
            members = {name: self._of_constant(member) for name, member in value.items()}
            return Shape(objects=[ObjectShape(members, required=frozenset(members))])
        return Shape(scalars=[{"const": value}])

    def _shape(self, parts: list[Part]) -> Shape:
        shape = Shape()
        for alternative in self._alternatives.of(parts):
            self._add(shape, alternative)
        if shape.anything:
            anything = self._of([])
            return Shape([], [ArrayShape((), anything)], [ObjectShape({}, rest=anything)], anything=True)
        return shape

    def _add(self, shape: Shape, flat: list[Part]) -> None:
        """Add what a conjunction of flat schemas admits."""
        if any(schema is False for schema, _ in flat):
            return
        types = set(_TYPES)
        for schema, _ in flat:
            if "type" in schema:
                types &= widened(schema["type"])
        options = [enumerated(schema, self._has_const) for schema, _ in flat]
        limits = [values for values in options if values is not None]
        if limits:
            self._add_values(shape, common(limits), types, flat)
            return
        scalars, arrays, objects = ([part for part in flat if part[0].keys() & words] for words in _WORDS)
        if len(types) == len(_TYPES) and not (scalars or arrays or objects):
            shape.anything = True
        _add_scalars(shape, types, [schema for schema, _ in scalars])
        if "array" in types:
            _append(shape.arrays, self._array(arrays))
        if "object" in types:
            _append(shape.objects, self._object(objects))

    def _add_values(self, shape: Shape, values: list[Any], types: set[str], flat: list[Part]) -> None:
        """Add the values of an `enum`."""
        values = [value for value in values if type_of(value) in types]
        scalars = [value for value in values if not isinstance(value, (list, dict))]
        if scalars:
            also = [schema for schema, _ in flat if schema.keys() & OF_SCALARS]
            _append(shape.scalars, conjunction({"enum": scalars}, also))
        if len(scalars) < len(values) and any(
            schema.keys() & (_OF_ARRAYS | _OF_OBJECTS) for schema, _ in flat
        ):
            self.loose["what stands beside enum"] = None
        for value in values:
            if isinstance(value, (list, dict)):
                constant = self._constant(value)
                shape.arrays += constant.arrays
                shape.objects += constant.objects

    def _array(self, parts: list[Part]) -> ArrayShape:
        heads: list[tuple[list[Any], Any, Any]] = []
        for schema, resolver in parts:
            items = schema.get("items", True)
            if isinstance(items, list):
                heads.append((items, schema.get("additionalItems", True), resolver))
            else:
                heads.append((schema.get("prefixItems", []) if self._has_prefix else [], items, resolver))
        length = max((len(prefix) for prefix, _, _ in heads), default=0)

        def item(index: int) -> Number:
            return self._of(
                (prefix[index] if index < len(prefix) else rest, resolver) for prefix, rest, resolver in heads
            )

        least, most = _bounds([schema for schema, _ in parts], "minItems", "maxItems")
        return ArrayShape(tuple(map(item, range(length))), item(length), least, most)

    def _object(self, parts: list[Part]) -> ObjectShape:
        schemas = [schema for schema, _ in parts]
        required = dict.fromkeys(name for schema in schemas for name in schema.get("required", ()))
        names = dict.fromkeys(name for schema in schemas for name in schema.get("properties", ()))
        patterns = dict.fromkeys(
            pattern for schema in schemas for pattern in schema.get("patternProperties", ())
        )
        least, most = _bounds(schemas, "minProperties", "maxProperties")
        others = [(schema["additionalProperties"], resolver) for schema, resolver in parts
                  if "additionalProperties" in schema]  # fmt: skip
        closed = any(schema is False for schema, _ in others)
        return ObjectShape(
            {name: self._of(_of_name(name, parts)) for name in {**names, **required}},
            tuple((pattern, self._of(self._of_pattern(pattern, parts))) for pattern in patterns),
            None if closed else self._of(others),
            frozenset(required),
            least,
            most,
        )

    def _of_pattern(self, pattern: str, parts: list[Part]) -> list[Part]:
        """Return schemas of the members that are not listed and whose name the pattern finds."""
        found = []
        for schema, resolver in parts:
            named = schema.get("patternProperties", {})
            if pattern in named:
                found.append((named[pattern], resolver))
                self._note_overlap(len(named) > 1)
            elif named:
                self._note_overlap(True)
            elif "additionalProperties" in schema:
                found.append((schema["additionalProperties"], resolver))
        return found

    def _note_overlap(self, possible: bool) -> None:
        if possible:
            self.loose["members that several patterns find"] = None

    def _prune(self) -> None:
        """Drop the alternatives that no value satisfies."""
        alive: set[Number] = set()
        while True:
            found = {number for number, shape in enumerate(self.all) if number not in alive and (
                shape.anything or shape.scalars
                or any(array.is_possible(alive) for array in shape.arrays)
                or any(object_.is_possible(alive) for object_ in shape.objects)
            )}  # fmt: skip
            if not found:
                break
            alive |= found
        self.alive = frozenset(alive)
        for shape in self.all:
            shape.arrays = [array for array in shape.arrays if array.is_possible(alive)]
            shape.objects = [object_ for object_ in shape.objects if object_.is_possible(alive)]
        if not all(self._are_told_apart(shape.objects) for shape in self.all):
            self.loose["members that one alternative demands"] = None

    def _are_told_apart(self, objects: list[ObjectShape]) -> bool:
        """Return whether it shows which of these shapes an object has, as far as that matters for its end."""
        if len({shape.demands for shape in objects}) < 2:
            return True
        return len(objects) <= _MOST_COMPARED and all(
            one.demands == other.demands
            or any(
                self.all[one.members[name]].excludes(self.all[other.members[name]])
                for name in one.required & other.required
            )
            for one, other in combinations(objects, 2)
        )


_WORDS = (OF_SCALARS, _OF_ARRAYS, _OF_OBJECTS)


def _of_name(name: str, parts: list[Part]) -> list[Part]:
    """Return the schemas of the member of that name."""
    found = []
    for schema, resolver in parts:
        properties = schema.get("properties", {})
        own = [properties[name]] if name in properties else []
        own += [
            part for pattern, part in schema.get("patternProperties", {}).items() if re.search(pattern, name)
        ]
        if not own and "additionalProperties" in schema:
            own.append(schema["additionalProperties"])
        found += [(part, resolver) for part in own]
    return found


def _add_scalars(shape: Shape, types: set[str], schemas: list[dict[str, Any]]) -> None:
    scalars = [name for name in _SCALARS if name in types and not (name == "integer" and "number" in types)]
    if scalars:
        _append(shape.scalars, conjunction({"type": scalars}, schemas))


def _append(found: list[Any], item: Any) -> None:
    if item not in found:
        found.append(item)


def _bounds(schemas: list[dict[str, Any]], least: str, most: str) -> tuple[int, int | None]:
    tops = [int(schema[most]) for schema in schemas if most in schema]
    return max((int(schema.get(least, 0)) for schema in schemas), default=0), min(tops) if tops else None
