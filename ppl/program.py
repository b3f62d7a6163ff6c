"""Program and model: a decorated function, and the function with its arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from ppl.errors import InvalidArgument
from ppl.fiber import Fiber

if TYPE_CHECKING:
    from ppl.compiler.explain import Explanation

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Program(Generic[P, R]):
    """A function of the user's that calls primitives; calling it makes a `Model`."""

    def __init__(self, function: Callable[P, R]) -> None:
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise InvalidArgument(
                f"@program got {function.__qualname__}, which is a coroutine or a generator",
                hint="write an ordinary function; primitives need no await",
            )
        self.function = function
        self._signature = inspect.signature(function)
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Model[R]:
        """Return the model of these arguments; nothing runs yet. A wrong signature raises TypeError."""
        self._signature.bind(*args, **kwargs)
        return Model(self, args, kwargs)

    def __repr__(self) -> str:
        return f"<program {self.function.__qualname__}>"


class Model(Generic[R]):
    """A program applied to arguments: an unnormalised measure over its return values.

    Give it to `inference.infer`, or to `sample` inside another program. The arguments must not be mutated by
    the function: it may run several times with them.
    """

    def __init__(self, program: Program[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.program = program
        self.args = args
        self.kwargs = kwargs
        self.measured: Mapping[str, Sequence[str]] = {}
        """What the latest run measured, as lines of text by the site's address; `explain` shows them."""

    def run(self) -> R:
        """Call the function; for a driver that handles its requests."""
        return self.program.function(*self.args, **self.kwargs)

    def fiber(self) -> Fiber:
        """Return a fresh run of this model."""
        return Fiber(self.run)

    def explain(self, seed: int = 0) -> Explanation:
        """Return what the compiler chooses at each site, and why, as a printable table.

        The sites of a program depend on what is drawn, so it is walked once: each text is drawn by the site's
        own kernel without weights, conditions count as true. The sites listed are those of this walk. Once this
        model has been run, the table also says what the latest run measured at them.
        """
        from ppl.compiler.explain import explain

        return explain(self, seed)

    def __repr__(self) -> str:
        args = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
        return f"{self.program.function.__qualname__}({', '.join(args)})"


def program(function: Callable[P, R]) -> Program[P, R]:
    r"""Make a function that calls `sample`, `condition`, `factor`, ... a program.

    Examples
    --------
    >>> @program
    ... def greeting(name: str) -> str:
    ...     text = sample(lm(f"A one-line greeting for {name}:", stop="\n"))
    ...     condition(name in text)
    ...     return text
    """
    return Program(function)
