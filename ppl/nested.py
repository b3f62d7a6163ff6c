"""Nested programs: a model as a target of another program, with a way to compute it by itself.

`sample(model)` runs the model in place, as a part of the program around it. A `Nested` target means the same measure
γ over the model's values, or the normalised γ / Z, and is computed as one site: whoever runs the program gives each
of its runs an inference of its own. How, is up to `method`, which is nothing to this package but a value.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from ppl.program import Model, Program
from ppl.targets import Target

T = TypeVar("T")


@dataclass(frozen=True)
class Nested(Target[T]):
    """The measure of a model over its values, computed by itself.

    Attributes
    ----------
    program, args, kwargs:
        The model, in parts that are compared when a run is replayed.
    method:
        How it is computed.
    normalised:
        Whether the measure is divided by its mass.
    """

    program: Program[..., T]
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    method: Hashable
    normalised: bool

    @property
    def model(self) -> Model[T]:
        """The model."""
        return Model(self.program, self.args, dict(self.kwargs))

    def __str__(self) -> str:
        return f"{'normalised' if self.normalised else 'nested'}({self.model!r}, {self.method!r})"
