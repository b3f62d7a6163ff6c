"""From a JSON Schema to a grammar that contains its texts, and a validator that decides.

The mask engine covers most of JSON Schema. What it ignores is named in `final_checks`, and so is what it
cannot compile: then the keyword is dropped *for the engine only*, which enlarges the engine's language and
never shrinks it. The validator sees the whole schema in either case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import jsonschema
from jsonschema.protocols import Validator
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from grammars.errors import ContradictionError, GrammarError
from grammars.llguidance import check_grammar, compile_error, summary, warnings
from grammars.regex import regex_grammar

Whitespace = Literal["compact", "bounded", "any"]

ENGINE_WHITESPACE: dict[Whitespace, dict[str, Any]] = {
    "compact": {"whitespace_flexible": False},
    "bounded": {"whitespace_pattern": r"[ ]|\n[ ]{0,16}"},
    "any": {"whitespace_flexible": True},
}

_ONE = ("additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames",
        "then", "unevaluatedItems", "unevaluatedProperties")  # fmt: skip
_MANY = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_NAMED = ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")


@dataclass(frozen=True)
class CompiledSchema:
    """A grammar that contains the texts of a schema, and what decides on complete texts.

    Attributes
    ----------
    grammar:
        Text in the engine's dialect.
    validator:
        Validates a JSON value against the whole schema, without touching the network.
    final_checks:
        JSON pointers of the keywords that only the validator enforces, and other conditions in words.
    """

    grammar: str
    validator: Validator
    final_checks: tuple[str, ...]


@lru_cache(maxsize=256)
def compile_schema(text: str, whitespace: Whitespace, dialect: type[Validator] | None) -> CompiledSchema:
    """Compile the schema whose canonical JSON is `text`.

    Parameters
    ----------
    text:
        The schema as compact JSON, its members in the order that texts are to have.
    whitespace:
        A key of `ENGINE_WHITESPACE`.
    dialect:
        The validator class; by default the one that `$schema` names, or that of Draft 2020-12.

    Raises
    ------
    GrammarError
        If the schema is invalid, or refers to what it does not contain.
    ContradictionError
        If the engine finds that no value satisfies it.
    """
    schema = json.loads(text)
    cls = dialect or jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    _check_schema(schema, cls)
    _check_references(schema, cls)
    for relax in _RELAXATIONS:
        relaxed, dropped = relax(schema)
        if dropped or relax is _keep:
            grammar = _grammar(relaxed, whitespace, cls)
            message = compile_error(grammar)
            if message is None:
                check_grammar(grammar)
                checks = (*dropped, *_ignored(relaxed, warnings(grammar)), *_open_names(relaxed))
                return CompiledSchema(grammar, cls(schema, registry=REGISTRY), tuple(dict.fromkeys(checks)))
            if "Unsatisfiable schema" in message:
                reason = summary(message).partition("Unsatisfiable schema: ")[2]
                raise ContradictionError(
                    f"no value satisfies the schema: {reason}", hint="see its enums and bounds"
                )
    raise GrammarError(f"the mask engine cannot compile any JSON: {summary(message or '')}")


def subschemas(schema: Any, pointer: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object schema in `schema`, itself first, with its JSON pointer."""
    if not isinstance(schema, dict):
        return
    yield pointer, schema
    for keyword, value in schema.items():
        if keyword in _NAMED and isinstance(value, dict):
            for name, part in value.items():
                yield from subschemas(part, f"{pointer}/{keyword}/{_escape(name)}")
        elif keyword in _MANY and isinstance(value, list):
            for index, part in enumerate(value):
                yield from subschemas(part, f"{pointer}/{keyword}/{index}")
        elif keyword in _ONE:
            yield from subschemas(value, f"{pointer}/{keyword}")


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _grammar(schema: Any, whitespace: Whitespace, cls: type[Validator]) -> str:
    options = {"lenient": True, **ENGINE_WHITESPACE[whitespace]}
    body = schema if isinstance(schema, dict) else ({} if schema else {"not": {}})
    body = {"$schema": cls.META_SCHEMA["$schema"], **body, "x-guidance": options}
    return f"start: %json {json.dumps(body)}"


