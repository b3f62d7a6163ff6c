"""JSON Schema on the evaluation data."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from grammars import ContradictionError, GrammarError, JsonSchema, ParseError


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
    cases = rows("json_schema/dev.jsonl")
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
            try:
                constraint.parse(json.dumps(value, ensure_ascii=False))
            except ParseError:
                assert not matches
            else:
                assert matches
    assert compiled >= 0.97 * len(cases)
    assert accepted >= 0.99 * valid


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
