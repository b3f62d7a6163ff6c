"""Checks of texts by the `regex` package: does a pattern match, or could it with more text?

Answers are remembered as those of predicates are (`grammars.predicate_checks`). A check that takes too long, which
patterns with nested loops may cause, is an error with the text, never an answer.
"""

from __future__ import annotations

from typing import TypeAlias

import regex
from typing_extensions import override

from grammars.errors import MatcherError
from grammars.predicate_checks import Answers, Check, Outcome, Runner, shown

SECONDS = 2.0
"""How long one check may take."""

Compiled: TypeAlias = "regex.Pattern[str]"


class _PatternRunner(Runner):
    """Asks a compiled pattern about texts: `matches(text)`, with a limit of time."""

    def __init__(self, compiled: Compiled, name: str, *, partial: bool) -> None:
        def matches(text: str) -> bool:
            return compiled.fullmatch(text, partial=partial, timeout=SECONDS) is not None

        matches.__qualname__ = name
        super().__init__((matches,))

    @override
    def run(self, check: Check) -> Outcome:
        self.calls += 1
        try:
            return bool(self.functions[0](check.text))
        except (TimeoutError, MemoryError) as error:
            limit = f"within {SECONDS:g} s" if isinstance(error, TimeoutError) else "in the memory there is"
            raise MatcherError(
                f"the regex {self.functions[0].__qualname__} was not decided {limit}\n"
                f"  text: {shown(check.text)}",
                hint="avoid loops within loops over the same characters, such as (a+)+",
            ) from None


def compile_pattern(pattern: str, flags: int) -> Compiled:
    """Return the compiled pattern; it is not put into the cache of `regex`, which forgets at random."""
    return regex.compile(pattern, flags, cache_pattern=False)


def full_matches(compiled: Compiled) -> Answers:
    """Return the answers to: does the pattern match this text in full?"""
    return Answers(_PatternRunner(compiled, repr(compiled.pattern), partial=False), 0, ((), ()))


def partial_matches(compiled: Compiled, name: str) -> Answers:
    """Return the answers to: does the pattern match this text, or could it with more text?"""
    return Answers(_PatternRunner(compiled, name, partial=True), 0, ((), ()))
