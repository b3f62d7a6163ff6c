"""inference: how posteriors are computed. Language models, methods, posteriors.

from inference import SMC, infer, load

The names are those of `inference.api`. They are imported when one of them is first asked for (PEP 562), because
torch takes seconds, and the command line answers `--help` and `check` without it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.api import *  # noqa: F403 - its __all__ lists them
    from inference.api import __all__ as __all__


def __getattr__(name: str) -> Any:
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    api = importlib.import_module("inference.api")
    globals().update({public: getattr(api, public) for public in api.__all__} | {"__all__": api.__all__})
    try:
        return globals()[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *importlib.import_module("inference.api").__all__})


class _Package(ModuleType):
    """The package, in which `infer` and `coverage` are functions and not, once imported, the files of these names."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in ("infer", "coverage") and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
