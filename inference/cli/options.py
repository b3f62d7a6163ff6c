"""Options that commands share: which model, and how to infer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grammars.errors import PPLError
from inference.cli.exit_codes import BadInput
from inference.cli.references import is_reference, resolve

if TYPE_CHECKING:
    from inference.engines.base import Engine

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per input on standard output.")]


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A language model and where it runs."""

    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIRECTORY|MODULE:NAME",
            help="An embedded model, a Hugging Face id, a directory, or a Python object: a model, or a function "
            "that returns one.",
            show_default="smollm2",
        ),
    ] = None
    device: Annotated[str | None, typer.Option(help="Where it runs.", show_default="cpu")] = None

    @property
    def name(self) -> str:
        """The model's name as it was given."""
        return self.model or "smollm2"

    def load(self) -> Engine:
        """Return the model."""
        if not is_reference(self.name):
            from inference import load

            return load(self.name, device=self.device)
        if self.device is not None:
            raise BadInput(
                f"--device {self.device} with --model {self.name}, a Python object",
                hint="a model of a program's own is on the device that the program chose",
            )
        from inference.engines.base import Engine

        found = resolve(self.name, "a language model")
        made = self._made(found) if callable(found) and not isinstance(found, Engine) else found
        if not isinstance(made, Engine):
            raise BadInput(
                f"{self.name} is {type(made).__name__}, not a language model",
                hint="such as a TableLM, or a function without parameters that returns a model",
            )
        return made

    def _made(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except PPLError:
            raise
        except Exception as error:
            raise BadInput(
                f"{self.name} raised {type(error).__name__}: {error}", hint="--debug shows where"
            ) from error


@dataclass(frozen=True, kw_only=True)
class Inference(ModelChoice):
    """How a posterior is computed, and where it goes."""

    particles: Annotated[int | None, typer.Option(min=1, help="Runs in parallel.", show_default="16")] = None
    method: Annotated[
        str, typer.Option(help="A method, perhaps with parameters: smc:ess_threshold=0.7,resampling=ssp.")
    ] = "smc"
    seed: Annotated[
        int, typer.Option(min=0, help="All randomness follows from it; the same for each row.")
    ] = 0
    diagnose: Annotated[
        bool, typer.Option("--diagnose", help="Say whether to trust each result, and what to change.")
    ] = False
    top: Annotated[int, typer.Option(min=1, help="How many values, the most probable first.")] = 5
    as_json: AsJson = False
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append each result to a file, as a line of JSON.")
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write a page about the run; of several rows, one for each."),
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the results that --out holds.")] = False
