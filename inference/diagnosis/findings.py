"""Diagnosis: findings about a run in words, each with its number and what to do about it."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import Literal

from inference.html.text import shown

Severity = Literal["severe", "warning", "note"]
"""severe: the answer may be anything. warning: it is rough, or another than was asked for. note: good to know."""

_ORDER: tuple[Severity, ...] = ("severe", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Something that a run shows of itself.

    Attributes
    ----------
    severity:
        "severe", "warning" or "note".
    what:
        What was found, with its number.
    number:
        The number by itself: nan where there is none.
    advice:
        What to change.
    """

    severity: Severity
    what: str
    number: float = math.nan
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.severity}: {self.what}" + (f"\n  -> {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Diagnosis:
    """What a run shows of itself, the most severe first.

    Attributes
    ----------
    measures:
        What the samples are worth, in a line.
    findings:
        Findings, by severity.
    """

    measures: str
    findings: tuple[Finding, ...]

    def __post_init__(self) -> None:
        ordered = sorted(self.findings, key=lambda finding: _ORDER.index(finding.severity))
        object.__setattr__(self, "findings", tuple(ordered))

    @property
    def trusted(self) -> bool:
        """Whether nothing is severe and nothing a warning."""
        return all(finding.severity == "note" for finding in self.findings)

    @property
    def severe(self) -> tuple[Finding, ...]:
        """The severe findings."""
        return tuple(finding for finding in self.findings if finding.severity == "severe")

    @property
    def verdict(self) -> str:
        """The diagnosis in a few words."""
        if self.trusted:
            return "nothing speaks against this run"
        return "do not trust this run" if self.severe else "use this run with care"

    def __str__(self) -> str:
        return "\n".join([f"{self.verdict}: {self.measures}", *map(str, self.findings)])

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li><b>{finding.severity}</b>: {html.escape(shown(finding.what))}"
            + (f"<br>→ {html.escape(shown(finding.advice))}" if finding.advice else "")
            + "</li>"
            for finding in self.findings
        )
        head = f"<p><b>{html.escape(self.verdict)}</b>: {html.escape(shown(self.measures))}</p>"
        return f"<div>{head}<ul>{items}</ul></div>"
