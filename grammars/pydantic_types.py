"""What pydantic knows of a Python type: its adapter, its JSON Schema, and whether that schema says it all."""

from __future__ import annotations

import inspect
import json
import re
import sys
import types
from functools import lru_cache
from types import NoneType
from typing import (
    Annotated,
    Any,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import typing_extensions
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from grammars.errors import GrammarError

_EXPRESSED = frozenset(
    [
        "any",
        "bool",
        "dataclass",
        "dataclass-args",
        "dataclass-field",
        "default",
        "definition-ref",
        "definitions",
        "dict",
        "enum",
        "float",
        "int",
        "list",
        "literal",
        "model",
        "model-field",
        "model-fields",
        "none",
        "nullable",
        "str",
        "tagged-union",
        "tuple",
        "typed-dict",
        "typed-dict-field",
        "union",
    ]
)
"""Core schema types that accept exactly what their JSON Schema accepts."""

_SCALARS = (str, bool, int, float, NoneType)
_NO_SCHEMA = frozenset({"config", "default", "default_factory", "expected", "metadata", "ref", "schema_ref"})


def adapter_of(type_: Any) -> TypeAdapter[Any]:
    """Return the adapter of a type, the same one each time where the type is hashable.

    Raises
    ------
    GrammarError
        If pydantic does not know the type.
    """
    if isinstance(type_, TypeAdapter):
        return type_
    try:
        hash(type_)
    except TypeError:  # the type holds a pydantic Field
        return _adapter(type_)
    return _cached_adapter(type_)


def schema_of(type_: Any) -> str:
    """Return the JSON Schema of a type, as compact JSON text, with objects closed.

    Raises
    ------
    GrammarError
        If the type has no JSON Schema.
    """
    if inspect.isroutine(type_):  # pydantic would describe its arguments
        raise GrammarError(f"{type_!r} is a function, not a type", hint="pass the type of what it returns")
    try:
        schema = adapter_of(type_).json_schema(schema_generator=_Closed)
    except PydanticUserError as error:
        raise _unknown(type_, error) from None
    return json.dumps(schema, separators=(",", ":"))


def is_expressed(type_: Any) -> bool:
    """Return whether every value that the JSON Schema of a type admits is a valid value of the type.

    False if in doubt, as with validators written in Python, dates, sets or keys that are no strings.
    """
    return _expressed(adapter_of(type_).core_schema)


def type_name(type_: Any) -> str:
    """Return a type as the user writes it."""
    name = type_.__name__ if isinstance(type_, type) and not get_args(type_) else str(type_)
    return re.sub(r" at 0x[0-9a-f]+", "", name)


def _adapter(type_: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(_portable(type_))
    except (PydanticUserError, RecursionError) as error:
        raise _unknown(type_, error) from None


_cached_adapter = lru_cache(maxsize=256, typed=True)(_adapter)


def _unknown(type_: Any, error: Exception) -> GrammarError:
    reason = str(error).partition("\n")[0].partition(". Set ")[0]
    return GrammarError(
        f"no JSON Schema for {type_name(type_)}: {reason}",
        hint="use a pydantic model, a dataclass, or a schema as a dict",
    )


class _Closed(GenerateJsonSchema):
    """Schemas of types whose objects have no members that validation would ignore."""

    def generator_schema(self, schema: Any) -> JsonSchemaValue:
        return self.handle_invalid_for_json_schema(schema, "an iterator that is read later; use list")

    def is_subclass_schema(self, schema: Any) -> JsonSchemaValue:
        return self.handle_invalid_for_json_schema(schema, "a class")

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        return _close(super().model_schema(schema))

    def dataclass_schema(self, schema: Any) -> JsonSchemaValue:
        return _close(super().dataclass_schema(schema))

    def typed_dict_schema(self, schema: Any) -> JsonSchemaValue:
        return _close(super().typed_dict_schema(schema))


def _close(schema: JsonSchemaValue) -> JsonSchemaValue:
    if schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    return schema


def _expressed(core: Any) -> bool:
    if isinstance(core, (list, tuple)):
        return all(map(_expressed, core))
    if not isinstance(core, dict):
        return True
    kind = core.get("type")
    if isinstance(kind, str) and kind not in _EXPRESSED:
        return False
    if core.get("post_init") or core.get("custom_init"):
        return False
    if kind == "enum" and any(not isinstance(member.value, _SCALARS) for member in core["members"]):
        return False
    if not isinstance(core.get("validation_alias"), (str, NoneType)):  # a path, or several names
        return False
    if kind == "dict" and core.get("keys_schema", {"type": "str"}) not in ({"type": "str"}, {"type": "any"}):
        return False
    return all(_expressed(part) for key, part in core.items() if key not in _NO_SCHEMA)


def _portable(type_: Any) -> Any:
    """Return `type_` with each `typing.TypedDict` in it made one that pydantic takes before Python 3.12."""
    if sys.version_info >= (3, 12):
        return type_
    if is_typeddict(type_) and type(type_).__module__ == "typing":
        fields = {}
        for name, hint in get_type_hints(type_, include_extras=True).items():
            marker = get_origin(hint)
            if marker not in (Required, NotRequired):
                marker = Required if name in type_.__required_keys__ else NotRequired
                hint = marker[hint]
            fields[name] = marker[_portable(get_args(hint)[0])]
        return typing_extensions.TypedDict(type_.__name__, fields)  # type: ignore[operator]
    origin, arguments = get_origin(type_), get_args(type_)
    ported = tuple(map(_portable, arguments)) if origin is not None else ()
    if all(new is old for new, old in zip(ported, arguments, strict=False)):
        return type_
    if origin is Annotated:
        return Annotated[(ported[0], *type_.__metadata__)]
    return Union[ported] if origin in (Union, types.UnionType) else origin[ported]  # noqa: UP007