def _check_schema(schema: Any, cls: type[Validator]) -> None:
    if schema is False:
        raise ContradictionError("no value satisfies the schema `false`")
    for pointer, part in subschemas(schema):
        for pattern in filter(lambda pattern: isinstance(pattern, str), _patterns(part)):
            try:
                re.compile(pattern)
            except re.error as error:
                raise GrammarError(
                    f"invalid pattern {pattern!r} at {pointer}: {error}",
                    hint="patterns are checked with Python's re",
                ) from None
    try:
        cls.check_schema(schema)
    except jsonschema.SchemaError as error:
        pointer = "/".join(["#", *(_escape(str(part)) for part in error.absolute_path)])
        raise GrammarError(
            f"invalid schema at {pointer}: {error.message}", hint=f"checked as {cls.__name__}"
        ) from None


def _patterns(schema: dict[str, Any]) -> list[Any]:
    """Return the regular expressions that stand directly in an object schema."""
    named = schema.get("patternProperties")
    return [schema.get("pattern", ""), *(named if isinstance(named, dict) else ())]


def _check_references(schema: Any, cls: type[Validator]) -> None:
    """Raise unless every reference leads to a place in the schema itself or in a metaschema."""
    root = specification_with(cls.META_SCHEMA["$schema"]).create_resource(schema)
    registry: Registry[Any] = REGISTRY

    def walk(resource: Resource[Any], resolver: Any) -> None:
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            reference = resource.contents.get(keyword) if isinstance(resource.contents, dict) else None
            if isinstance(reference, str):
                try:
                    resolver.lookup(reference)
                except (Unresolvable, ValueError):
                    raise GrammarError(
                        f"the schema refers to {reference!r}, which it does not contain",
                        hint="remote schemas are never fetched: copy them under `$defs`",
                    ) from None
        for part in resource.subresources():
            walk(part, resolver.in_subresource(part))

    walk(root, registry.resolver_with_root(root))


def _ignored(schema: Any, messages: list[str]) -> list[str]:
    """Return the pointers of the keywords that the engine said it ignores."""
    keywords: set[str] = set()
    for message in messages:
        if message.startswith("Unimplemented keys"):
            keywords.update(re.findall(r'"([^"]+)"', message))
        elif message.startswith("oneOf"):
            keywords.add("oneOf")
        elif message.startswith("min/maxProperties"):
            keywords.update(("minProperties", "maxProperties"))
    return [
        f"{pointer}/{_escape(keyword)}"
        for pointer, part in subschemas(schema)
        for keyword in part
        if keyword in keywords and not (keyword == "uniqueItems" and part[keyword] is False)
    ]


_DECIDING = frozenset({"$ref", "allOf", "anyOf", "const", "enum", "oneOf"})


def _open_names(schema: Any) -> list[str]:
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


def _keep(schema: Any) -> tuple[Any, list[str]]:
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
                del part[keyword]
                dropped.append(f"{pointer}/{_escape(keyword)}")
                if keyword == "patternProperties":  # else its members would count as additional
                    for dependent in ("additionalProperties", "unevaluatedProperties"):
                        if part.pop(dependent, None) is not None:
                            dropped.append(f"{pointer}/{dependent}")
        return copy, dropped

    return relax


def _bad_pattern(keyword: str, value: Any) -> bool:
    """Return whether the keyword holds a pattern that the engine cannot compile."""
    patterns = _patterns({keyword: value}) if keyword in _PATTERNS else ()
    return any(compile_error(regex_grammar(pattern)) is not None for pattern in patterns)


_PATTERNS = frozenset({"pattern", "patternProperties"})
_SIZES = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})
_LOGIC = frozenset({"allOf", "anyOf", "oneOf", "not", "$ref", "$dynamicRef", "$recursiveRef"})

_RELAXATIONS: tuple[Relaxation, ...] = (
    _keep,
    _drop(_bad_pattern),
    _drop(lambda keyword, _: keyword in _PATTERNS | {"format"}),
    _drop(lambda keyword, _: keyword in _PATTERNS | {"format"} | _SIZES),
    _drop(lambda keyword, _: keyword in _PATTERNS | {"format"} | _SIZES | _LOGIC),
    _anything,
)
"""What to try in turn when the engine refuses a schema; each gives up no less than the one before."""
