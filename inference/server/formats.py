"""What an answer must be: `response_format` of the protocol, and the field `grammar`, as constraints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from grammars import Choice, Constraint, JsonSchema, Lark, Regex
from grammars.errors import GrammarError
from inference.server.errors import RequestError, request_error
from inference.server.fields import Fields

_OWN_GRAMMARS = ("common", "python", "unicode", "lark")
_IMPORT = re.compile(r"%import\s+(?P<module>[^\s(]+)")


def response_format(fields: Fields) -> Constraint | None:
    """Return the constraint of the field `response_format`; None for any text.

    `json_object` is any JSON object. A schema is always held strictly, whatever `strict` says.
    """
    given = fields.any("response_format")
    if given is None:
        return None
    form = Fields(given, fields.path("response_format"))
    kind = form.one_of("type", ("text", "json_object", "json_schema"))
    if kind is None:
        raise form.error("type", "is missing", hint="text, json_object or json_schema")
    constraint: Constraint | None = None
    if kind == "json_object":
        constraint = JsonSchema({"type": "object"})
    elif kind == "json_schema":
        inner = Fields(form.need("json_schema", dict), form.path("json_schema"))
        inner.need("name", str)
        inner.get("description", str)
        inner.get("strict", bool)
        constraint = schema(inner, "schema")
        inner.done()
    form.done()
    return constraint


def grammar(fields: Fields) -> Constraint | None:
    """Return the constraint of the field `grammar`, an object with one member; None where it is absent.

    The member is `regex`, `lark` (with `start`), `json_schema` or `choice`. A grammar of Lark may import from those
    that come with Lark, and from nothing else of this machine.
    """
    given = fields.any("grammar")
    if given is None:
        return None
    form = Fields(given, fields.path("grammar"))
    kinds = [kind for kind in ("regex", "lark", "json_schema", "choice") if kind in form]
    if len(kinds) != 1:
        raise RequestError(
            f"{form.where} has {len(kinds)} of regex, lark, json_schema and choice",
            hint='one of them, as {"regex": "[a-z]+"}',
            param=form.where,
            code="invalid_value",
        )
    with about(form.path(kinds[0])):
        match kinds[0]:
            case "regex":
                constraint: Constraint = Regex(form.need("regex", str))
            case "lark":
                constraint = _lark(form)
            case "choice":
                constraint = Choice(form.need("choice", list))
            case _:
                constraint = schema(form, "json_schema")
    form.done()
    return constraint


def schema(fields: Fields, name: str) -> JsonSchema:
    """Return the constraint of a field that is a JSON Schema."""
    given = fields.need(name, dict, bool)
    with about(fields.path(name)):
        return JsonSchema(given)


@contextmanager
def about(param: str) -> Iterator[None]:
    """Say of a constraint that is refused which field it is in."""
    try:
        yield
    except GrammarError as error:
        raise request_error(error, param) from error


def _lark(form: Fields) -> Lark:
    text = form.need("lark", str)
    for found in _IMPORT.finditer(text):
        if found["module"].split(".")[0] not in _OWN_GRAMMARS:
            raise form.error(
                "lark",
                f"imports {found['module']!r}",
                hint=f"only from {', '.join(_OWN_GRAMMARS)}, which come with Lark",
            )
    constraint = Lark(text, form.get("start", str) or "start")
    for file, _ in constraint.files:
        if not file.startswith("PackageResource(pkg_name='lark'"):  # a second lock on the same door
            raise form.error("lark", f"imports {file!r}", hint="a request may read no files")
    return constraint
