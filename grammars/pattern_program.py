"""Patterns as programs of a few instructions, as for a backtracking matcher [1]_.

References
----------
.. [1] R. Cox. "Regular Expression Matching: the Virtual Machine Approach". 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from grammars.characters import Alphabet
from grammars.python_regex import Choice, Look, Node, One, Repeat, Sequence, UnsupportedPatternError

PLACES = 20_000
MATCH = -1
"""The place at the end of every program."""


@dataclass(frozen=True)
class Read:
    """Wait for a character of these classes."""

    classes: frozenset[int]
    target: int


@dataclass(frozen=True)
class Fork:
    """Go on at each of the targets, the first being preferred."""

    targets: tuple[int, ...]


@dataclass(frozen=True)
class Enter:
    """Begin a repetition of a loop."""

    loop: int
    target: int


@dataclass(frozen=True)
class Again:
    """After a repetition: another one, unless this one read nothing; else leave the loop."""

    loop: int
    target: int
    leave: int


@dataclass(frozen=True)
class Check:
    """Go on if a look-around holds."""

    look: int
    target: int


Instruction: TypeAlias = Read | Fork | Enter | Again | Check


class Program:
    """The instructions of a pattern.

    Parameters
    ----------
    node:
        The pattern.
    alphabet:
        An alphabet that tells its sets of characters apart.
    numbers:
        The numbers of its look-arounds, by identity.

    Attributes
    ----------
    code:
        The instructions.
    start:
        The first of them.

    Raises
    ------
    UnsupportedPatternError
        If there are more than `PLACES` instructions.
    """

    def __init__(self, node: Node, alphabet: Alphabet, numbers: dict[int, int]) -> None:
        self._alphabet = alphabet
        self._numbers = numbers
        self.code: list[Instruction] = []
        self.start = self._compile(node, MATCH)

    def _add(self, instruction: Instruction) -> int:
        if len(self.code) >= PLACES:
            raise UnsupportedPatternError(f"it has more than {PLACES} places; bound its repetitions")
        self.code.append(instruction)
        return len(self.code) - 1

    def _compile(self, node: Node, target: int) -> int:
        """Add `node`, followed by the instruction `target`; return where it begins."""
        match node:
            case One(characters):
                return self._add(Read(self._alphabet.classes_of(characters), target))
            case Sequence(parts):
                for part in reversed(parts):
                    target = self._compile(part, target)
                return target
            case Choice(options):
                return self._add(Fork(tuple(self._compile(option, target) for option in options)))
            case Look():
                return self._add(Check(self._numbers[id(node)], target))
        return self._repeat(node, target)

    def _repeat(self, node: Repeat, target: int) -> int:
        leave = target
        if node.most is None:
            again = self._add(Fork(()))  # known once the body is
            begin = self._option(node, again, leave)
            self.code[again] = self.code[begin]
            target = again
        else:
            for _ in range(node.most - node.least):
                target = self._option(node, target, leave)
        for _ in range(node.least):
            begin = self._compile(node.body, target)
            if begin == target:
                break  # the body is nothing
            target = begin
        return target

    def _option(self, node: Repeat, again: int, leave: int) -> int:
        """Add the choice between one more repetition, after which comes `again`, and `leave`."""
        loop = len(self.code)
        back = self._add(Again(loop, again, leave))
        body = self._add(Enter(loop, self._compile(node.body, back)))
        return self._add(Fork((leave, body) if node.lazy else (body, leave)))
