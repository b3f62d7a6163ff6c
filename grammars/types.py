"""Python types as constraints: `constraint_of(T)` is the set of texts that spell a T.

| type | texts | `parse` gives |
| --- | --- | --- |
| `str` | every text, as it is (no quotes) | the text |
| `Literal`, `Enum` | the bare values; those that are no strings in JSON: `7`, `true` | the value, member |
| `int`, `float`, `bool`, `None` | JSON spelling: `-12`, `1.5e3`, `true`, `null` | the value |
| anything else that pydantic knows | its JSON | an instance |

The last row covers list, tuple, dict, Optional, Union, dataclasses, `TypedDict`, pydantic models and more.
Inside JSON, strings are quoted as JSON demands: `Literal["a"]` has the text `a`, `Literal["a"] | None` the
texts `"a"` and `null`. A float may be spelled as an integer (`3`), an int may not be spelled as a float
(`3.0`) and may have up to 4300 digits, Python's own limit.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin

from grammars.algebra import AnyText
from grammars.choice import Choice
from grammars.constraint import Constraint
from grammars.errors import GrammarError
from grammars.json_schema import JsonSchema


def constraint_of(type_: Any) -> Constraint:
    """Return the constraint that a Python type means; a `Constraint` means itself.

    Raises
    ------
    GrammarError
        If it is no type, or a type that has no text form.
    """
    if isinstance(type_, Constraint):
        return type_
    try:
        return _cached(type_)
    except TypeError:  # the type holds something unhashable, such as a pydantic Field
        return _build(type_)


def _build(type_: Any) -> Constraint:
    if type_ is str:
        return AnyText()
    if get_origin(type_) is Literal:
        return _choice(type_, get_args(type_))
    if isinstance(type_, type) and issubclass(type_, enum.Enum):
        return _choice(type_, type_)
    if isinstance(type_, type) and issubclass(type_, Constraint):
        raise GrammarError(
            f"{type_!r} is a class of constraints", hint="pass a constraint, such as Regex('a+')"
        )
    if isinstance(type_, (str, bytes, int, float, list, tuple, dict, set)):
        raise GrammarError(
            f"{type_!r} is a value, not a type",
            hint="use Choice([...]) for options, JsonSchema({...}) for a schema, Regex(...) for a pattern",
        )
    return JsonSchema(type_)


_cached = lru_cache(maxsize=256, typed=True)(_build)


def _choice(type_: Any, values: Iterable[Any]) -> Choice:
    """Return the choice of the texts of `values`, members of an Enum or arguments of a Literal."""
    members = list(dict.fromkeys((type(value), value) for value in values))
    texts: dict[str, Any] = {}
    for _, member in members:
        text = _text(type_, member.value if isinstance(member, enum.Enum) else member)
        if text in texts:
            raise GrammarError(
                f"{type_!r}: {texts[text]!r} and {member!r} have the same text {text!r}",
                hint="make the values differ as text",
            )
        texts[text] = member
    if not texts:
        raise GrammarError(f"{type_!r} has no members", hint="an empty Enum has no text")
    return Choice(list(texts), list(texts.values()))


def _text(type_: Any, value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    raise GrammarError(
        f"{type_!r}: the value {value!r} has no text",
        hint="values must be strings, numbers, booleans or None; an Enum may keep other data in attributes",
    )
