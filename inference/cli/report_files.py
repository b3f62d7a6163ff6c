"""Report files: a page about the run of each row, as `posterior.report` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inference.cli.exit_codes import BadInput, say
from inference.cli.results import Outcome

if TYPE_CHECKING:
    from inference import Method


class ReportFiles:
    """Where reports go; an older one of the same name is replaced.

    Parameters
    ----------
    path:
        The file; of several rows `name-LINE.html`, after the line of the row in the input.
    method:
        What is run.
    many:
        Whether there may be several rows.

    Raises
    ------
    BadInput
        If nothing can be written there, or the method's moves cannot be recorded.
    """

    def __init__(self, path: Path, method: Method, *, many: bool) -> None:
        if not method.recordable:
            raise BadInput(
                f"--report with {method!r}, which is no population that advances from the program's start",
                hint="smc, beam-search or particle-independent-mh, for example, can be recorded",
            )
        if path.is_dir() or not path.parent.is_dir():
            problem = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
            raise BadInput(f"cannot write the report {path}: {problem}", hint="--report names a file")
        self._path, self._many = path, many

    def write(self, outcome: Outcome) -> None:
        """Write the page of an outcome, and say where it is."""
        name = f"{self._path.stem}-{outcome.row.line}{self._path.suffix}"
        path = self._path.with_name(name) if self._many else self._path
        outcome.posterior.report(path)
        say(f"report in {path}")
