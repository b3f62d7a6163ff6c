"""Progress: what a run shows while it goes on; nothing unless standard error is a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from inference.diagnostics import Step


class Progress:
    """A silent listener to the ticks of a run; a context manager."""

    def update(self, step: Step, drawn: int) -> None:
        """Take note of a finished tick, and of the number of tokens drawn so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop showing."""


class TerminalProgress(Progress):
    """One line on standard error that follows the run and disappears with it."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), refresh_per_second=8, transient=True)
        self._start = time.monotonic()
        self._log_evidence = 0.0
        self._resamplings = 0

    def update(self, step: Step, drawn: int) -> None:
        """Show tick, live particles, ESS, evidence and speed."""
        self._log_evidence += step.log_increment
        self._resamplings += step.resampled
        seconds = time.monotonic() - self._start
        self._live.update(
            Text(
                f"tick {step.tick}  live {step.live}  ESS {step.ess:.1f}  resampled {self._resamplings}x  "
                f"log evidence {self._log_evidence:.2f}  {drawn} tokens  {drawn / max(seconds, 1e-9):.0f} tokens/s"
            )
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()


def progress_for(show: bool | None) -> Progress:
    """Return the progress to use: shown if `show`, or by default if standard error is a terminal."""
    return TerminalProgress() if (sys.stderr.isatty() if show is None else show) else Progress()
