"""Reading JSON texts strictly: one text, one value.

`json.loads` takes more than JSON and hides some of it: the last of two equal member names wins, `NaN` is a
number, `1e999` is infinite. A constraint that weighs texts by their value must not be that generous.
"""

from __future__ import annotations

import json
import math
from typing import Any


def read_json(text: str | bytes) -> Any:
    """Return the value that a JSON text spells.

    Raises
    ------
    ValueError
        If it is not JSON (RFC 8259), repeats a member name, or holds a number that Python cannot: a float
        beyond 1.8e308, an integer of more than 4300 digits. Also if it is nested too deeply to be read.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        return json.loads(text, object_pairs_hook=_members, parse_constant=_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the member {next(name for name in names if names.count(name) > 1)!r} is repeated")
    return members


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits} is out of range")
    return value
