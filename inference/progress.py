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


class ManyProgress:
    """A silent listener to many runs; a context manager."""

    def update(self, ended: int, in_flight: int, drawn: int) -> None:
        """Take note of how many runs have ended, with all the tokens that they drew, and how many go on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop showing."""


class _Line:
    """One line on standard error that disappears in the end."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), refresh_per_second=8, transient=True)
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, text: str, drawn: int) -> None:
        """Show a text, and the speed that follows from the tokens drawn so far."""
        seconds = time.monotonic() - self._start
        self._live.update(Text(f"{text}  {drawn} tokens  {drawn / max(seconds, 1e-9):.0f} tokens/s"))


class TerminalProgress(_Line, Progress):
    """A line that follows a run."""

    def __init__(self) -> None:
        super().__init__()
        self._log_evidence = 0.0
        self._resamplings = 0

    def update(self, step: Step, drawn: int) -> None:
        """Show tick, live particles, ESS, evidence and speed."""
        self._log_evidence += step.log_increment
        self._resamplings += step.resampled
        self.show(
            f"tick {step.tick}  live {step.live}  ESS {step.ess:.1f}  resampled {self._resamplings}x  "
            f"log evidence {self._log_evidence:.2f}",
            drawn,
        )


class TerminalManyProgress(_Line, ManyProgress):
    """A line that follows many runs."""

    def update(self, ended: int, in_flight: int, drawn: int) -> None:
        """Show how many runs have ended and go on, and the speed."""
        self.show(f"{ended} ended  {in_flight} in flight", drawn)


def progress_for(show: bool | None) -> Progress:
    """Return the progress to use: shown if `show`, or by default if standard error is a terminal."""
    return TerminalProgress() if _shown(show) else Progress()


def many_progress_for(show: bool | None) -> ManyProgress:
    """Return the progress of many runs to use, by the same rule."""
    return TerminalManyProgress() if _shown(show) else ManyProgress()


def _shown(show: bool | None) -> bool:
    return sys.stderr.isatty() if show is None else show
