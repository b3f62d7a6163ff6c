r"""Which groups' captures can be followed exactly, so that references and conditions are regular.

A group can be followed if a pattern passes it at most a few times, in the open: not in an unbounded loop, a
look-around, an atomic group or a recursive call. For conditions, it is enough to know whether it has matched. For
references, it must have only a few texts, as in `(['"]).*?\1`. The possible captures of all groups together are the
states that `regex_mask` tells apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from grammars.regex_alone import Alone, Captures
from grammars.regex_language import words
from grammars.regex_syntax import (
    Alternation,
    Call,
    Condition,
    Group,
    Node,
    Pattern,
    Reference,
    Repeat,
    Sequence,
    children,
    walk,
)

STATES = 64
"""The most states that are told apart."""
TEXTS = 16
"""The most texts of a group that is referred to."""


def capture_states(alone: Alone, unrolled: int) -> list[Captures]:
    """Return what the groups that can be followed may have captured; first, that none has matched yet.

    Parameters
    ----------
    alone:
        Describes the nodes of the pattern.
    unrolled:
        How many times a loop may repeat that is written out.
    """
    pattern = alone.pattern
    referred = {node.number for node in walk(pattern.root) if isinstance(node, Reference)}
    tested = {n for node in walk(pattern.root) if isinstance(node, Condition) for n in _tested(node)}
    in_the_open = list(_in_the_open(pattern.root, unrolled))
    closed = _called(pattern) | {
        number
        for number, groups in alone.groups.items()
        if len(groups) != sum(group.number == number for group in in_the_open)
    }
    values: dict[int, tuple[str | bool, ...]] = {}
    states = 1
    for number in sorted((referred | tested) & alone.groups.keys() - closed):
        inner = {n for body in alone.groups[number] for n in _groups_within(body)}
        texts = _texts(alone, number) if number in referred and not inner & (referred | tested) else None
        if texts is None and number not in tested:
            continue
        captured = (False, *(texts or (True,)))
        if states * len(captured) <= STATES:
            states *= len(captured)
            values[number] = captured
    return [dict(zip(values, state, strict=True)) for state in product(*values.values())]


def _texts(alone: Alone, number: int) -> tuple[str, ...] | None:
    """Return the texts that a group may capture, or None if they are many or not known."""
    found: dict[str, None] = {}
    for group in alone.groups[number]:
        language = alone.by_itself(group.body)
        texts = words(language, TEXTS) if language.exact else None
        if texts is None:
            return None
        found.update(dict.fromkeys(texts))
    return tuple(found) if len(found) <= TEXTS else None


def _tested(node: Condition) -> tuple[int, ...]:
    return (node.test,) if isinstance(node.test, int) and node.test else ()


def _groups_within(group: Group) -> set[int]:
    return {node.number for node in walk(group.body) if isinstance(node, Group)}


def _called(pattern: Pattern) -> set[int]:
    """Return the groups that calls may pass."""
    groups = pattern.groups()
    called = {node.number for node in walk(pattern.root) if isinstance(node, Call)}
    if 0 in called:
        return set(groups)
    return called | {n for number in called for body in groups.get(number, ()) for n in _groups_within(body)}


def _in_the_open(node: Node, unrolled: int) -> Iterator[Group]:
    """Yield the groups that are passed at most a few times, and by the one way of matching that is followed."""
    match node:
        case Sequence() | Alternation():
            inner = children(node)
        case Group(_, body):
            yield node
            inner = (body,)
        case Repeat(body, _, int(most), mode) if most <= unrolled and mode != "possessive":
            inner = (body,)
        case Condition(_, yes, no):
            inner = (yes, no)
        case _:
            inner = ()
    for child in inner:
        yield from _in_the_open(child, unrolled)
