"""Python types as constraints."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, Field

from grammars import AnyText, Choice, Constraint, GrammarError, ParseError, Regex, constraint_of


class Colour(enum.Enum):
    RED = "red"
    SEVEN = 7
    NONE = None


class Point(BaseModel):
    x: int


@dataclasses.dataclass
class Node:
    value: int
    next: Node | None = None


class Movie(TypedDict):
    name: str
    year: NotRequired[int]


@pytest.mark.parametrize(
    ("type_", "text", "value", "wrong"),
    [
        (str, "any 'text' {", "any 'text' {", None),
        (int, "-12", -12, "1.0"),
        (int, "9" * 300, int("9" * 300), "0x1"),
        (float, "1.5e3", 1500.0, "inf"),
        (float, "3", 3.0, "1e999"),
        (bool, "true", True, "True"),
        (None, "null", None, "None"),
        (Literal["a", 1, True, None], "a", "a", '"a"'),
        (Literal["a", 1, True, None], "1", 1, "2"),
        (Literal["a", 1, True, None], "true", True, "True"),
        (Literal["", "a"], "", "", "b"),
        (Colour, "red", Colour.RED, "RED"),
        (Colour, "7", Colour.SEVEN, "8"),
        (Colour, "null", Colour.NONE, ""),
        (list[int], "[1, 2]", [1, 2], "[1.5]"),
        (tuple[int, str], '[1,"a"]', (1, "a"), '["a", 1]'),
        (dict[str, bool], '{"a": true}', {"a": True}, '{"a": 1}'),
        (dict[int, int], '{"1": 2}', {1: 2}, '{"a": 2}'),
        (int | None, "null", None, '"1"'),
        (Literal["a"] | None, '"a"', "a", "a"),
        (int | str, '"3"', "3", "three"),
        (Point, '{"x": 1}', Point(x=1), '{"x": "1"}'),
        (Node, '{"value": 1, "next": {"value": 2}}', Node(1, Node(2)), '{"next": null, "value": 1}'),
        (Movie, '{"name": "M"}', {"name": "M"}, '{"year": 1931}'),
        (list[Movie], '[{"name": "M", "year": 1931}]', [{"name": "M", "year": 1931}], '[{"year": 1931}]'),
        (Annotated[int, Field(ge=3)], "3", 3, "2"),
        (datetime.date, '"2024-02-29"', datetime.date(2024, 2, 29), '"2023-02-29"'),
        (set[int], "[1, 2]", {1, 2}, "[1, 1]"),
        (Any, '{"a": []}', {"a": []}, "{"),
    ],
    ids=str,
)
def test_types(type_: Any, text: str, value: Any, wrong: str | None) -> None:
    constraint = constraint_of(type_)
    assert constraint == constraint_of(type_)
    assert hash(constraint) == hash(constraint_of(type_))
    assert constraint.matches(text)
    parsed = constraint.parse(text)
    assert parsed == value
    assert type(parsed) is type(value)
    if wrong is not None:
        assert not constraint.matches(wrong)
        with pytest.raises(ParseError):
            constraint.parse(wrong)


def test_a_constraint_means_itself() -> None:
    constraint = Regex("a")
    assert constraint_of(constraint) is constraint
    assert constraint_of(str) == AnyText()
    assert isinstance(constraint_of(Colour), Choice)


@pytest.mark.parametrize(
    "type_",
    [3, "x", ["a"], {"type": "string"}, object(), Regex, len, Literal[1, "1"], enum.Enum("Empty", [])],
    ids=str,
)
def test_what_is_no_type_is_refused_with_a_hint(type_: Any) -> None:
    with pytest.raises(GrammarError) as caught:
        constraint_of(type_)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "values"), [([], None), (["a", "a"], None), ("abc", None), ([1], None), (["a"], [1, 2])]
)
def test_faulty_choices(options: Any, values: Any) -> None:
    with pytest.raises(GrammarError):
        Choice(options, values)


def test_constraints_are_values() -> None:
    constraints: list[Constraint] = [Choice(["a", "b"]), constraint_of(list[int]), Regex("a"), AnyText()]
    assert len(set(constraints)) == len(constraints)
    assert Choice(["a"]) == Choice(["a"])
    assert Choice(["a"]) != Choice(["a"], [1])
