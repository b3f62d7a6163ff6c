r"""JSON Schema: the JSON texts of the values that a schema, or a Python type, admits.

The language of `JsonSchema(s)` is the set of texts that

1. are spelled as follows: whitespace as `whitespace` says, none before or after the value; characters of
   strings and names as themselves, escaped only where JSON demands it, and U+007F not at all; numbers in `const`
   and `enum` in one canonical spelling (`-2`, not `-2.0`); integers without fraction or exponent; strings of a
   known `format` (`date-time`, `time`, `date`, `duration`, `email`, `hostname`, `ipv4`, `ipv6`, `uuid`, `uri`) in
   that format; strings under a `pattern` as ECMAScript reads it (`\d` is 0 to 9); numbers under `multipleOf`
   without exponent, and with no more decimals than it has; with `order="schema"` also members in the order in
   which the schema names them (a subschema of `allOf`, `anyOf`, `oneOf` counts where its keyword stands, then come
   names that only `required` has, then unlisted members);
2. can be read as JSON, each member name once, each number finite (`json_text.read_json`);
3. hold a value that the `jsonschema` validator of the schema's dialect accepts;
4. if a Python type was given: that pydantic turns into an instance of it.

The mask enforces 1 and nearly all of 2 and 3 token by token. Conditions 2 to 4 are always checked on the
complete text; `final_checks` lists those that nothing enforces earlier. So the language is never larger than the
schema says, and smaller only by the spelling rules of 1.

For Python types, objects are closed: members that a model would only ignore are not in the language, unless
its configuration says `extra="allow"`. Their members are in the order of the fields, unless `order="free"`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.protocols import Validator
from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

from grammars.constraint import Constraint, Matcher, text_bytes
from grammars.errors import GrammarError, ParseError
from grammars.json_compiler import ENGINE_WHITESPACE, CompiledSchema, Order, Whitespace, compile_schema
from grammars.json_matcher import MembersMatcher
from grammars.json_text import read_json
from grammars.llguidance import GrammarMatcher
from grammars.pydantic_types import adapter_of, is_expressed, schema_of, type_name
from grammars.vocabulary import Vocabulary


@dataclass(frozen=True, init=False, repr=False)
class JsonSchema(Constraint):
    """The JSON texts of a schema or of a Python type.

    Parameters
    ----------
    schema:
        A schema as a dict or bool, as JSON text (beginning with a brace), or as the path of a file; or a
        Python type: a pydantic model, a dataclass, a `TypedDict`, a `TypeAdapter`, or anything else that
        pydantic knows.
    whitespace:
        Between the parts of a text: `"compact"` none; `"bounded"` (the default) at most one space, or a line
        end and up to 16 spaces, which leaves room for pretty printing but not for a model to idle in; `"any"`
        whatever JSON allows, without bound.
    validator:
        A validator class of `jsonschema` or its name; by default `$schema` decides, else Draft 2020-12.
    order:
        Of members: `"free"` any, `"schema"` that in which the schema names them. By default it is free for a
        schema, and that of the fields for a Python type, as pydantic writes it.

    Raises
    ------
    GrammarError
        If the schema is not JSON (line and column), invalid (JSON pointer of the fault), or refers to
        something outside itself; if pydantic finds no schema for the type.
    ContradictionError
        If no value satisfies the schema.
    """

    text: str
    """The schema in canonical JSON."""
    whitespace: Whitespace
    dialect: type[Validator] | None
    type: Any = field(hash=False)
    """The Python type that `parse` builds, or None for plain JSON values."""
    order: Order
    """Of members."""

    def __init__(
        self,
        schema: Any,
        *,
        whitespace: Whitespace = "bounded",
        validator: str | type[Validator] | None = None,
        order: Order | None = None,
    ) -> None:
        if whitespace not in ENGINE_WHITESPACE:
            raise GrammarError(
                f"unknown whitespace {whitespace!r}", hint=f"one of {', '.join(ENGINE_WHITESPACE)}"
            )
        if order not in (None, "free", "schema"):
            raise GrammarError(f"unknown order {order!r}", hint="one of free, schema")
        text, type_ = _read_schema(schema)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "whitespace", whitespace)
        object.__setattr__(self, "dialect", _dialect(validator))
        object.__setattr__(self, "type", type_)
        object.__setattr__(self, "order", order or _usual_order(type_))
        _ = self._compiled  # so that a faulty schema is refused here

    @cached_property
    def _compiled(self) -> CompiledSchema:
        return compile_schema(self.text, self.whitespace, self.dialect, self.order)

    @cached_property
    def _adapter(self) -> TypeAdapter[Any] | None:
        return None if self.type is None else adapter_of(self.type)

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        grammar, members = self._compiled.grammar, self._compiled.members
        if members is None:
            return GrammarMatcher(vocabulary, grammar)
        return MembersMatcher(vocabulary, grammar, members)

    @property
    @override
    def final_checks(self) -> tuple[str, ...]:
        if self.type is None or is_expressed(self.type):
            return self._compiled.final_checks
        return (*self._compiled.final_checks, f"pydantic validates {type_name(self.type)}")

    @override
    def accepts(self, text: bytes) -> bool:
        try:
            self._value(text)
        except ParseError:
            return False
        return True

    def parse(self, text: str) -> Any:
        """Return the value: plain JSON for a schema, an instance for a Python type.

        Raises
        ------
        ParseError
            If `text` is not in the language; with what the JSON reader, the validator or pydantic said.
        """
        if not isinstance(text, str):
            self.require(text)
        try:
            value = self._value(text_bytes(text))
        except UnicodeEncodeError:
            raise ParseError(
                f"not a JSON text: a lone surrogate in {text!r}", hint="texts are Unicode"
            ) from None
        if not self.matches(text):
            members = "members in schema order, " if self.order == "schema" else ""
            raise ParseError(
                f"{text!r} is valid, but not spelled as {self} spells it",
                hint=f"{members}{self.whitespace} whitespace, no needless escapes",
            )
        return value

    def _value(self, text: bytes) -> Any:
        """Return the value of a text, or raise `ParseError` if it fails one of the conditions 2 to 4."""
        try:
            value = read_json(text)
        except ValueError as error:
            raise ParseError(
                f"not a JSON text: {error}: {_short(text)}", hint="cut off, perhaps: see `max_tokens`"
            ) from None
        try:
            fault = jsonschema.exceptions.best_match(self._compiled.validator.iter_errors(value))
        except RecursionError:
            raise ParseError(
                f"the value, or the schema, is nested too deeply to be validated: {_short(text)}",
                hint="bound the depth, or the references, of the schema",
            ) from None
        if fault is not None:
            raise ParseError(f"invalid at {fault.json_path}: {fault.message}", hint=f"{self} demands it")
        if self._adapter is None:
            return value
        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            raise ParseError(
                f"not a valid {type_name(self.type)}: {error}", hint="pydantic's validators demand it"
            ) from None
        except Exception as error:
            error.add_note(f"raised while {type_name(self.type)} was validated, on {_short(text)}")
            raise

    def __repr__(self) -> str:
        shown = type_name(self.type) if self.type is not None else _short(self.text.encode())
        options = "" if self.whitespace == "bounded" else f", whitespace={self.whitespace!r}"
        dialect = "" if self.dialect is None else f", validator={self.dialect.__name__}"
        order = "" if self.order == _usual_order(self.type) else f", order={self.order!r}"
        return f"JsonSchema({shown}{options}{dialect}{order})"


def _usual_order(type_: Any) -> Order:
    return "free" if type_ is None else "schema"


def _read_schema(schema: Any) -> tuple[str, Any]:
    """Return the canonical JSON of a schema, and the Python type if that is what was given."""
    if isinstance(schema, Path) or (isinstance(schema, str) and not schema.lstrip().startswith("{")):
        try:
            content, source = Path(schema).read_text(encoding="utf-8"), f" in {schema}"
        except (OSError, ValueError) as error:
            raise GrammarError(
                f"cannot read a schema from {_short(str(schema).encode('utf-8', 'replace'))}: "
                f"{error.strerror if isinstance(error, OSError) else error}",
                hint="a str is a path, or the schema itself if it begins with a brace",
            ) from None
    elif isinstance(schema, str):
        content, source = schema, ""
    elif isinstance(schema, (bool, Mapping)):
        try:
            return json.dumps(_plain(schema), separators=(",", ":"), allow_nan=False), None
        except (TypeError, ValueError, RecursionError) as error:
            raise GrammarError(
                f"the schema is not JSON: {error}", hint="use strings, numbers, lists and dicts"
            ) from None
    else:
        return schema_of(schema), schema
    try:
        value = read_json(content)
    except ValueError as error:
        raise GrammarError(
            f"the schema{source} is not JSON: {error}", hint="check it with a JSON editor, or pass a dict"
        ) from None
    return json.dumps(value, separators=(",", ":")), None


def _plain(value: Any) -> Any:
    """Return a schema with mappings as dicts and tuples as lists; raise if a member name is no string."""
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise TypeError(f"the member name {name!r} is not a string")
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _dialect(validator: str | type[Validator] | None) -> type[Validator] | None:
    cls = getattr(jsonschema, validator, None) if isinstance(validator, str) else validator
    if validator is not None and (
        not (isinstance(cls, type) and hasattr(cls, "META_SCHEMA")) or cls is jsonschema.Draft3Validator
    ):
        raise GrammarError(
            f"unknown validator {validator!r}",
            hint="a class of jsonschema from Draft 4 on, as Draft7Validator",
        )
    return cls


def _short(text: bytes) -> str:
    shown = text.decode("utf-8", "replace")
    return repr(shown if len(shown) <= 80 else shown[:77] + "...")
