"""Methods by name: `smc`, or with parameters `smc:ess_threshold=0.7,resampling=ssp`.

The names are those of the classes of `inference.methods`, in lower case with hyphens (`tempered-smc`), and the
parameters their fields. A value is read as JSON if it can be, else it is a string; lists are in brackets.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any, cast

from grammars.json_text import read_json
from inference.cli.exit_codes import BadInput

if TYPE_CHECKING:
    from inference import Method

_NEXT = re.compile(r",(?=\s*[^\W\d]\w*\s*=)")
"""A comma after which a parameter begins; others are inside a list."""


def method_names() -> dict[str, Callable[..., Method]]:
    """Return the methods by the names that the command line has for them; not `Until`, which is made of another."""
    from inference import methods

    classes = (getattr(methods, name) for name in methods.__all__ if name not in ("Method", "Until"))
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower(): cls for cls in classes}


def method_of(spec: str, particles: int | None = None) -> Method:
    """Return the method that `spec` describes.

    Parameters
    ----------
    spec:
        A name, perhaps with a colon and parameters.
    particles:
        The number of particles, for methods that have them; None: their default.

    Raises
    ------
    BadInput
        If there is no such method or parameter.
    """
    name, _, rest = spec.partition(":")
    known = method_names()
    cls = known.get(name.strip().lower().replace("_", "-"))
    if cls is None:
        near = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"
        raise BadInput(f"no method {name!r}", hint=hint)
    allowed = {field.name: field for field in fields(cast(Any, cls))}
    hint = f"{name} takes {', '.join(map(_shown, allowed.values()))}"
    values: dict[str, Any] = {}
    for part in _NEXT.split(rest) if rest.strip() else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in allowed or key in values:
            problem = "given twice" if key in values else "no parameter of this method"
            raise BadInput(f"method {spec!r}: {key!r} is {problem}", hint=hint)
        values[key] = parsed(value)
    if particles is not None:
        if "particles" not in allowed or "particles" in values:
            problem = "given twice" if "particles" in values else f"no parameter of {name}"
            raise BadInput(f"particles={particles} with method {spec!r}: it is {problem}", hint=hint)
        values["particles"] = particles
    try:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except TypeError as error:
        raise BadInput(f"method {spec!r}: {error}", hint=hint) from error


def parsed(text: str) -> Any:
    """Return the JSON value of a text, or the text itself where it is not JSON."""
    try:
        return read_json(text)
    except ValueError:
        return text


def _shown(field: Field[Any]) -> str:
    return field.name if field.default is MISSING else f"{field.name}={field.default}"
