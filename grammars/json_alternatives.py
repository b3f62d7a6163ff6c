"""Alternatives: a JSON Schema without references, `allOf`, `anyOf` and `oneOf`, which are followed and merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from referencing.exceptions import Unresolvable

Part: TypeAlias = tuple[Any, Any]
"""A schema, and the resolver of its references."""

MOST_COMBINATIONS = 256
"""Of the options of several `anyOf` and `oneOf` that must hold together; where there are more, they are left out."""
MOST_OPTIONS = 4096
"""Of a single one."""


class Alternatives:
    """Finds the alternatives of schemas of one dialect, a `referencing` specification.

    Attributes
    ----------
    loose:
        What they admit although a schema forbids it, in words.
    """

    def __init__(self, specification: Any) -> None:
        self._specification = specification
        self.loose: dict[str, None] = {}

    def of(self, parts: Sequence[Part], within: frozenset[int] = frozenset()) -> list[list[Part]]:
        """Return conjunctions of flat schemas, one of which holds for each value that `parts` admit.

        `within` are the schemas whose options are being followed: one that leads back to them adds nothing.
        """
        flat, choices = self._flatten(parts)
        if any(id(schema) in within for schema, _ in flat):
            return []
        found, most = [flat], MOST_COMBINATIONS if len(choices) > 1 else MOST_OPTIONS
        for chooser, options in choices:
            found = [
                _joined(one, more)
                for more in (more for option in options for more in self.of([option], within | {id(chooser)}))
                for one in found
            ]
            if len(found) > most:
                self.loose["alternatives of anyOf and oneOf"] = None
                return [flat]
        return found

    def _flatten(self, parts: Sequence[Part]) -> tuple[list[Part], list[tuple[Any, list[Part]]]]:
        """Return the flat schemas that must all hold, and the choices that must be made besides."""
        flat: list[Part] = []
        choices: list[tuple[Any, list[Part]]] = []
        seen: set[int] = set()
        todo = list(reversed(parts))
        while todo:
            schema, resolver = self._part(*todo.pop())
            if id(schema) in seen or schema is True:
                continue
            seen.add(id(schema))
            flat.append((schema, resolver))
            if not isinstance(schema, dict):
                continue
            below = [(part, resolver) for part in schema.get("allOf", ())]
            if isinstance(reference := schema.get("$ref"), str):
                try:
                    found = resolver.lookup(reference)
                except Unresolvable:
                    self.loose[f"$ref {reference}"] = None
                else:
                    below.append((found.contents, found.resolver))
            todo += reversed(below)
            for key in ("anyOf", "oneOf"):
                if key in schema:
                    choices.append((schema, [(part, resolver) for part in schema[key]]))
        return flat, choices

    def _part(self, schema: Any, resolver: Any) -> Part:
        if isinstance(schema, dict) and ("$id" in schema or "id" in schema):
            resolver = resolver.in_subresource(self._specification.create_resource(schema))
        return schema, resolver


def _joined(one: list[Part], more: list[Part]) -> list[Part]:
    known = {id(schema) for schema, _ in one}
    return [*one, *(part for part in more if id(part[0]) not in known)]
