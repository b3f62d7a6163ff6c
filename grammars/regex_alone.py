"""The texts that parts of a pattern match by themselves, wherever they stand.

Where that depends on what stands around a part, on groups whose captures are not known, or is not regular, the result
is marked as enlarged.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TypeAlias

import regex

from grammars.regex_characters import Ranges, characters, difference, intersection, normal
from grammars.regex_language import (
    ANY,
    EPSILON,
    NOTHING,
    Chars,
    Language,
    cat,
    chars,
    either,
    enlarged,
    loop,
)
from grammars.regex_syntax import (
    Alternation,
    Assertion,
    Atomic,
    Call,
    Characters,
    Condition,
    Group,
    Look,
    Node,
    Opaque,
    Pattern,
    Reference,
    Repeat,
    Sequence,
    Verb,
    length,
    walk,
)

DEPTH = 2
"""Recursive calls are written out to this depth."""
BUDGET = 20_000
"""Nodes to translate; what lies beyond is not described."""

Captures: TypeAlias = Mapping[int, str | bool]
"""What groups have captured: False if nothing yet, True if it is not known what. Other groups are not known at all."""
UNKNOWN: Captures = {}


class Alone:
    """Describes the nodes of one pattern by themselves."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.groups = pattern.groups()
        self.work = 0
        self.calls: tuple[int, ...] = ()
        """The calls that are being written out."""
        self._known: dict[tuple[object, ...], tuple[Node, Language]] = {}
        self._asks: dict[int, bool] = {}

    def set_of(self, node: Characters) -> Ranges:
        """Return the characters that a node matches."""
        return characters(node.source, node.flags, self.pattern.version)

    def word_characters(self, flags: str) -> Ranges:
        """Return the characters between which there is no word boundary."""
        return characters(r"\w", "a" if "a" in flags else "", self.pattern.version)

    @cached_property
    def anything(self) -> Language:
        """All texts of the characters in the pattern, of which recursive calls and captured texts consist."""
        nodes = list(walk(self.pattern.root))
        if any(isinstance(node, Opaque) or (isinstance(node, Reference) and node.flags) for node in nodes):
            return ANY
        sets = [self.set_of(node) for node in nodes if isinstance(node, Characters)]
        return loop(chars(normal(pair for members in sets for pair in members)), 0, None)

    def may_call(self, number: int) -> bool:
        """Return whether the pattern of a group is to be written out where it is called."""
        return self.calls.count(number) < DEPTH and bool(self.called(number)) and self.work < BUDGET

    def called(self, number: int) -> tuple[Node, ...]:
        """Return the patterns of a group."""
        return self.groups.get(number, ()) if number else (self.pattern.root,)

    def by_itself(self, node: Node, captures: Captures = UNKNOWN) -> Language:
        """Return the texts that `node` matches where groups have captured what is given."""
        asked = tuple(captures.items()) if captures and self._asks_captures(node) else None
        key = (id(node), self.calls, asked)
        if key not in self._known:
            self.work += 1
            # the node is kept, so that its id stays its own
            self._known[key] = node, self._by_itself(node, captures)
        return self._known[key][1]

    def _asks_captures(self, node: Node) -> bool:
        if id(node) not in self._asks:
            nodes = walk(node)
            self._asks[id(node)] = any(
                isinstance(each, (Reference, Condition, Group, Call)) for each in nodes
            )
        return self._asks[id(node)]

    def _by_itself(self, node: Node, captures: Captures) -> Language:
        match node:
            case Characters():
                return chars(self.set_of(node))
            case Sequence(items):
                return cat(*self._in_sequence(items, captures))
            case Alternation(branches):
                return either(*(self.by_itself(branch, captures) for branch in branches))
            case Group(number, body):
                inner = self.by_itself(body, captures)
                return (
                    enlarged(inner) if number in captures else inner
                )  # what follows depends on what it captures
            case Atomic(body):
                inner = self.by_itself(body, captures)
                return enlarged(inner) if length(body, self.groups) is None else inner
            case Repeat(body, least, most, mode):
                inner = loop(self.by_itself(body, captures), least, most)
                first = mode == "possessive" and length(node, self.groups) is None
                return enlarged(inner) if first else inner
            case Assertion("K"):
                return EPSILON
            case Assertion() | Look():
                return enlarged(EPSILON)
            case Condition(0, _, no):
                return self.by_itself(no, captures)
            case Condition(int(number), yes, no) if number in captures:
                return self.by_itself(no if captures[number] is False else yes, captures)
            case Condition(_, yes, no):
                return enlarged(either(self.by_itself(yes, captures), self.by_itself(no, captures)))
            case Verb(name):
                return NOTHING if name in ("F", "FAIL") else enlarged(EPSILON)
            case Call(number) if self.may_call(number):
                return self._called(number, captures)
            case Reference(number, flags) if number in captures:
                return self._repeated(captures[number], flags)
            case Reference(number, "") if self.may_call(number):
                return enlarged(self._called(number, UNKNOWN))
        return enlarged(self.anything)

    def _in_sequence(self, items: tuple[Node, ...], captures: Captures) -> list[Language]:
        """Return the items' texts; a look-ahead at one character joins with the character that it looks at."""
        result: list[Language] = []
        for item in reversed(items):
            if isinstance(item, Look) and item.ahead and result and isinstance(result[-1], Chars):
                seen = self.by_itself(item.body, captures)
                if isinstance(seen, Chars) or seen == NOTHING:
                    looked_at = seen.ranges if isinstance(seen, Chars) else ()
                    join = intersection if item.positive else difference
                    result[-1] = chars(join(result[-1].ranges, looked_at))
                    continue
            result.append(self.by_itself(item, captures))
        return result[::-1]

    def _called(self, number: int, captures: Captures) -> Language:
        saved, self.calls = self.calls, (*self.calls, number)
        result = either(*(self.by_itself(body, captures) for body in self.called(number)))
        self.calls = saved
        return result

    def _repeated(self, captured: str | bool, flags: str) -> Language:
        if captured is True:
            return enlarged(self.anything)
        version = self.pattern.version
        signs = "" if captured is False else captured
        texts = cat(*(chars(characters(regex.escape(sign), flags, version)) for sign in signs))
        return NOTHING if captured is False else texts
