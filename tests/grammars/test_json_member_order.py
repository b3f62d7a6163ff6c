"""Members in any order: what may follow is known at each token, by mask and by check."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from json_schemas import NAMES, SCHEMAS, VALUES, orders, some

from grammars import ContradictionError, GrammarError, JsonSchema, Matcher, Vocabulary, unpack
from grammars.json_any_order import LONGEST_NAME, MOST_PATTERNS

POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "yy": {"type": "integer"}, "z": {"type": "null"}},
    "required": ["x", "yy"],
    "additionalProperties": False,
}
OPEN = {**POINT, "additionalProperties": {"type": "boolean"}}
OBJECTS = some(
    {"type": "object"},
    properties=st.dictionaries(
        NAMES, st.sampled_from([True, {"type": "integer"}, {"type": "string"}, False])
    ),
    required=st.lists(NAMES, max_size=3, unique=True),
    additionalProperties=st.sampled_from([True, False, {"type": "null"}]),
    patternProperties=st.dictionaries(
        st.sampled_from(["^a", "x$", ".*"]), st.just({"type": "integer"}), max_size=2
    ),
    minProperties=st.integers(0, 3),
    maxProperties=st.integers(0, 3),
    anyOf=st.lists(some({}, required=st.lists(NAMES, max_size=2, unique=True)), min_size=1, max_size=2),
)


def after(constraint: JsonSchema, text: str) -> Matcher | None:
    matcher = constraint.matcher(Vocabulary.of_bytes())
    return matcher if matcher.consume(text.encode()) else None


def can_follow(constraint: JsonSchema, text: str) -> set[str]:
    """The bytes that may come after a text, without white space."""
    matcher = after(constraint, text)
    assert matcher is not None
    return {chr(byte) for byte in range(33, 127) if matcher.allows(byte)}


@pytest.mark.parametrize(
    ("schema", "text", "following"),
    [
        (POINT, "{", {'"'}),
        (POINT, '{"', {"x", "y", "z"}),
        (POINT, '{"yy":1', {",", *"0123456789"}),
        (POINT, '{"yy":1,"', {"x", "z"}),
        (POINT, '{"x":1,"yy":1,"', {"z"}),
        (POINT, '{"x":1,"z":null,"yy":1', {"}", *"0123456789"}),
        (OPEN, '{"x":1,"yy":1', {",", "}", *"0123456789"}),
        ({**POINT, "maxProperties": 2}, '{"', {"x", "y"}),
        ({**OPEN, "maxProperties": 3}, '{"k":true,"', {"x", "y"}),
        ({"type": "object", "minProperties": 1}, "{", {'"'}),
        ({"type": "object", "maxProperties": 0}, "{", {"}"}),
        ({"const": {"b": 1, "a": {}}}, '{"a":{', {"}"}),
        ({"const": {"b": 1, "a": {}}}, '{"a":{}', {","}),
        ({"type": "array", "items": POINT}, '[{"x":1,"yy":0},{"', {"x", "y", "z"}),
    ],
    ids=str,
)
def test_what_may_follow(schema: Any, text: str, following: set[str]) -> None:
    assert can_follow(JsonSchema(schema), text) == following


def test_names_that_occurred_may_not_be_completed() -> None:
    constraint = JsonSchema(OPEN)
    assert after(constraint, '{"x":1,"x') is not None  # as in "xx"
    assert after(constraint, '{"x":1,"x"') is None
    assert after(constraint, '{"k":true,"\\u006b"') is None
    assert after(JsonSchema(True), '[{"a":1},{"a":{"a":1,"b":{"a":1}}}') is not None
    assert after(JsonSchema(True), '{"a":{"b":1,"b"') is None


CIRCLE = {"properties": {"kind": {"const": "circle"}, "r": {"type": "integer"}}, "required": ["kind", "r"]}
POINTS = {"properties": {"kind": {"enum": ["point", 0]}, "r": {"type": "null"}}, "required": ["kind"]}


@pytest.mark.parametrize(
    ("text", "following"),
    [
        ('{"kind":"point"', {",", "}"}),
        ('{"kind":"circle"', {","}),
        ('{"kind":"c\\u0069rcle"', None),  # escaped without need
        ('{"kind":0', {",", "}"}),
        ('{"r":null,"kind":"', {"p"}),
        ('{"r":null', {","}),
        ('{"x":[],"r":1,"kind":"circle"', {",", "}"}),
    ],
)
def test_a_value_tells_alternatives_apart(text: str, following: set[str] | None) -> None:
    """Which of them demands what is known before the end, so that nothing is left for it."""
    constraint = JsonSchema({"type": "object", "oneOf": [CIRCLE, POINTS]})
    assert "members that one alternative demands" not in constraint.final_checks
    if following is None:
        assert after(constraint, text) is None
    else:
        assert can_follow(constraint, text) == following


def test_alternatives_that_no_value_tells_apart_are_left_to_the_end() -> None:
    schema = {
        "anyOf": [{**CIRCLE, "required": ["r"]}, {**CIRCLE, "required": ["kind", "x"]}],
        "type": "object",
    }
    constraint = JsonSchema(schema)
    assert "members that one alternative demands" in constraint.final_checks
    for value in orders({"kind": "circle", "x": 1}):
        assert constraint.matches(json.dumps(value))
    assert not constraint.matches('{"x":1}')


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (
            {"properties": {"next": {"$ref": "#"}, "n": {"type": "null"}}, "required": ["n"], "type": "object"},
            '{"next":{"n":null},"n":null}',
            '{"next":{"next":null},"n":null}',
        ),
        (
            {"allOf": [{"$ref": "#/$defs/a"}, {"required": ["y"]}], "properties": {"x": {"minimum": 3}},
             "$defs": {"a": {"properties": {"y": {"type": "null"}, "x": {"type": "integer"}}, "type": "object"}}},
            '{"y":null,"x":3}',
            '{"y":null,"x":2}',
        ),
        (
            {"$id": "http://a.example/s", "$defs": {"n": {"$id": "n", "$defs": {"m": {"const": 1}}}},
             "additionalProperties": {"$ref": "n#/$defs/m"}, "type": "object"},
            '{"b":1,"a":1}',
            '{"b":1,"a":2}',
        ),
        ({"anyOf": [{"const": {"a": index}} for index in range(300)]}, '{"a":299}', '{"a":300}'),
    ],
)  # fmt: skip
def test_references_and_alternatives(schema: Any, good: str, bad: str) -> None:
    constraint = JsonSchema(schema)
    assert constraint.matches(good)
    assert after(constraint, bad) is None


def test_an_alternative_that_is_the_schema_itself_adds_nothing() -> None:
    constraint = JsonSchema({"anyOf": [{"$ref": "#"}, {"type": "null"}]})
    assert after(constraint, "null") is not None
    assert after(constraint, "1") is None


def test_all_orders_of_all_members() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "ab": {"type": "null"}},
        "patternProperties": {"^x-": {"type": "boolean"}},
        "additionalProperties": {"type": "array"},
        "required": ["b", "q"],
        "minProperties": 4,
    }
    constraint = JsonSchema(schema)
    for value in orders({"a": 1, "b": "", "x-1": True, "q": [], "ab": None}):
        assert constraint.matches(json.dumps(value))
    for value in orders({"a": 1, "b": "", "x-1": 1, "q": []}):
        assert after(constraint, json.dumps(value)) is None  # the mask sees it
    assert constraint.final_checks == ()


def test_the_order_of_the_schema_is_an_option() -> None:
    ordered = JsonSchema(POINT, order="schema")
    assert ordered.matches('{"x": 1, "yy": 2}')
    assert not ordered.matches('{"yy": 2, "x": 1}')
    assert ordered != JsonSchema(POINT) == JsonSchema(POINT, order="free")
    assert repr(ordered).endswith(", order='schema')")
    assert not JsonSchema(dict[str, int]).matches('{"a": 1, "a": 2}')
    with pytest.raises(GrammarError, match="order"):
        JsonSchema(POINT, order="sorted")  # type: ignore[arg-type]


@pytest.mark.parametrize("additional", [False, True, {"type": "null"}], ids=str)
@pytest.mark.parametrize("count", [3, MOST_PATTERNS + 1, 500])
def test_many_members(count: int, additional: Any) -> None:
    """Objects with more names, or longer ones, than patterns can tell apart have the same language."""
    names = [f"{index:x}-{'member' * (index % 5)}" for index in range(count)] + ["n" * (LONGEST_NAME + 9)]
    schema = {
        "type": "object",
        "properties": {name: {"maximum": index, "type": "integer"} for index, name in enumerate(names)},
        "additionalProperties": additional,
        "required": [names[-1]],
    }
    constraint = JsonSchema(schema)
    value = {name: index for index, name in enumerate(names)}
    items = list(value.items())
    random.Random(count).shuffle(items)
    assert constraint.matches(json.dumps(dict(items)))
    assert not constraint.matches(json.dumps(dict(items[: count // 2]) | {names[0]: count}))
    assert constraint.matches(json.dumps({names[-1]: 0, "k": None})) == (additional is not False)
    assert not constraint.matches(json.dumps({names[0]: 0, "n" * (LONGEST_NAME + 8): None}))


@settings(max_examples=60, deadline=None)
@given(OBJECTS, st.lists(VALUES.filter(lambda value: isinstance(value, dict)), min_size=3, max_size=3))
def test_objects_are_those_of_the_validator(schema: Any, values: list[Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    try:
        constraint = JsonSchema(schema)
    except ContradictionError:
        assert not any(map(validator.is_valid, values))
        return
    named = constraint.final_checks
    for value in values:
        for order in orders(value):
            text = json.dumps(order, ensure_ascii=False)
            assert constraint.matches(text) == validator.is_valid(value)
            matcher = after(constraint, text)
            assert named or validator.is_valid(value) or matcher is None or not matcher.is_accepting()


@settings(max_examples=25, deadline=None)
@given(SCHEMAS | OBJECTS, VALUES, st.data())
def test_masks_are_checks(schema: Any, value: Any, data: st.DataObject) -> None:
    """Along a walk, the mask holds the tokens that may be read, which are those whose bytes may be."""
    try:
        constraint = JsonSchema(schema)
    except ContradictionError:
        return
    texts = [
        json.dumps(value, ensure_ascii=False),
        '{"a":1,"b":[{"ax":null}],"a":"c"},"b"}',
        '"},{"ax":{}',
        "\\u0061",
    ]
    pieces = {
        text[i:j] for text in texts for i in range(len(text)) for j in range(i + 1, min(i + 6, len(text)) + 1)
    }
    tokens = [piece.encode() for piece in sorted(pieces)] + [bytes([byte]) for byte in b'{}[],:"abx \\1']
    words = Vocabulary((*tokens, None), frozenset({len(tokens)}))
    matcher = constraint.matcher(words)
    text = b""
    for _ in range(6):
        allowed = unpack(matcher.mask(), words.size)
        for token, read in enumerate(tokens):
            assert allowed[token] == matcher.allows(token) == matcher.fork().consume(read), (text, read)
            assert (
                allowed[token] == (after(constraint, (text + read).decode("latin-1")) is not None)
                or not read.isascii()
            )
        choices = allowed.nonzero()[0].tolist()
        if not choices:
            return
        token = data.draw(st.sampled_from(choices))
        assert matcher.advance(token)
        text += tokens[token]


def shuffled(value: Any, source: random.Random) -> Any:
    """The value with the members of its objects in random order."""
    if isinstance(value, dict):
        items = [(name, shuffled(member, source)) for name, member in value.items()]
        source.shuffle(items)
        return dict(items)
    return [shuffled(item, source) for item in value] if isinstance(value, list) else value


def test_development_data_in_any_order(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    source = random.Random(0)
    for case in rows("json_schema/dev.jsonl")[::8]:
        try:
            constraint = JsonSchema(case["schema"], validator=case["validator"])
        except GrammarError:
            continue
        for test in case["tests"]:
            matches = constraint.matches(json.dumps(test["data"], ensure_ascii=False))
            text = json.dumps(shuffled(test["data"], source), ensure_ascii=False)
            assert constraint.matches(text) == matches
            assert not matches or test["valid"]
