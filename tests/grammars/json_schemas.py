"""Random JSON schemas and values, for Hypothesis."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

from hypothesis import strategies as st

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
