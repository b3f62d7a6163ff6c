r"""Fusion: what is regular, in one piece, for the mask engine.

Regexes, choices and what the algebra makes of them are regular languages, and the engine has the same operations on
its terminals, on the level of automata and so exactly. One terminal gives one mask, at any split, exact, and the
engine sees whether it is empty. Two terminals would not do: between terminals the engine is greedy.

In the engine a complement is taken among the byte strings without 0xFF, a byte which no UTF-8 text holds. All other
operations treat these strings as they treat all strings. So a terminal is exact if the whole holds UTF-8 only, as
`a & ~b` does and `~b` alone does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from typing_extensions import override

from grammars.algebra import And, AnyText
from grammars.choice import Choice
from grammars.complement import Not
from grammars.constraint import Constraint, Matcher
from grammars.errors import GrammarError
from grammars.llguidance import GrammarMatcher, compile_error
from grammars.regex import Regex, regex_terminal
from grammars.sequence import Concat, Repeat
from grammars.union import Or
from grammars.vocabulary import Vocabulary

_LONGEST = 100_000
"""Characters of a terminal; longer ones are not tried."""


@dataclass(frozen=True)
class Fused(Constraint):
    """The texts of a regular `constraint`, read by one terminal of the mask engine. Made by `fuse`.

    Raises
    ------
    GrammarError
        If the constraint is not regular, or holds what is not UTF-8, or is too complex for the engine.
    """

    constraint: Constraint

    def __post_init__(self) -> None:
        if not is_utf8(self.constraint) or not _compiles(terminal(self.constraint)):
            raise GrammarError(
                f"{self.constraint} is no terminal of the mask engine",
                hint="use `fuse`, which fuses the parts that are",
            )

    def __str__(self) -> str:
        return str(self.constraint)

    @property
    def precedence(self) -> int:
        """How tightly the constraint binds when it is written."""
        return int(getattr(self.constraint, "precedence", 9))

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return GrammarMatcher(vocabulary, f"start: TEXT\nTEXT: {terminal(self.constraint)}")

    @override
    def parse(self, text: str) -> Any:
        return self.constraint.parse(text)


def fuse(constraint: Constraint) -> Constraint | None:
    """Return the same set with its regular parts fused, or None if there is nothing to fuse.

    Pinned constraints stay as they are, and so does what the engine finds too complex. `parse` gives the same values.
    """
    result = _fused(constraint)
    return None if result == constraint else result


def as_terminal(constraint: Constraint) -> Constraint | None:
    """Return a constraint as one terminal, or None if it is none."""
    return Fused(constraint) if is_utf8(constraint) and _compiles(terminal(constraint)) else None


def terminal(constraint: Constraint) -> str | None:
    """Return the engine's terminal of the texts of `constraint` that do not hold the byte 0xFF.

    None if there is none.
    """
    match constraint:
        case Regex():
            return regex_terminal(constraint.pattern)
        case Choice():
            return _alternatives(constraint)
        case Fused():
            return terminal(constraint.constraint)
        case AnyText():
            return '~("a" & "b")'
        case Not():
            inner = terminal(constraint.constraint)
            return None if inner is None else f"~({inner})"
        case And():
            return _joined(constraint.parts, " & ")
        case Or():
            return _joined(constraint.parts, " | ")
        case Concat():
            return _joined(constraint.parts, " ")
        case Repeat():
            return _repeated(constraint)
    return None


def is_utf8(constraint: Constraint) -> bool:
    """Return whether all texts of a constraint that has a terminal are certainly UTF-8."""
    match constraint:
        case Regex() | Choice() | Fused():
            return True
        case And():
            return any(map(is_utf8, constraint.parts))
        case Or() | Concat():
            return all(map(is_utf8, constraint.parts))
        case Repeat():
            return all(map(is_utf8, constraint.factors))
    return False


def _fused(constraint: Constraint) -> Constraint:
    match constraint:
        case Not():
            return Not.of(_fused(constraint.constraint))
        case And() | Or() | Concat() | Repeat():
            whole = as_terminal(constraint)
            if whole is not None:
                return whole
    match constraint:
        case And():
            return _fused_conjunction(constraint)
        case Or():
            return Or.of(*_fused_runs(constraint.parts, Or.of))
        case Concat():
            return Concat.of(*_fused_runs(constraint.parts, Concat.of))
        case Repeat():
            between = None if constraint.separator is None else _fused(constraint.separator)
            return Repeat.of(_fused(constraint.item), constraint.min, constraint.max, between)
    return constraint


def _fused_conjunction(constraint: And) -> Constraint:
    """Fuse the regular parts, wherever they stand, into the first of them."""
    regular = [part for part in constraint.parts if terminal(part) is not None]
    whole = as_terminal(And.of(*regular)) if len(regular) > 1 else None
    if whole is None:
        return And.of(*map(_fused, constraint.parts))
    others = (_fused(part) for part in constraint.parts if part not in regular)
    before = constraint.parts.index(regular[0])
    return And.of(*islice(others, before), whole, *others)


def _fused_runs(parts: tuple[Constraint, ...], make: Callable[..., Constraint]) -> Iterator[Constraint]:
    """Fuse regular parts that stand side by side; `make` is what they are parts of."""
    for regular, run in groupby(parts, lambda part: terminal(part) is not None and is_utf8(part)):
        side_by_side = list(run)
        whole = as_terminal(make(*side_by_side)) if regular and len(side_by_side) > 1 else None
        yield from map(_fused, side_by_side) if whole is None else [whole]


def _compiles(expression: str | None) -> bool:
    return (
        expression is not None
        and len(expression) <= _LONGEST
        and compile_error(f"start: TEXT\nTEXT: {expression}") is None
    )


def _joined(parts: tuple[Constraint, ...], operator: str) -> str | None:
    terminals = [terminal(part) for part in parts]
    return None if None in terminals else operator.join(f"({part})" for part in terminals)


def _alternatives(choice: Choice) -> str | None:
    try:
        for option in choice.options:
            option.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return None
    return " | ".join(json.dumps(option).replace("\x7f", r"\u007f") for option in choice.options)


def _repeated(constraint: Repeat) -> str | None:
    item = terminal(constraint.item)
    if item is None:
        return None
    least, most = constraint.min, constraint.max
    if constraint.separator is None:
        return f"({item}){_quantifier(least, most)}"
    between = terminal(constraint.separator)
    if between is None:
        return None
    more = _quantifier(max(least - 1, 0), None if most is None else most - 1)
    return f"(({item}) (({between}) ({item})){more}){'' if least else '?'}"


def _quantifier(least: int, most: int | None) -> str:
    return f"{{{least},{'' if most is None else most}}}"
