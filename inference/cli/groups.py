"""Groups of options: a command is a function of dataclasses, whose fields are its options.

    @app.command("json")
    @command
    def json_(schema: Schema, prompt: Prompt, run: Inference) -> None: ...

So commands that share options share a class, and the function gets them as values. Every command also has `--debug`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from inference.cli.exit_codes import errors_as_exits

_Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Return `function` as typer wants it: with a parameter for each field of the dataclasses that it takes."""
    hints = get_type_hints(function, include_extras=True)
    parameters: dict[str, inspect.Parameter] = {}
    groups: dict[str, list[str]] = {}
    for name in inspect.signature(function).parameters:
        if not is_dataclass(hints[name]):
            raise TypeError(f"{function.__qualname__}: {name} is no group of options")
        of_group = get_type_hints(hints[name], include_extras=True)
        groups[name] = [field.name for field in fields(hints[name])]
        parameters |= {f.name: _parameter(f, of_group[f.name]) for f in fields(hints[name])}
    parameters["debug"] = inspect.Parameter(
        "debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Debug
    )

    def run(**values: Any) -> None:
        with errors_as_exits(debug=values.pop("debug")):
            function(**{g: hints[g](**{name: values[name] for name in names}) for g, names in groups.items()})

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    return run


def _parameter(field: Field[Any], hint: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    if field.default_factory is not MISSING:
        default = field.default_factory()
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
