"""Random schemas and values: the language is what the validator says, up to the order of members."""

from __future__ import annotations

import json
from itertools import permutations, product
from typing import Any

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import ContradictionError, JsonSchema, Vocabulary

NUMBERS = st.sampled_from([-2.25, -1, 0, 0.5, 1, 1.5, 2, 2.5, 3, 10, 10.75])
WORDS = st.sampled_from(["", "a", "b", "ab", "aa", "abc", "é", "[", "&"])
NAMES = st.sampled_from(["a", "b", "c", "ax"])
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=4,
)
COUNTS = st.integers(0, 3)


def some(fixed: dict[str, Any], /, **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    always = {key: st.just(value) for key, value in fixed.items()}
    return st.fixed_dictionaries(always, optional=optional)


def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        some(
            {"type": "array"},
            items=inner,
            prefixItems=several,
            minItems=COUNTS,
            maxItems=COUNTS,
            uniqueItems=st.booleans(),
            contains=inner,
        ),
        some(
            {"type": "object"},
            properties=st.dictionaries(NAMES, inner, max_size=3),
            required=st.lists(NAMES, max_size=2, unique=True),
            additionalProperties=st.booleans() | inner,
            patternProperties=st.dictionaries(st.sampled_from(["^a", "x", "^[b&&c]"]), inner, max_size=1),
            minProperties=COUNTS,
            maxProperties=COUNTS,
            dependentRequired=st.just({"a": ["b"]}),
        ),
        some({}, anyOf=several, properties=st.dictionaries(NAMES, inner, max_size=2)),
        some({}, allOf=several),
        some({}, oneOf=several),
        st.builds(lambda schema: {"not": schema}, inner),
    )


LEAVES = st.one_of(
    st.sampled_from([True, {}, {"type": "null"}, {"type": ["boolean", "string"]}]),
    st.builds(lambda value: {"const": value}, VALUES),
    st.builds(lambda values: {"enum": values}, st.lists(VALUES, min_size=1, max_size=3)),
    some(
        {},
        type=st.sampled_from(["integer", "number"]),
        minimum=NUMBERS,
        maximum=NUMBERS,
        exclusiveMinimum=NUMBERS,
        multipleOf=st.sampled_from([0.25, 0.5, 0.1, 0.04, 1, 2, 3, 2.5]),
    ),
    some(
        {},
        type=st.just("string"),
        minLength=COUNTS,
        maxLength=COUNTS,
        pattern=st.sampled_from(["a", "^a", "b$", "^[ab]{1,2}$", "^(a|ab)$", "^[[&&]", "."]),
    ),
)
SCHEMAS = st.recursive(LEAVES, extend, max_leaves=4)


def orders(value: Any) -> list[Any]:
    """All orders of the members of a value."""
    if isinstance(value, list):
        return [list(items) for items in product(*map(orders, value))]
    if isinstance(value, dict):
        choices = product(*(orders(member) for member in value.values()))
        return [
            dict(order) for members in choices for order in permutations(zip(value, members, strict=True))
        ]
    return [value]


@settings(max_examples=400, deadline=None)
@given(SCHEMAS, st.lists(VALUES, min_size=5, max_size=10))
def test_the_validator_decides(schema: Any, values: list[Any]) -> None:
    """No valid value is rejected in every order, no invalid one accepted, no contradiction invented; and what
    the matcher lets pass wrongly is named in `final_checks`.
    """
    validator = jsonschema.Draft202012Validator(schema)
    try:
        constraint = JsonSchema(schema)
    except ContradictionError:
        assert not any(map(validator.is_valid, values))
        return
    named = set(constraint.final_checks) - {"member names are unique"}
    for value in values:
        text = json.dumps(value, ensure_ascii=False)
        if validator.is_valid(value):
            assert any(constraint.matches(json.dumps(order, ensure_ascii=False)) for order in orders(value))
        else:
            assert not constraint.matches(text)
            matcher = constraint.matcher(Vocabulary.of_bytes())
            assert named or not (matcher.consume(text.encode()) and matcher.is_accepting())
