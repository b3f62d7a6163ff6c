"""JSON Schema: the language, the final checks, the errors, and the evaluation data."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
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
        ({"enum": [None, {"b": 1, "a": [2]}]}, ["null", '{"b": 1, "a":[2]}'], ['{"a":[2],"b":1}']),
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
        ({"default": object()}, GrammarError, "not JSON"),
        (False, ContradictionError, "false"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, ContradictionError, "greater"),
        ({"enum": []}, ContradictionError, "no value"),
        (lambda: None, GrammarError, "function"),
    ],
    ids=str,
)
def test_faulty_schemas(schema: Any, error: type[GrammarError], message: str) -> None:
    with pytest.raises(error, match=message):
        JsonSchema(schema)


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


def in_schema_order(value: Any, schema: Any, root: Any) -> Any:
    """Put the members of `value` into the order of the schema's properties, as the constraint spells them."""
    while isinstance(schema, dict) and str(schema.get("$ref", "")).startswith("#/"):
        target = root
        for part in schema["$ref"][2:].split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        schema = target
    schema = schema if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        order = [*properties, *schema.get("required", [])]
        names = sorted(value, key=lambda name: order.index(name) if name in order else len(order))
        other = schema.get("additionalProperties")
        return {name: in_schema_order(value[name], properties.get(name, other), root) for name in names}
    if isinstance(value, list):
        return [in_schema_order(item, schema.get("items"), root) for item in value]
    return value


def test_development_schemas(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    """At least 97 % compile; no invalid value is accepted; nearly all valid ones are, up to the member
    order."""
    cases = rows("json_schema/dev.jsonl")[::3]
    compiled = valid = accepted = 0
    for case in cases:
        try:
            constraint = JsonSchema(case["schema"], validator=case["validator"])
        except GrammarError:
            continue
        compiled += 1
        for test in case["tests"]:
            value = in_schema_order(test["data"], case["schema"], case["schema"])
            matches = constraint.matches(json.dumps(value, ensure_ascii=False))
            valid += test["valid"]
            accepted += matches
            assert test["valid"] or not matches
    assert compiled >= 0.97 * len(cases)
    assert accepted >= 0.95 * valid


def test_json_schema_suite(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    """The validator decides as the suite demands, and a schema with valid instances is no contradiction."""
    dialects = {"draft7": "Draft7Validator", "draft2019-09": "Draft201909Validator"}
    for case in rows("grammar_suite/json_schema_suite_dev.jsonl"):
        if case["optional"] or case["needs_remote"] or case["file"] in ("vocabulary.json", "pattern.json"):
            continue
        try:
            constraint = JsonSchema(
                case["schema"], validator=dialects.get(case["draft"], "Draft202012Validator")
            )
        except ContradictionError:
            assert not any(test["valid"] for test in case["tests"])
            continue
        for test in case["tests"]:
            text = json.dumps(test["data"], ensure_ascii=False)
            assert constraint.accepts(text.encode()) == test["valid"]
            assert test["valid"] or not constraint.matches(text)


def test_json_parsing_suite(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    """What a JSON parser must refuse is refused."""
    anything = JsonSchema(True, whitespace="any")
    cases = rows("grammar_suite/json_parse_dev.jsonl")
    assert cases
    for case in cases:
        if case["expect"] == "reject":
            text = base64.b64decode(case["bytes_b64"]) if "bytes_b64" in case else b"[" * 100_000
            assert not anything.matches(text), case["id"]
