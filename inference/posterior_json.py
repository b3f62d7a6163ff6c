"""A posterior as plain JSON values, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter
from pydantic_core import to_json

from inference.diagnostics import Cost, Step
from inference.record import Record
from inference.report import SiteReport
from inference.sample import Sample
from ppl.errors import InvalidArgument
from ppl.fiber import Raised
from ppl.trace import Address, Choice, Trace

if TYPE_CHECKING:
    from inference.posterior import Posterior


def to_plain(posterior: Posterior[Any]) -> dict[str, Any]:
    """Return everything but targets and parsers as plain JSON values.

    Raises
    ------
    InvalidArgument
        If a value has no JSON form.
    """
    return {
        "format": 1,
        "method": posterior.method,
        "seed": posterior.seed,
        "log_evidence": _finite_or_none(posterior.log_evidence),
        "no_survivors": posterior.no_survivors,
        "particles": posterior.particles,
        "chains": posterior.chains,
        "samples": [_of_sample(sample) for sample in posterior.samples],
        "steps": [asdict(s) | {"log_increment": _finite_or_none(s.log_increment)} for s in posterior.steps],
        "cost": asdict(posterior.cost),
        "sites": [asdict(site) for site in posterior.sites],
        "record": None if posterior.record is None else posterior.record.to_dict(),
    }


def from_plain(data: dict[str, Any], type_: Any = None) -> dict[str, Any]:
    """Return the arguments of the `Posterior` that `to_plain` described, its values validated as `type_` if given."""
    convert = TypeAdapter(type_).validate_python if type_ is not None else _unchanged
    return {
        "samples": [_sample(described, convert) for described in data["samples"]],
        "log_evidence": _or_minus_inf(data["log_evidence"]),
        "method": data["method"],
        "seed": data["seed"],
        "steps": [_step(described) for described in data["steps"]],
        "cost": Cost(**data["cost"]),
        "no_survivors": data["no_survivors"],
        "sites": [SiteReport.from_dict(site) for site in data.get("sites", ())],
        "record": None if data.get("record") is None else Record.from_dict(data["record"]),
        "particles": data.get("particles", 0),
        "chains": data.get("chains"),
    }


def _of_sample(sample: Sample[Any]) -> dict[str, Any]:
    choices = [{"address": asdict(c.address), "outcome": _jsonable(c.outcome)} for c in sample.trace]
    return {
        "value": _jsonable(sample.value),
        "log_weight": sample.log_weight,
        "place": sample.place,
        "trace": choices,
    }


def _sample(described: dict[str, Any], convert: Callable[[Any], Any]) -> Sample[Any]:
    choices = [Choice(Address(**c["address"]), None, c["outcome"]) for c in described["trace"]]
    value = convert(described["value"])
    return Sample(value, described["log_weight"], Trace(choices), described.get("place", -1))


def _step(described: dict[str, Any]) -> Step:
    increment, ancestors = _or_minus_inf(described["log_increment"]), _tuple(described["ancestors"])
    return Step(**described | {"log_increment": increment, "ancestors": ancestors})


def _jsonable(value: Any) -> Any:
    """Return a value as plain JSON, infinite numbers as strings; a memoised exception as its text."""
    if isinstance(value, Raised):
        return repr(value.error)
    try:
        return json.loads(to_json(value, inf_nan_mode="strings"))
    except (ValueError, TypeError) as error:
        text = repr(value)
        shown = text if len(text) <= 100 else f"{text[:99]}…"
        raise InvalidArgument(
            f"a value of this posterior has no JSON form: {shown}: {error}",
            hint="return str, numbers, lists, dicts, dataclasses or pydantic models from the program",
        ) from error


def _unchanged(value: Any) -> Any:
    return value


def _finite_or_none(x: float) -> float | None:
    return x if np.isfinite(x) else None


def _or_minus_inf(x: float | None) -> float:
    return -np.inf if x is None else x


def _tuple(xs: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if xs is None else tuple(xs)
