"""What people see: the best values with their probabilities, and the plan of a program.

Texts of a model are data: markup in them means nothing, and control characters are shown, not sent to the terminal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from inference.cli.results import Outcome

if TYPE_CHECKING:
    from inference import Posterior
    from ppl.compiler.explain import Explanation


class Output(Console):
    """Standard output, whose reader may go away: then it raises, as a plain write does."""

    @override
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def output() -> Output:
    """Return standard output for people."""
    return Output(highlight=False)


def printable(text: str) -> str:
    """Return a text with control characters, but not line ends, as escapes."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def as_text(value: Any) -> Text:
    """Return a JSON value for people: strings as they are."""
    return Text(printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))


def show_outcome(console: Console, outcome: Outcome, *, heading: bool, diagnose: bool = False) -> None:
    """Print an outcome, under what was asked if `heading`; with the whole diagnosis, or what is severe of it."""
    posterior = outcome.posterior
    if heading:
        asked = printable(f"{outcome.row.line}. {' '.join(outcome.title.split())}")
        console.print(Text(asked, style="bold", no_wrap=True, overflow="ellipsis"))
    if outcome.no_survivors is not None:
        head = f"no survivors, log evidence {posterior.log_evidence:.4f}"
        console.print(Text(f"{head}\n  {printable(outcome.no_survivors)}"))
    else:
        table = Table("probability", "value", box=None, padding=(0, 2, 0, 0))
        for value in outcome.values:
            table.add_row(f"{value['probability']:.4f}", _cell(value))
        console.print(table)
        rest = len(posterior.top(len(posterior))) - len(outcome.values)
        console.print(
            f"{f'and {rest} more values; ' if rest else ''}log evidence {posterior.log_evidence:.4f} nats, "
            f"ESS {posterior.ess:.1f} of {len(posterior)} samples",
            soft_wrap=True,
        )
    _show_diagnosis(console, posterior, whole=diagnose)
    console.print(f"{posterior.method}, seed {posterior.seed}: {posterior.cost}", style="dim", soft_wrap=True)
    if heading:
        console.print()


def _show_diagnosis(console: Console, posterior: Posterior[Any], *, whole: bool) -> None:
    diagnosis = posterior.diagnose()
    if whole:
        console.print(Text(printable(str(diagnosis))), soft_wrap=True)
    elif diagnosis.severe and posterior.samples:  # of a run without survivors the reason is there already
        what = printable(diagnosis.severe[0].what)
        console.print(Text(f"{diagnosis.verdict}: {what} (--diagnose tells what to do)"), soft_wrap=True)


def _cell(value: Mapping[str, Any]) -> RenderableType:
    shown = as_text(value["value"])
    if "rows" not in value:
        return shown
    if value["error"] is not None:
        return Group(shown, Text(f"  {value['error']}", style="red"))
    rows = Table(
        *map(escape, map(printable, value["columns"])), box=None, padding=(0, 2, 0, 2), header_style="dim"
    )
    for row in value["rows"]:
        rows.add_row(*map(as_text, row))
    last = [] if value["rows"] and not value["more"] else [Text("  ..." if value["more"] else "  no rows")]
    return Group(shown, rows, *last)


def show_explanation(console: Console, explanation: Explanation) -> None:
    """Print the plan of a program, site by site."""
    console.print(Text(printable(explanation.program), style="bold"))
    for number, site in enumerate(explanation.sites, 1):
        lines = [
            ("target", site.form),
            ("rules", ", ".join(dict.fromkeys(site.rules))),
            ("kernel", f"{site.kernel}: {site.reason}"),
            ("example", site.example),
        ]
        console.print(Text(f"\n{number}. {site.address}"))
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="dim", min_width=7)
        for name, said in lines:
            if said:
                table.add_row(f"   {name}", Text(printable(said)))
        console.print(table)
    console.print(Text(f"\n{printable(explanation.ended)}"))
