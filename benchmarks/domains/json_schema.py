"""JSON Schema: write a document that a schema from the wild admits."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import jsonschema

from benchmarks.common import data_rows
from benchmarks.domains.case import Case, Task, Verdict, few_shot, spread
from grammars import JsonSchema

INSTRUCTION = "Each JSON document is valid under the JSON schema above it."
EXAMPLES = (
    (
        '{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}',
        '{"name": "Ada", "age": 36}',
    ),
    (
        '{"type": "object", "properties": {"tags": {"type": "array", "items": {"enum": ["new", "hot"]}}, '
        '"price": {"type": "number", "minimum": 0}}, "required": ["price"]}',
        '{"tags": ["hot"], "price": 9.5}',
    ),
)
LONGEST = 1500
"""Characters of the longest schemas that are asked, about three quarters of all."""


def cases(count: int) -> list[Case]:
    rows = [r for r in data_rows("json_schema/dev.jsonl") if len(json.dumps(r["schema"])) <= LONGEST]
    return [case(row["id"], row["schema"], row["validator"]) for row in spread(rows, count)]


def case(id_: str, schema: Any, validator: str) -> Case:
    prompt = few_shot(INSTRUCTION, ("Schema", "Document"), EXAMPLES, json.dumps(schema))
    constraint = partial(JsonSchema, schema, validator=validator)
    return Case(id_, prompt, constraint, partial(judge, getattr(jsonschema, validator)(schema)))


def judge(validator: Any, text: str) -> Verdict:
    """Valid, and right, is JSON that the validator accepts."""
    try:
        valid = bool(validator.is_valid(json.loads(text)))
    except ValueError:
        valid = False
    return Verdict(valid, float(valid))


TASK = Task(cases, max_tokens=192, score="valid")
