"""From a JSON Schema to a grammar that contains its texts, and a validator that decides.

The mask engine covers most of JSON Schema. What it ignores is named in `final_checks`, and so is what it
cannot compile: then the keyword is dropped *for the engine only*, which enlarges the engine's language and
never shrinks it. The validator sees the whole schema in either case.
"""

from __future__ import annotations

import json
import re
import warnings
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
from grammars.json_any_order import any_order
from grammars.json_members import Members
from grammars.json_relaxations import (
    RELAXATIONS,
    drop_counts,
    drop_misread,
    escape,
    ignored,
    keep,
    lone_references,
    open_names,
    patterns,
    subschemas,
)
from grammars.json_shapes import Shapes
from grammars.llguidance import check_grammar, compile_error, summary
from grammars.llguidance import warnings as engine_warnings

Whitespace = Literal["compact", "bounded", "any"]
Order = Literal["free", "schema"]

ENGINE_WHITESPACE: dict[Whitespace, dict[str, Any]] = {
    "compact": {"whitespace_flexible": False},
    "bounded": {"whitespace_pattern": r"[ ]|\n[ ]{0,16}"},
    "any": {"whitespace_flexible": True},
}


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
    members:
        What objects may have, where the grammar leaves that open, since their members come in any order.
    """

    grammar: str
    validator: Validator
    final_checks: tuple[str, ...]
    members: Members | None = None


@lru_cache(maxsize=256)
def compile_schema(
    text: str, whitespace: Whitespace, dialect: type[Validator] | None, order: Order
) -> CompiledSchema:
    """Compile the schema whose canonical JSON is `text`.

    Parameters
    ----------
    text:
        The schema as compact JSON.
    whitespace:
        A key of `ENGINE_WHITESPACE`.
    dialect:
        The validator class; by default the one that `$schema` names, or that of Draft 2020-12.
    order:
        Whether members come in any order, or in that of the schema.

    Raises
    ------
    GrammarError
        If the schema is invalid, or refers to what it does not contain.
    ContradictionError
        If the engine finds that no value satisfies it.
    """
    try:
        schema = json.loads(text)
        cls = dialect or _dialect_of(schema)
        _check_schema(schema, cls)
        _check_references(schema, cls)
        grammar, members, checks = _relaxed_grammar(schema, whitespace, cls, order)
        return CompiledSchema(grammar, cls(schema, registry=REGISTRY), tuple(dict.fromkeys(checks)), members)
    except RecursionError:
        raise GrammarError(
            "the schema is nested too deeply", hint="give deep parts a name under `$defs`, and refer to them"
        ) from None


def _relaxed_grammar(
    schema: Any, whitespace: Whitespace, cls: type[Validator], order: Order
) -> tuple[str, Members | None, list[str]]:
    """Return the grammar of as much of the schema as the engine can compile, and the final checks."""
    legacy = "/draft-0" in cls.META_SCHEMA["$schema"]
    readable, misread = drop_misread(lone_references(schema) if legacy else schema)
    for relax in RELAXATIONS:
        relaxed, dropped = relax(readable)
        if not dropped and relax is not keep:
            continue
        ordered: Any = relaxed
        counts: list[str] = []
        grammar = _grammar(ordered, whitespace, cls)
        message = compile_error(grammar)
        if message is None and any(said.startswith("min/maxProp") for said in engine_warnings(grammar)):
            ordered, counts = drop_counts(relaxed)
            grammar = _grammar(ordered, whitespace, cls)
            message = compile_error(grammar)
        if message is None:
            try:
                check_grammar(grammar)
            except ContradictionError:
                raise _contradiction("its recursion never ends") from None
            checks = [*misread, *dropped, *ignored(ordered, engine_warnings(grammar))]
            if order == "schema":
                return grammar, None, [*checks, *counts, *open_names(ordered)]
            free = _free_grammar(relaxed, whitespace, cls)
            if free is not None:
                return free[0], free[1], [*checks, *free[2]]
        elif "Unsatisfiable schema" in message:
            raise _contradiction(summary(message).partition("Unsatisfiable schema: ")[2])
    raise GrammarError(
        f"the mask engine cannot compile any JSON: {summary(message or '')}",
        hint="this is a fault of the program: please report it with the schema",
    )


def _free_grammar(
    schema: Any, whitespace: Whitespace, cls: type[Validator]
) -> tuple[str, Members, list[str]] | None:
    """Return the grammar of a schema with members in any order, if the engine can compile it."""
    shapes = Shapes(schema, cls)
    if 0 not in shapes.alive:
        raise _contradiction("none of its alternatives can have all that it requires")
    for disjoint in (True, False):
        free, loose = any_order(shapes, disjoint=disjoint)
        grammar = _grammar(free, whitespace, jsonschema.Draft202012Validator)
        if compile_error(grammar) is None:
            return grammar, Members(shapes, faithful=not loose), [*shapes.loose, *loose]
    return None


def _contradiction(reason: str) -> ContradictionError:
    return ContradictionError(
        f"no value satisfies the schema: {reason}", hint="see its types, enums, bounds and required members"
    )


def _dialect_of(schema: Any) -> type[Validator]:
    """Return the validator class that `$schema` names, or that of Draft 2020-12."""
    named = schema.get("$schema") if isinstance(schema, dict) else None
    if named is not None and not isinstance(named, str):
        raise GrammarError(
            f"invalid schema at #/$schema: {named!r} is not a string", hint="leave it out for Draft 2020-12"
        )
    cls = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    if cls is jsonschema.Draft3Validator:
        raise GrammarError("JSON Schema Draft 3 is not supported", hint="use Draft 4 or a later one")
    return cls


def _grammar(schema: Any, whitespace: Whitespace, cls: type[Validator]) -> str:
    options = {"lenient": True, **ENGINE_WHITESPACE[whitespace]}
    body = schema if isinstance(schema, dict) else ({} if schema else {"not": {}})
    body = {**body, "$schema": cls.META_SCHEMA["$schema"], "x-guidance": options}
    return f"start: %json {json.dumps(body)}"


def _check_schema(schema: Any, cls: type[Validator]) -> None:
    if schema is False:
        raise _contradiction("it is `false`")
    try:
        json.dumps(schema, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise GrammarError(
            "the schema holds a lone surrogate, which no UTF-8 text does",
            hint="write the character that it is half of",
        ) from None
    for pointer, part in subschemas(schema):
        for pattern in filter(lambda pattern: isinstance(pattern, str), patterns(part)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of sets of sets, which Python may know some day
                    re.compile(pattern)
            except re.error as error:
                raise GrammarError(
                    f"invalid pattern {pattern!r} at {pointer}: {error}",
                    hint="patterns are checked with Python's re",
                ) from None
    try:
        cls.check_schema(schema)
    except jsonschema.SchemaError as error:
        pointer = "/".join(["#", *(escape(str(part)) for part in error.absolute_path)])
        raise GrammarError(
            f"invalid schema at {pointer}: {error.message}",
            hint=f"checked as {cls.__name__}; `validator=` chooses another draft",
        ) from None


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
