"""Python types as constraints."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NewType, NotRequired, TypedDict, TypeVar
from uuid import UUID

import pytest
from pydantic import AfterValidator, AliasPath, BaseModel, Field

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


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(str, enum.Enum):  # noqa: UP042
    A = "a"


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    item: T


class Aliased(BaseModel):
    a: int = Field(alias="A")


class Dog(BaseModel):
    kind: Literal["dog"]
    age: int


class Cat(BaseModel):
    kind: Literal["cat"]
    name: str


class Pet(BaseModel):
    pet: Dog | Cat = Field(discriminator="kind")


@dataclasses.dataclass(slots=True, kw_only=True)
class Slots:
    a: int
    b: str = "x"


class Partial(TypedDict, total=False):
    a: int
    b: str


class Bounded(BaseModel):
    n: Annotated[int, Field(gt=1, multiple_of=2)]
    s: Annotated[str, Field(pattern="^a", max_length=2)]


class Plain:
    pass


class Forward(BaseModel):
    x: Missing  # type: ignore[name-defined]  # noqa: F821


class Tupled(enum.Enum):
    A = (1, 2)


class Path(BaseModel):
    a: int = Field(validation_alias=AliasPath("x", 0))


def name(value: Any) -> str:
    """A stable id: types by name, values in short, nothing with an address."""
    if isinstance(value, type) or callable(value):
        return getattr(value, "__name__", None) or str(value)
    return "object" if type(value) is object else str(value)[:30]


def test_what_only_pydantic_can_tell_is_a_final_check() -> None:
    for type_ in (list[Tupled], Path, set[int], datetime.date, dict[int, int]):
        assert any(check.startswith("pydantic") for check in constraint_of(type_).final_checks)
    for type_ in (list[Level], Aliased, Pet, Slots, Partial, Bounded, Box[int]):
        assert constraint_of(type_).final_checks == ()
    checks = constraint_of(Annotated[int, AfterValidator(lambda n: n)]).final_checks
    assert "0x" not in "".join(checks)


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
        (frozenset[str], '["a"]', frozenset({"a"}), '["a", "a"]'),
        (Decimal, "1.5", Decimal("1.5"), '"NaN"'),
        (UUID, f'"{UUID(int=5)}"', UUID(int=5), '"5"'),
        (bytes, '"é"', "é".encode(), "é"),
        (
            datetime.datetime,
            '"2024-02-29T12:00:00Z"',
            datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC),
            '"2024-02-29"',
        ),
        (datetime.timedelta, '"PT1H"', datetime.timedelta(hours=1), "3600"),
        (Level, "2", Level.HIGH, "3"),
        (list[Level], "[1]", [Level.LOW], "[3]"),
        (Word, "a", Word.A, '"a"'),
        (dict[Word, int], '{"a": 1}', {Word.A: 1}, '{"b": 1}'),
        (Box[Box[int]], '{"item": {"item": 1}}', Box[Box[int]](item=Box[int](item=1)), '{"item": 1}'),
        (Aliased, '{"A": 1}', Aliased(A=1), '{"a": 1}'),
        (
            Pet,
            '{"pet": {"kind": "dog", "age": 1}}',
            Pet(pet=Dog(kind="dog", age=1)),
            '{"pet": {"kind": "cat"}}',
        ),
        (Slots, '{"a": 1}', Slots(a=1), "{}"),
        (Partial, '{"b": "x"}', {"b": "x"}, '{"c": 1}'),
        (Bounded, '{"n": 4, "s": "ab"}', Bounded(n=4, s="ab"), '{"n": 3, "s": "ab"}'),
        (tuple[()], "[]", (), "[1]"),
        (tuple[int, ...], "[1, 2]", (1, 2), '["a"]'),
        (NewType("Id", int), "1", 1, '"1"'),
    ],
    ids=name,
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
    [
        3,
        "x",
        ["a"],
        {"type": "string"},
        object(),
        Regex,
        len,
        Literal[1, "1"],
        enum.Enum("Empty", []),
        Literal[b"a"],
        Iterable[int],
        Callable,
        type[int],
        range,
        Plain,
        Forward,
    ],
    ids=name,
)
def test_what_is_no_type_is_refused_with_a_hint(type_: Any) -> None:
    with pytest.raises(GrammarError) as caught:
        constraint_of(type_)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ([], None),
        (["a", "a"], None),
        ("abc", None),
        ([1], None),
        (["a"], [1, 2]),
        ({"a"}, None),
        (3, None),
        (["a"], 3),
        (["\ud800"], None),
        (None, None),
    ],
    ids=repr,
)
def test_faulty_choices(options: Any, values: Any) -> None:
    with pytest.raises(GrammarError) as caught:
        Choice(options, values)
    assert caught.value.hint


def test_constraints_are_values() -> None:
    constraints: list[Constraint] = [Choice(["a", "b"]), constraint_of(list[int]), Regex("a"), AnyText()]
    assert len(set(constraints)) == len(constraints)
    assert Choice(["a"]) == Choice(["a"])
    assert Choice(["a"]) != Choice(["a"], [1])
