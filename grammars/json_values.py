"""JSON values: their types, when they are equal, and what keywords leave of those without parts."""

from __future__ import annotations

import json
from typing import Any

OF_SCALARS = frozenset({"pattern", "minLength", "maxLength", "format", "minimum", "maximum", "exclusiveMinimum",
                         "exclusiveMaximum", "multipleOf"})  # fmt: skip
"""Keywords that speak of numbers and strings."""


def widened(types: Any) -> set[str]:
    """Return the types that a `type` keyword admits; an integer is a number."""
    found = {types} if isinstance(types, str) else set(types)
    return found | {"integer"} if "number" in found else found


_NAMES = {str: "string", list: "array", dict: "object"}


def type_of(value: Any) -> str:
    """Return the type of a value; of a number without fraction, `integer`."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    return next((name for cls, name in _NAMES.items() if isinstance(value, cls)), "null")


def enumerated(schema: dict[str, Any], has_const: bool) -> list[Any] | None:
    """Return the values that `const` and `enum` allow, or None if neither is there."""
    lists = [schema["enum"]] if "enum" in schema else []
    if has_const and "const" in schema:
        lists.append([schema["const"]])
    return common(lists) if lists else None


def common(lists: list[list[Any]]) -> list[Any]:
    """Return the values that occur in every list."""
    found = lists[0]
    for values in lists[1:]:
        known = {canonical(value) for value in values}
        found = [value for value in found if canonical(value) in known]
    return found


def canonical(value: Any) -> str:
    """Return a text that equal JSON values share: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(sorted(json.dumps(name) + canonical(part) for name, part in value.items()))}}}"
    return json.dumps(value)


def is_admitted(value: Any, scalar: dict[str, Any]) -> bool:
    """Return whether a flat schema of scalars admits a value, as far as `type`, `const` and `enum` tell."""
    values = enumerated(scalar, has_const=True)
    if values is not None:
        return canonical(value) in map(canonical, values)
    return type_of(value) in widened(scalar["type"])


def conjunction(first: dict[str, Any], schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a schema of what `first` and the keywords of scalars in `schemas` admit."""
    others = [{word: value for word, value in schema.items() if word in OF_SCALARS} for schema in schemas]
    if len(others) == 1:
        return {**first, **others[0]}
    return {**first, "allOf": others} if others else first
