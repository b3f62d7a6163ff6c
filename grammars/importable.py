"""Functions that another process can import: found by module and name, as `pickle` does, but through decorators.

`pickle` refuses a function whose name in its module means something else, which is what a decorator does. Here
what the name means may wrap the function, any number of times, as `functools.wraps` notes it.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from operator import attrgetter
from types import FunctionType
from typing import Any

from grammars.errors import GrammarError

_HINT = "define it at the top level of a module, and bind what it needs as arguments; or use workers=0"


@dataclass(frozen=True)
class Importable:
    """The way to a function: what `qualname` means in `module`, unwrapped `depth` times."""

    module: str
    qualname: str
    depth: int = 0

    @classmethod
    def of(cls, function: FunctionType) -> Importable:
        """Return the way to `function`.

        Raises
        ------
        GrammarError
            If there is none: a lambda, a function within a function, or one whose name means something else.
        """
        check_name(function)
        module, qualname = function.__module__, function.__qualname__
        if module == "__main__" and not hasattr(sys.modules["__main__"], "__file__"):
            raise GrammarError(
                f"{qualname} was defined interactively, where no other process can import it", hint=_HINT
            )
        for depth in range(16):
            way = cls(module, qualname, depth)
            try:
                found = way.load()
            except (ImportError, AttributeError):
                break
            if found is function:
                return way
        raise GrammarError(f"{module}.{qualname} is not what other processes import by that name", hint=_HINT)

    def load(self) -> Any:
        """Import the function."""
        found = attrgetter(self.qualname)(importlib.import_module(self.module))
        for _ in range(self.depth):
            found = found.__wrapped__
        return found


def check_name(function: FunctionType) -> None:
    """Raise `GrammarError` if the name of a function shows that no other process can import it."""
    if "<" in function.__qualname__:
        kind = "a lambda" if function.__name__ == "<lambda>" else "defined within a function"
        raise GrammarError(f"{function.__qualname__} is {kind}: no other process can import it", hint=_HINT)
