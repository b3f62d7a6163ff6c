"""Exchange: a posterior's samples as ArviZ has them, numbers in an array (chains, draws).

ArviZ knows draws of equal weight. States of Markov chains and independent draws go over as they are. Weighted samples
are resampled systematically, as many of them: an expectation of the drawn ones is unbiased given the weighted ones,
and some noise is added. ArviZ cannot know that copies are copies, nor that particles descend from each other: the
effective sample size of what is resampled, and the standard error, are those of `posterior.ess` and
`posterior.standard_error`.

Versions 0.23 and 1.x of ArviZ take groups in different ways, and return an `InferenceData` and a `DataTree`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from numbers import Real
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from inference.diagnosis.guarantees import guarantee
from inference.errors import MissingDependency
from inference.resampling import systematic
from inference.weights import Floats
from ppl.errors import InvalidArgument
from ppl.rng import Rng, drawing_seed

if TYPE_CHECKING:
    from inference.posterior import Posterior


def to_arviz(
    posterior: Posterior[Any], fields: Mapping[str, Callable[[Any], Any]] | None = None, *, seed: int = 0
) -> Any:
    """Return what `Posterior.to_arviz` describes."""
    values = [sample.value for sample in posterior._alive()]
    if fields is None:
        fields = _numeric_fields(values[0])
    if not fields:
        raise InvalidArgument(
            f"values such as {values[0]!r} have no numbers of their own",
            hint='say which numbers: to_arviz({"length": len})',
        )
    equal = guarantee(posterior) in ("chain", "independent")
    chosen = (
        np.arange(len(values))
        if equal
        else systematic(posterior.weights, len(values), Rng(drawing_seed(seed)))
    )
    chains = posterior.chains or 1
    variables = {name: _column(name, f, values)[chosen] for name, f in fields.items()}
    group = {name: x.reshape(chains, len(values) // chains, *x.shape[1:]) for name, x in variables.items()}
    attributes = {
        "method": posterior.method,
        "seed": posterior.seed,
        "log_evidence": posterior.log_evidence,
        "weights": "equal" if equal else "resampled",
        **({} if guarantee(posterior) == "chain" else {"effective_sample_size": posterior.ess}),
    }
    return _inference_data(group, attributes)


def _inference_data(group: Mapping[str, Floats], attributes: Mapping[str, Any]) -> Any:
    try:
        import arviz
    except ImportError as error:
        raise MissingDependency(
            f"to_arviz needs ArviZ: {error}", hint="install it: pip install 'ppl[arviz]'"
        ) from error
    if int(arviz.__version__.split(".")[0]) >= 1:
        return arviz.from_dict({"posterior": group}, attrs={"posterior": attributes})
    return arviz.from_dict(posterior=group, posterior_attrs=attributes)


def _numeric_fields(value: Any) -> dict[str, Callable[[Any], Any]]:
    """Return the projections on the numbers that a value has: itself, or its fields."""
    if _is_number(value):
        return {"value": lambda v: v}
    if isinstance(value, Mapping):
        return {str(k): itemgetter(k) for k, x in value.items() if _is_number(x)}
    names: list[str] = []
    if isinstance(value, BaseModel):
        names = list(type(value).model_fields)
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    elif isinstance(value, tuple):
        names = list(getattr(value, "_fields", ()))
    return {name: attrgetter(name) for name in names if _is_number(getattr(value, name))}


def _is_number(value: Any) -> bool:
    return isinstance(value, Real)


def _column(name: str, f: Callable[[Any], Any], values: list[Any]) -> Floats:
    """Return (n, ...) the numbers of a field."""
    try:
        column = np.array([f(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidArgument(
            f"the field {name!r} is not a number, or array of one shape, for each value: {error}",
            hint="fields are functions from a value to numbers; nan where there is none",
        ) from error
    return column
