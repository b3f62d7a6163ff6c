"""Programs of the user's as tasks: `module:program` with arguments."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from inference.cli.asking import Input
from inference.cli.exit_codes import BadInput
from inference.cli.methods import parsed
from inference.cli.references import resolve
from inference.cli.rows import Row, Template, read_rows
from ppl import LM, Model, Program


@dataclass(frozen=True, kw_only=True)
class ProgramCall:
    """A program of the user's, and its arguments."""

    reference: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:PROGRAM", help="A function decorated with @program; here or installed."
        ),
    ]
    arg: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUE", help="An argument; JSON if it can be read as that, else a string."
        ),
    ] = field(default_factory=list)
    input: Input = None


class ProgramTask:
    """A program with arguments, some of which are fields of the row; a parameter `lm` is given the model."""

    def __init__(self, call: ProgramCall) -> None:
        self.reference = call.reference
        found = resolve(call.reference, "a program")
        if not isinstance(found, Program):
            raise BadInput(
                f"{call.reference} is {type(found).__name__}, not a program",
                hint="decorate a function with @program",
            )
        self.program: Program[..., Any] = found
        self.signature = inspect.signature(found.function)
        self.arguments: dict[str, Any] = {}
        for given in call.arg:
            name, value = _argument(given, literal=call.input is None)
            if name in self.arguments:
                raise BadInput(f"--arg {given}: {name!r} is given twice", hint="give each argument once")
            self.arguments[name] = value
        self.rows: Iterable[Row] = [Row()] if call.input is None else read_rows(call.input)
        self.needs_lm = "lm" in self.signature.parameters and "lm" not in self.arguments
        self._bind(dict.fromkeys(self.arguments))

    @property
    def settings(self) -> Mapping[str, Any]:
        """What results depend on besides the row, apart from the code of the program."""
        arguments = {k: v.text if isinstance(v, Template) else v for k, v in self.arguments.items()}
        return {"program": self.reference, "arguments": arguments}

    def title(self, row: Row) -> str:
        """Return the call."""
        return f"{self.program.function.__name__}({', '.join(f'{k}={v!r}' for k, v in self._filled(row).items())})"

    def model(self, row: Row, lm: LM | None) -> Model[Any]:
        """Return the program with the arguments of a row."""
        return self._bind(self._filled(row), lm)

    def details(self, value: Any) -> dict[str, Any]:
        """Return nothing: the value says it all."""
        return {}

    def _filled(self, row: Row) -> dict[str, Any]:
        return {k: v.value(row) if isinstance(v, Template) else v for k, v in self.arguments.items()}

    def _bind(self, arguments: dict[str, Any], lm: LM | None = None) -> Model[Any]:
        given = arguments | ({"lm": lm} if self.needs_lm else {})
        try:
            return self.program(**given)
        except TypeError as error:
            raise BadInput(
                f"{self.reference}{self.signature}: {error}", hint="pass each argument as --arg name=value"
            ) from None


def _argument(given: str, *, literal: bool) -> tuple[str, Any]:
    name, equals, value = given.partition("=")
    if not equals or not name.isidentifier():
        raise BadInput(f"--arg {given}", hint="--arg name=value")
    read = parsed(value)
    return name, Template(read, literal=literal) if isinstance(read, str) else read
