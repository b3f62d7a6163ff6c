"""Rule: a law of the target algebra as a value, read from left to right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ppl.targets import Target

Rewrite = Callable[[Target[Any]], Target[Any] | None]


@dataclass(frozen=True)
class Rule:
    """A law, and a function that applies it at the root of a target, or returns None where it does not.

    Attributes
    ----------
    roots:
        The types of targets that it may apply to.
    """

    name: str
    law: str
    roots: tuple[type[Target[Any]], ...]
    apply: Rewrite
