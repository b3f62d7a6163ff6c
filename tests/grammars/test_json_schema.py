"""JSON Schema: the language, the final checks, and the errors."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

import grammars.llguidance
from grammars import ContradictionError, GrammarError, JsonSchema, MatcherError, ParseError, Vocabulary
from grammars.json_text import read_json


class Ticket(BaseModel):
    product: str
    urgency: Literal["low", "high"]
    count: int = Field(default=1, ge=0)


class Even(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def even(cls, n: int) -> int:
        if n % 2:
            raise ValueError("odd")
        return n


def test_a_model_is_built() -> None:
    constraint = JsonSchema(Ticket)
    ticket = constraint.parse('{"product": "printer", "urgency": "high"}')
    assert ticket == Ticket(product="printer", urgency="high", count=1)
    assert constraint.final_checks == ()
    assert constraint == JsonSchema(Ticket)
    assert hash(constraint) == hash(JsonSchema(Ticket))
    assert constraint != JsonSchema(Ticket, whitespace="any")
    assert repr(constraint) == "JsonSchema(Ticket)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"product": "x"}', "'urgency' is a required property"),
        ('{"urgency": "low", "product": "x"}', "not spelled as"),
        ('{"product": "x", "urgency": "low", "other": 1}', "Additional properties"),
        ('{"product": "x", "urgency": "mid"}', r"invalid at \$.urgency"),
        ('{"product": "x", "product": "x", "urgency": "low"}', "'product' is repeated"),
        ('{"product": "x"', "not a JSON text"),
    ],
)
def test_parse_says_what_is_wrong(text: str, message: str) -> None:
    assert text not in JsonSchema(Ticket)
    with pytest.raises(ParseError, match=message):
        JsonSchema(Ticket).parse(text)


def test_validators_of_a_model_are_constraints() -> None:
    constraint = JsonSchema(Even)
    assert constraint.matches('{"n": 2}')
    assert not constraint.matches('{"n": 3}')
    assert constraint.final_checks == ("pydantic validates Even",)
    with pytest.raises(ParseError, match="odd"):
        constraint.parse('{"n": 3}')


def test_objects_of_types_are_closed_unless_extra_is_allowed() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: int

    @dataclasses.dataclass
    class Closed:
        a: int

    assert not JsonSchema(Closed).matches('{"a": 1, "b": 2}')
    assert JsonSchema(Open).matches('{"a": 1, "b": 2}')
    assert JsonSchema(Open).final_checks == ("member names are unique",)
    assert not JsonSchema(Open).matches('{"a": 1, "b": 2, "b": 3}')
    assert JsonSchema(TypeAdapter(list[Closed])).parse('[{"a": 1}]') == [Closed(1)]


def nested(depth: int) -> Any:
    schema: Any = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


LIST = {"type": "object", "properties": {"a": {"type": "array"}}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ('{"a":[1,2]}', {"compact", "bounded", "any"}),
        ('{"a": [1, 2]}', {"bounded", "any"}),
        ('{\n  "a": [\n    1\n  ]\n}', {"bounded", "any"}),
        ('{"a":  [1]}', {"any"}),
        ('{\n\n"a":[1]}', {"any"}),
        ('{\t"a":[]}', {"any"}),
        ("{\n" + " " * 16 + '"a":[]}', {"bounded", "any"}),
        ("{\n" + " " * 17 + '"a":[]}', {"any"}),
        (' {"a":[]}', set()),
        ('{"a":[]}\n', set()),
    ],
)
def test_whitespace(text: str, accepted: set[str]) -> None:
    for whitespace in ("compact", "bounded", "any"):
        assert JsonSchema(LIST, whitespace=whitespace).matches(text) == (whitespace in accepted)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (
            {"type": "string"},
            ['"é😀"', '"\\n\\""', '"\\u0001"'],
            ['"\\u0041"', '"\\/"', '"\x7f"', "'a'", '"\n"'],
        ),
        ({"type": "integer"}, ["0", "-12", "9" * 400], ["1.0", "1e3", "01", "+1", "9" * 5000]),
        ({"type": "number"}, ["1", "-1.50", "1E+5"], [".5", "1.", "1e999", "NaN", "Infinity"]),
        ({"const": -2.0}, ["-2"], ["-2.0"]),
        (
            {"enum": [None, {"b": 1, "a": [2]}]},
            ["null", '{"b": 1, "a":[2]}', '{"a":[2],"b":1}'],
            ['{"a":[]}'],
        ),
        (True, ["[]", '{"a": {"a": null}}'], ["", "[", '{"a":1,"a":1}']),
    ],
    ids=str,
)
def test_spelling(schema: Any, good: list[str], bad: list[str]) -> None:
    constraint = JsonSchema(schema)
    assert [text for text in good if not constraint.matches(text)] == []
    assert [text for text in bad if constraint.matches(text)] == []


@pytest.mark.parametrize(
    ("schema", "checks", "good", "bad"),
    [
        ({"type": "array", "uniqueItems": True}, ("#/uniqueItems",), "[1, 2]", "[1, 1]"),
        ({"type": "array", "items": {"not": {"type": "null"}}}, ("#/items/not",), "[1]", "[null]"),
        ({"type": "string", "pattern": "^(?!a)"}, ("#/pattern",), '"b"', '"a"'),
        (
            {"type": "object", "patternProperties": {"^(?!a)": {}}, "additionalProperties": False},
            ("#/patternProperties", "#/additionalProperties"),
            '{"b": 1}',
            '{"a": 1}',
        ),
        ({"oneOf": [{"type": "integer"}, {"minimum": 3}]}, ("#/oneOf",), "1", "4"),
        (
            {"properties": {"a/b": {"contains": {"const": 1}}}},
            ("#/properties/a~1b/contains",),
            '{"a/b":[1]}',
            '{"a/b":[2]}',
        ),
    ],
    ids=str,
)
def test_what_the_mask_cannot_enforce_is_checked_at_the_end(
    schema: dict[str, Any], checks: tuple[str, ...], good: str, bad: str
) -> None:
    constraint = JsonSchema(schema)
    assert set(checks) <= set(constraint.final_checks)
    assert constraint.matches(good)
    assert not constraint.matches(bad)
    matcher = constraint.matcher(Vocabulary.of_bytes())
    assert matcher.consume(bad.encode())
    assert matcher.is_accepting()
    assert not constraint.accepts(bad.encode())


@pytest.mark.parametrize(
    ("schema", "error", "message"),
    [
        ({"type": "foo"}, GrammarError, "#/type"),
        ({"properties": {"a": {"minimum": "x"}}}, GrammarError, "#/properties/a/minimum"),
        ({"pattern": "a("}, GrammarError, r"invalid pattern 'a\('"),
        ('{"type":\n "string",}', GrammarError, "line 2 column 11"),
        ("no/such/file.json", GrammarError, "cannot read a schema"),
        ({"$ref": "http://example.com/schema"}, GrammarError, "does not contain"),
        ({"$ref": "#/$defs/missing"}, GrammarError, "does not contain"),
        ({"default": {1}}, GrammarError, "not JSON"),
        ({1: 2}, GrammarError, "member name 1 is not a string"),
        ({"const": float("nan")}, GrammarError, "not JSON"),
        ({"enum": ["\ud800"]}, GrammarError, "surrogate"),
        ({"$schema": 3}, GrammarError, r"#/\$schema"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, GrammarError, "Draft 3"),
        ("[1]", GrammarError, "cannot read a schema"),
        ("\0", GrammarError, "cannot read a schema"),
        (b"{}", GrammarError, "no JSON Schema"),
        (nested(300), GrammarError, "too deeply"),
        (nested(5000), GrammarError, "not JSON"),
        ({"$ref": "#"}, ContradictionError, "recursion never ends"),
        ({"$ref": "file:///etc/passwd"}, GrammarError, "does not contain"),
        (False, ContradictionError, "false"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, ContradictionError, "greater"),
        ({"enum": []}, ContradictionError, "no value"),
        (print, GrammarError, "function"),
    ],
    ids=lambda value: value if isinstance(value, str) and "\0" not in value else "",
)
def test_faulty_schemas(schema: Any, error: type[GrammarError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        JsonSchema(schema)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"properties": {"a": {}}, "minProperties": 1}, '{"a": 1}'),
        ({"properties": {"a": {}, "b": {}}, "maxProperties": 2}, '{"a": 1, "b": 2}'),
        ({"multipleOf": 0.25}, "1.5"),
        ({"multipleOf": 0.02}, "0.5"),
        ({"pattern": "^[a&&b]$"}, '"&"'),
        ({"pattern": "^[[a]$"}, '"["'),
        ({"pattern": r"^[\w[:x]+$"}, '"[:"'),
        ({"pattern": "^[+--]$"}, '","'),
        ({"patternProperties": {"^[~~a]$": {"type": "null"}}, "additionalProperties": False}, '{"~": null}'),
        ({"const": 10**400}, str(10**400)),
        ({"type": "integer", "minimum": 10**30}, str(10**30)),
        (
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "definitions": {"a": {"type": "integer"}},
                "properties": {"n": {"$ref": "#/definitions/a", "type": "string"}},
            },
            '{"n": 1}',
        ),
        ({"$schema": "http://unknown.example/draft", "type": "integer"}, "1"),
    ],
    ids=json.dumps,
)
def test_what_the_engine_misreads_is_still_in_the_language(schema: dict[str, Any], text: str) -> None:
    assert JsonSchema(schema).matches(text)


@pytest.mark.parametrize("pattern", [r"^\[[0-9]+\]$", r"^[\w-]+$", r"^[\[\]&]+$", "^[a-z-]$"])
def test_classes_without_set_notation_stay_in_the_mask(pattern: str) -> None:
    assert JsonSchema({"type": "string", "pattern": pattern}).final_checks == ()


def test_bounds_that_the_engine_cannot_hold_cost_only_themselves() -> None:
    constraint = JsonSchema({"type": "integer", "minimum": 10**30, "not": {"const": 3}})
    assert set(constraint.final_checks) == {"#/minimum", "#/not"}
    assert not constraint.matcher(Vocabulary.of_bytes()).consume(b'"')


def test_texts_must_be_texts() -> None:
    constraint = JsonSchema(True)
    assert not constraint.matches('"\ud800"')
    for text in ('"\ud800"', '"\udcff"', b"1", None, 3):
        with pytest.raises(ParseError) as caught:
            constraint.parse(text)  # type: ignore[arg-type]
        assert caught.value.hint
    with pytest.raises(ParseError, match="must be a str"):
        constraint.matches(None)  # type: ignore[arg-type]


def test_a_value_nested_too_deeply_is_not_in_the_language() -> None:
    tree = JsonSchema(
        {"$ref": "#/$defs/t", "$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}}
    )
    text = "[" * 500 + "]" * 500
    assert not tree.matches(text)
    with pytest.raises(ParseError, match="too deeply"):
        tree.parse(text)


def test_an_exception_of_a_validator_names_the_text() -> None:
    class Inverse(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def invert(cls, n: int) -> int:
            return 1 // n

    with pytest.raises(ZeroDivisionError) as caught:
        JsonSchema(Inverse).matches('{"n": 0}')
    assert '{"n": 0}' in caught.value.__notes__[0]


def test_options_are_checked() -> None:
    with pytest.raises(GrammarError, match="whitespace"):
        JsonSchema({}, whitespace="none")  # type: ignore[arg-type]
    with pytest.raises(GrammarError, match="validator"):
        JsonSchema({}, validator="Draft99Validator")
    schema = {"items": [{"type": "null"}], "additionalItems": False}
    assert not JsonSchema(schema, validator="Draft7Validator").matches("[null, 1]")
    assert repr(JsonSchema({}, validator="Draft7Validator")) == "JsonSchema('{}', validator=Draft7Validator)"


def test_a_schema_may_be_text_or_a_file(tmp_path: Path) -> None:
    schema = {"type": "boolean"}
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema))
    assert JsonSchema(json.dumps(schema)) == JsonSchema(schema) == JsonSchema(path) == JsonSchema(str(path))


def test_recursive_schemas() -> None:
    tree = {"$ref": "#/$defs/t", "$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}}
    assert JsonSchema(tree).matches("[[], [[]]]")
    assert not JsonSchema(tree).matches("[[], 1]")


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":1}', "NaN", "-Infinity", "1e999", "[" * 100_000, "9" * 5000, "[1", b"\xff"]
)
def test_read_json_is_strict(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read_json(text)


def test_limits_raise_in_every_copy_and_the_grammar_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    constraint = JsonSchema({"type": "string", "pattern": r"^(?:\S+\s+){0,99}\S+$", "maxLength": 500})
    tight = grammars.llguidance.LLParserLimits(step_lexer_fuel=5_000, verbose_errors=False)
    monkeypatch.setattr(grammars.llguidance, "_LIMITS", tight)
    vocabulary = Vocabulary(Vocabulary.of_bytes().tokens, frozenset({256}))
    matcher, other = constraint.matcher(vocabulary), constraint.matcher(vocabulary)
    text = b'"' + b"lorem ipsum " * 20
    matcher.mask()
    with pytest.raises(MatcherError, match="gave up"):
        matcher.consume(text)
    with pytest.raises(MatcherError, match="gave up"):
        other.consume(text[:1])
    monkeypatch.undo()
    assert constraint.matcher(vocabulary).consume(text)
