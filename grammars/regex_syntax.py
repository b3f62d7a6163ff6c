"""The syntax tree of regular expressions as the `regex` package reads them.

`regex_parser` makes the tree, `regex_mask` and `regex_prefix` read it. Everything that matches exactly one
character is a `Characters` node, which keeps its source text: which characters it matches is asked of `regex`
itself (`regex_characters`), so that no table of ours can disagree with its.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class Characters:
    """Exactly one character, of those that `source` matches under the flags."""

    source: str
    flags: str = ""


@dataclass(frozen=True)
class Opaque:
    """Something whose texts are not described here: a fuzzy match, a grapheme cluster."""


@dataclass(frozen=True)
class Sequence:
    """The items one after another; of no items, the empty text."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Alternation:
    """One of the branches, the first preferred."""

    branches: tuple[Node, ...]


Mode = Literal["greedy", "lazy", "possessive"]


@dataclass(frozen=True)
class Repeat:
    """`body` repeated `least` to `most` times; without limit if that is None."""

    body: Node
    least: int
    most: int | None
    mode: Mode


@dataclass(frozen=True)
class Group:
    """A capture group."""

    number: int
    body: Node


@dataclass(frozen=True)
class Atomic:
    """The first way in which `body` matches, and no other."""

    body: Node


@dataclass(frozen=True)
class Assertion:
    r"""A zero-width sign: `^`, `$`, or the letter of an escape such as `b` for `\b`."""

    sign: str
    flags: str = ""


@dataclass(frozen=True)
class Look:
    """A look-around: whether `body` matches ahead from here, or behind up to here."""

    ahead: bool
    positive: bool
    body: Node


@dataclass(frozen=True)
class Condition:
    """`yes` if a group has matched or a look-around holds, else `no`. Group 0 never has: (?(DEFINE)...)."""

    test: int | Look
    yes: Node
    no: Node


@dataclass(frozen=True)
class Reference:
    """The text that a group has captured."""

    number: int
    flags: str = ""


@dataclass(frozen=True)
class Call:
    """The pattern of a group once more; of group 0, the whole pattern."""

    number: int


@dataclass(frozen=True)
class Verb:
    """`FAIL`, `PRUNE` or `SKIP`."""

    name: str


Node: TypeAlias = (
    Characters
    | Opaque
    | Sequence
    | Alternation
    | Repeat
    | Group
    | Atomic
    | Assertion
    | Look
    | Condition
    | Reference
    | Call
    | Verb
)

EMPTY = Sequence(())


@dataclass(frozen=True)
class Pattern:
    """A pattern that was read.

    Attributes
    ----------
    root:
        The whole pattern.
    version:
        The version flag with which `regex` compiles it.
    """

    root: Node
    version: int

    def groups(self) -> dict[int, tuple[Group, ...]]:
        """Return the capture groups by number; several have the same number if they share a name."""
        found: dict[int, tuple[Group, ...]] = {}
        for node in walk(self.root):
            if isinstance(node, Group):
                found[node.number] = (*found.get(node.number, ()), node)
        return found


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below `node`."""
    match node:
        case Sequence(parts) | Alternation(parts):
            return parts
        case Repeat(body=body) | Group(body=body) | Atomic(body=body) | Look(body=body):
            return (body,)
        case Condition(test, yes, no):
            return (yes, no) if isinstance(test, int) else (test, yes, no)
    return ()


def length(node: Node, groups: dict[int, tuple[Group, ...]]) -> int | None:
    """Return the number of characters that `node` matches, if that is always the same and not by recursion."""
    match node:
        case Characters():
            return 1
        case Sequence(items):
            parts = [length(item, groups) for item in items]
            return None if None in parts else sum(filter(None, parts))
        case Alternation(branches):
            return _same(length(branch, groups) for branch in branches)
        case Group(body=body) | Atomic(body):
            return length(body, groups)
        case Repeat(body, least, most):
            part = length(body, groups)
            return least * part if part is not None and (least == most or part == 0) else None
        case Assertion() | Look() | Verb():
            return 0
        case Condition(_, yes, no):
            return _same([length(yes, groups), length(no, groups)])
        case Reference(number) | Call(number):
            called = groups.get(number, ())
            inner = {number: (), **{n: g for n, g in groups.items() if n != number}}
            return _same(length(group.body, inner) for group in called)
    return None


def _same(lengths: Iterable[int | None]) -> int | None:
    found = set(lengths)
    return found.pop() if len(found) == 1 else None


def walk(node: Node) -> Iterator[Node]:
    """Yield `node` and every node below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def endless_call(pattern: Pattern) -> bool:
    """Return whether the pattern may call a group from within itself before it has read any character."""
    groups = pattern.groups()
    called: dict[int, frozenset[int]] = {0: _first_calls(pattern.root)[0]}
    for number, bodies in groups.items():
        called[number] = frozenset().union(*(_first_calls(body)[0] for body in bodies))
    for number in called:
        reached: set[int] = set()
        todo = [number]
        while todo:
            new = called.get(todo.pop(), frozenset()) - reached
            if number in new:
                return True
            reached |= new
            todo += new
    return False


def _first_calls(node: Node) -> tuple[frozenset[int], bool]:
    """Return the groups that `node` may call before it reads a character, and whether it may read none."""
    match node:
        case Characters() | Opaque():
            return frozenset(), False
        case Sequence(items):
            calls: frozenset[int] = frozenset()
            for item in items:
                more, empty = _first_calls(item)
                calls |= more
                if not empty:
                    return calls, False
            return calls, True
        case Alternation():
            found = [_first_calls(branch) for branch in node.branches]
            return frozenset().union(*(calls for calls, _ in found)), any(empty for _, empty in found)
        case Condition(test, yes, no):
            calls, empty = _first_calls(Alternation((yes, no)))
            return (calls, empty) if isinstance(test, int) else (calls | _first_calls(test)[0], empty)
        case Repeat(body, least):
            calls, empty = _first_calls(body)
            return calls, empty or not least
        case Group(_, body) | Atomic(body):
            return _first_calls(body)
        case Look(body=body):
            return _first_calls(body)[0], True
        case Call(number):
            return frozenset({number}), False  # whether it is empty is asked where it leads
    return frozenset(), True
