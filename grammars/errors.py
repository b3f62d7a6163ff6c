"""The one exception family of the project.

Every error that a user can cause derives from `PPLError` and carries a *hint*: what to do about it.
The root lives in the lowest layer so that all three packages can raise it.
"""

from __future__ import annotations


class PPLError(Exception):
    """Root of all errors raised by `ppl`, `grammars` and `inference`.

    Parameters
    ----------
    message:
        What was wrong, and where.
    hint:
        What the user can do about it; printed on a line of its own.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"


class GrammarError(PPLError, ValueError):
    """A constraint that cannot be built: an invalid regex, schema or grammar. The message says where."""


class ContradictionError(GrammarError):
    """A constraint, or a conjunction of constraints, that no text satisfies."""


class ParseError(PPLError, ValueError):
    """A text that is not in the constraint's language, or cannot be turned into its Python value."""


class MatcherError(PPLError, RuntimeError):
    """A matcher that ran out of its resource limits, or was asked to consume what it does not allow."""


class PredicateError(PPLError, RuntimeError):
    """A user's predicate that failed on a text: it raised, crashed, ran out of time or returned no bool.

    An exception that the predicate raised is the `__cause__`.

    Parameters
    ----------
    message, hint:
        As of `PPLError`; the message shows the text, shortened if it is long.
    text:
        The text on which the predicate failed, in full; None if it was not yet asked about any.
    """

    def __init__(self, message: str, *, hint: str | None = None, text: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.text = text
