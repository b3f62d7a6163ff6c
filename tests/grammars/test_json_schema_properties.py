"""Random schemas and values: the language is what the validator says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st
from json_schemas import SCHEMAS, VALUES, orders

from grammars import ContradictionError, JsonSchema, Vocabulary


def text_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@settings(max_examples=300, deadline=None)
@given(SCHEMAS, st.lists(VALUES, min_size=5, max_size=10), st.sampled_from(["free", "schema"]))
def test_the_validator_decides(schema: Any, values: list[Any], order: Any) -> None:
    """No valid value is rejected in any order (or in each, if the schema orders), no invalid one accepted, no
    contradiction invented; and what the matcher lets pass wrongly is named in `final_checks`.
    """
    some_or_all = all if order == "free" else any
    validator = jsonschema.Draft202012Validator(schema)
    try:
        constraint = JsonSchema(schema, order=order)
    except ContradictionError:
        assert not any(map(validator.is_valid, values))
        return
    named = set(constraint.final_checks) - {"member names are unique"}
    for value in values:
        text = text_of(value)
        if validator.is_valid(value):
            assert some_or_all(constraint.matches(text_of(value)) for value in orders(value))
        else:
            assert not constraint.matches(text)
            matcher = constraint.matcher(Vocabulary.of_bytes())
            assert named or not (matcher.consume(text.encode()) and matcher.is_accepting())
