"""JSON Schema on the evaluation data."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from grammars import ContradictionError, GrammarError, JsonSchema, ParseError


def test_development_schemas(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    """At least 97 % compile; no invalid value is accepted; nearly all valid ones are, as they are written."""
    cases = rows("json_schema/dev.jsonl")
    compiled = valid = accepted = 0
    for case in cases:
        try:
            constraint = JsonSchema(case["schema"], validator=case["validator"])
        except GrammarError:
            continue
        compiled += 1
        for test in case["tests"]:
            text = json.dumps(test["data"], ensure_ascii=False)
            matches = constraint.matches(text)
            valid += test["valid"]
            accepted += matches
            assert test["valid"] or not matches
            try:
                constraint.parse(text)
            except ParseError:
                assert not matches
            else:
                assert matches
    assert compiled >= 0.97 * len(cases)
    assert accepted >= 0.99 * valid


def test_json_schema_suite(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    """The validator decides as the suite demands; a schema with valid instances is no contradiction; of these at
    most 2 % are not spelled as they should be."""
    valid = refused = 0
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
            matches = constraint.matches(text)
            assert test["valid"] or not matches
            valid += test["valid"]
            refused += test["valid"] and not matches
    assert 0 < refused <= 0.02 * valid


def test_json_parsing_suite(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    """What a JSON parser must refuse is refused."""
    anything = JsonSchema(True, whitespace="any")
    cases = rows("grammar_suite/json_parse_dev.jsonl")
    assert cases
    for case in cases:
        if case["expect"] == "reject":
            text = base64.b64decode(case["bytes_b64"]) if "bytes_b64" in case else b"[" * 100_000
            assert not anything.matches(text), case["id"]
