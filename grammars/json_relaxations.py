"""What the mask engine is not asked to enforce of a JSON Schema: where it reads too narrowly, ignores, or fails.

A relaxation drops keywords *for the engine only*. That enlarges the engine's language and never shrinks it, so
that the validator, which sees the whole schema, decides on complete texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from grammars.llguidance import compile_error

_ONE = ("additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames",
        "then", "unevaluatedItems", "unevaluatedProperties")  # fmt: skip
_MANY = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_NAMED = ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")


def subschemas(schema: Any, pointer: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object schema in `schema`, itself first, with its JSON pointer."""
    if not isinstance(schema, dict):
        return
    yield pointer, schema
    for keyword, value in schema.items():
        if keyword in _NAMED and isinstance(value, dict):
            for name, part in value.items():
                yield from subschemas(part, f"{pointer}/{keyword}/{escape(name)}")
        elif keyword in _MANY and isinstance(value, list):
            for index, part in enumerate(value):
                yield from subschemas(part, f"{pointer}/{keyword}/{index}")
        elif keyword in _ONE:
            yield from subschemas(value, f"{pointer}/{keyword}")


def escape(name: str) -> str:
    """Return a member name as JSON pointers write it."""
    return name.replace("~", "~0").replace("/", "~1")


def patterns(schema: dict[str, Any]) -> list[Any]:
    """Return the regular expressions that stand directly in an object schema."""
    named = schema.get("patternProperties")
    return [schema.get("pattern", ""), *(named if isinstance(named, dict) else ())]


def ignored(schema: Any, messages: list[str]) -> list[str]:
    """Return the pointers of the keywords that the engine said it ignores."""
    keywords: set[str] = set()
    for message in messages:
        if message.startswith("Unimplemented keys"):
            keywords.update(re.findall(r'"([^"]+)"', message))
        elif message.startswith("oneOf"):
            keywords.add("oneOf")
    return [
        f"{pointer}/{escape(keyword)}"
        for pointer, part in subschemas(schema)
        for keyword in part
        if (keyword in keywords and part[keyword] is not False)
        or (keyword == "multipleOf" and not float(part[keyword]).is_integer())  # judged in floating point
    ]


_DECIDING = frozenset({"$ref", "allOf", "anyOf", "const", "enum", "oneOf"})


def open_names(schema: Any) -> list[str]:
    """Return the condition on member names if an object may have members that the schema does not list.

    The engine gives each listed member once, but may repeat an unlisted name.
    """
    for _, part in subschemas(schema):
        types = part.get("type")
        an_object = types == "object" or (isinstance(types, list) and "object" in types)
        remote = not str(part.get("$ref", "#")).startswith("#")
        untyped = types is None and (remote or not _DECIDING & part.keys())
        if (an_object or untyped) and (
            part.get("additionalProperties", True) is not False or part.get("patternProperties")
        ):
            return ["member names are unique"]
    return [] if isinstance(schema, dict) else ["member names are unique"]


Relaxation = Callable[[Any], tuple[Any, list[str]]]

_ESCAPE_OR_CLASS = re.compile(r"\\.|\[\^?(\]?(?:\\.|[^\]\\])*)", re.DOTALL)


def _misread(keyword: str, value: Any) -> bool:
    """Return whether the engine forbids valid texts because of a keyword.

    Of a fractional `multipleOf` it forbids `1.5` under `0.25`; all is well with one decimal place, or a power
    of ten. In the classes of a pattern it takes `[`, `&&`, `--` and `~~` for set notation.
    """
    if keyword == "multipleOf":
        _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
        return isinstance(exponent, int) and exponent < -1 and digits != (1,)
    classes = (
        part[1] or "" for text in patterns({keyword: value}) for part in _ESCAPE_OR_CLASS.finditer(text)
    )
    return any(re.search(r"\[|&&|--|~~", re.sub(r"\\.", ".", signs)) for signs in classes)


def lone_references(schema: Any) -> Any:
    """Return the schema without the neighbours of `$ref`, which mean nothing up to Draft 7."""
    copy = json.loads(json.dumps(schema))
    for _, part in subschemas(copy):
        if "$ref" in part:
            for neighbour in part.keys() - {"$ref", "$schema", "$defs", "definitions"}:
                del part[neighbour]
    return copy


def keep(schema: Any) -> tuple[Any, list[str]]:
    """Drop nothing."""
    return schema, []


def _anything(schema: Any) -> tuple[Any, list[str]]:
    return True, ["#"]


def _drop(doomed: Callable[[str, Any], bool]) -> Relaxation:
    """Return the relaxation that drops the keywords for which `doomed(keyword, value)` holds, everywhere."""

    def relax(schema: Any) -> tuple[Any, list[str]]:
        copy = json.loads(json.dumps(schema))
        dropped = []
        for pointer, part in list(subschemas(copy)):
            for keyword in [keyword for keyword, value in part.items() if doomed(keyword, value)]:
                part.pop(keyword, None)
                dropped.append(f"{pointer}/{escape(keyword)}")
                if keyword == "patternProperties":  # else its members would count as additional
                    for dependent in ("additionalProperties", "unevaluatedProperties"):
                        if part.pop(dependent, None) is not None:
                            dropped.append(f"{pointer}/{dependent}")
        return copy, dropped

    return relax


def _bad_pattern(keyword: str, value: Any) -> bool:
    """Return whether the keyword holds a pattern that the engine cannot compile."""
    return any(compile_error(_rust_regex(pattern)) is not None for pattern in patterns({keyword: value}))


def _rust_regex(pattern: str) -> str:
    """Return the engine grammar of a pattern in the engine's own dialect, that of Rust's `regex` crate."""
    ends = {"/": r"\/", "\n": r"\n", "\r": r"\r"}
    literal = re.sub(
        r"\\?[/\n\r]|\\.", lambda found: ends.get(found[0][-1], found[0]), pattern, flags=re.DOTALL
    )
    return f"start: /{literal}/" if pattern else 'start: ""'


drop_misread = _drop(_misread)
drop_counts = _drop(lambda keyword, _: keyword in ("minProperties", "maxProperties"))
"""For what the engine warns of: with optional members listed and others open, it miscounts."""

_PATTERNS = frozenset({"pattern", "patternProperties"})
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_SIZES = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})
_LOGIC = frozenset(
    {"allOf", "anyOf", "oneOf", "not", "$ref", "$dynamicRef", "$recursiveRef", "const", "enum"}
)

RELAXATIONS: tuple[Relaxation, ...] = (
    keep,
    _drop(_bad_pattern),
    _drop(lambda keyword, value: keyword in _BOUNDS or _bad_pattern(keyword, value)),
    _drop(lambda keyword, _: keyword in _PATTERNS | _BOUNDS | {"format"}),
    _drop(lambda keyword, _: keyword in _PATTERNS | _BOUNDS | {"format"} | _SIZES),
    _drop(lambda keyword, _: keyword in _PATTERNS | _BOUNDS | {"format"} | _SIZES | _LOGIC),
    _anything,
)
"""What to try in turn when the engine refuses a schema; each gives up no less than the one before."""
