"""Errors of programs: what a user's function did that has no meaning, each with a hint."""

from __future__ import annotations

from grammars.errors import PPLError


class InvalidArgument(PPLError, ValueError):
    """An argument outside its domain; nothing was run."""


class PromptTooLong(PPLError, ValueError):
    """A prompt, with the tokens asked after it, does not fit the model's context."""


class PotentialError(PPLError, RuntimeError):
    """A potential raised, or returned what is no log-weight; an exception of its own is the `__cause__`."""


class UnboundedTarget(PPLError, ValueError):
    """A target has infinite mass: a negative power of a probability that is 0."""


class OutsideInference(PPLError, RuntimeError):
    """A primitive (`sample`, `condition`, ...) was called outside a program that is being inferred."""


class ProgramError(PPLError, RuntimeError):
    """The user's function raised; its own exception, with its traceback, is the `__cause__`."""


class ReplayDivergence(PPLError, RuntimeError):
    """A replay of a program reached another site than the run that it replays."""


class DeadEnd(PPLError, RuntimeError):
    """A text that was drawn for illustration cannot be completed."""
