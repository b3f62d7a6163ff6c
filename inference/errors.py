"""Errors of inference: a run that has no answer, each with what killed it and what to do."""

from __future__ import annotations

from grammars.errors import PPLError


class NoSurvivors(PPLError, RuntimeError):
    """Every particle has weight 0, so there are no samples; names the site and the reason of the last deaths."""


class MissingDependency(PPLError, ImportError):
    """A library that is not installed by default is needed here."""


class BudgetExceeded(PPLError, RuntimeError):
    """A method would need more paths than it was allowed."""


class BoundExceeded(PPLError, ValueError):
    """A run's weight exceeded the bound that rejection sampling relies on."""
