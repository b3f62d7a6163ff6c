"""References to Python objects, `module:name`, where the module may lie in the current directory."""

from __future__ import annotations

import importlib
import os
import re
import sys
from operator import attrgetter
from typing import Any

from grammars.errors import PPLError
from inference.cli.exit_codes import BadInput

_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_REFERENCE = re.compile(f"({_NAME}):({_NAME})")


def is_reference(text: str) -> bool:
    """Return whether a text has the form `module:name`."""
    return _REFERENCE.fullmatch(text) is not None


def resolve(reference: str, what: str) -> Any:
    """Return the object of a reference.

    Parameters
    ----------
    reference:
        Such as `package.module:name`.
    what:
        What it should be, for messages.

    Raises
    ------
    BadInput
        If there is no such module or name, or the module raised on import.
    """
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise BadInput(
            f"{reference!r} is no reference to {what}", hint="write module:name, as in examples.triage:triage"
        )
    name, attribute = found.groups()
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(name)
    except PPLError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _raised(name, error) from error
        raise BadInput(
            f"no module {name!r} for {what}",
            hint=f"it is looked for in {here} and among the installed packages",
        ) from None
    except Exception as error:
        raise _raised(name, error) from error
    try:
        return attrgetter(attribute)(module)
    except AttributeError:
        public = ", ".join(n for n in vars(module) if not n.startswith("_"))
        raise BadInput(
            f"the module {name!r} has no {attribute!r}", hint=f"it has {public or 'no names'}"
        ) from None


def _raised(name: str, error: Exception) -> BadInput:
    return BadInput(
        f"the module {name!r} raised on import: {type(error).__name__}: {error}",
        hint="--debug shows where",
    )
