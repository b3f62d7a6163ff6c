"""The application: the commands under their names."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from inference.cli import bench, commands, models, serve

app = typer.Typer(
    name="ppl",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Posteriors over texts: a language model, given what you ask for.",
    epilog="Exit codes: 0 done, 1 no survivors or no match, 2 bad input, 3 model, 4 failed, 130 interrupted.",
)


def _version(asked: bool) -> None:
    if asked:
        print(f"ppl {version('ppl')}")
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Posteriors over texts: a language model, given what you ask for."""


app.add_typer(commands.infer)
app.add_typer(commands.explain, name="explain", help="Show the plan of the same commands, without inference.")
app.add_typer(
    commands.check_, name="check", help="Check a text against the same constraints, without a model."
)
app.add_typer(models.models, name="models", help="List, fetch, convert and remove cached models.")
app.add_typer(bench.bench)
app.add_typer(serve.commands)
