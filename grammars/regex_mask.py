r"""What a pattern says in terms that the mask engine can enforce: a regular superset of its texts.

A construct in the middle of a pattern restricts the text on both sides of it. So a node is translated together with
its *rest*: what may follow it up to the end of the text. A look-ahead (?=x) then is an intersection, of the rest
with the texts that begin with x; a negative one the intersection with the complement.

To look behind, the rest is a table: one language for each *situation*, which is what the last character before it
was: none, at the start of the text, or one of a few sets that tell apart what the pattern asks, such as word
characters for `\b`. A node that matches the characters C before a rest r then gives, in every situation, the union
of (C ∩ S) r[S] over the sets S.

What cannot be said that way (references, recursion, longer look-behinds, look-arounds in loops, ...) is enlarged,
and the result is marked as not exact. Under a negation nothing may be enlarged: there the whole look-around is left
out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias

from grammars.regex_characters import Ranges, characters, complement, intersection, normal, partition
from grammars.regex_language import (
    ANY,
    EPSILON,
    NOTHING,
    Language,
    both,
    cat,
    chars,
    either,
    ending,
    enlarged,
    loop,
    negation,
)
from grammars.regex_syntax import (
    EMPTY,
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

Rest: TypeAlias = tuple[Language, ...]
"""What may follow, for each situation."""

UNROLLED = 12
"""Loops around look-arounds are written out up to this many times."""
DEPTH = 2
"""Recursive calls are written out to this depth."""
BUDGET = 20_000
"""Nodes to translate; what lies beyond is not described."""
_NEWLINE: Ranges = ((10, 10),)


def translate(pattern: Pattern) -> Language:
    """Return the texts of a pattern, or a superset that is marked as such."""
    translator = _Translator(pattern)
    return translator.after(pattern.root, translator.everywhere(EPSILON))[0]


class _Translator:
    """Translates the nodes of one pattern."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.groups = pattern.groups()
        self.calls: tuple[int, ...] = ()
        self.work = 0
        self.alone: dict[tuple[int, tuple[int, ...]], tuple[Node, Language]] = {}
        self.situations: list[Ranges] = [(), *partition(self._asked_behind())]
        """The sets that the last character may be in; the first, empty one stands for the start of the text."""

    @cached_property
    def anything(self) -> Language:
        """All texts of the characters in the pattern, of which recursive calls and captured texts consist."""
        nodes = list(walk(self.pattern.root))
        if any(isinstance(node, Opaque) or (isinstance(node, Reference) and node.flags) for node in nodes):
            return ANY
        sets = [self.set_of(node) for node in nodes if isinstance(node, Characters)]
        return loop(chars(normal(pair for members in sets for pair in members)), 0, None)

    def everywhere(self, language: Language) -> Rest:
        """Return the rest that is the same in every situation."""
        return (language,) * len(self.situations)

    def set_of(self, node: Characters) -> Ranges:
        return characters(node.source, node.flags, self.pattern.version)

    def words(self, flags: str) -> Ranges:
        return characters(r"\w", "a" if "a" in flags else "", self.pattern.version)

    def _asked_behind(self) -> Iterable[Ranges]:
        for node in walk(self.pattern.root):
            if isinstance(node, Assertion) and node.sign in "bBmM":
                yield self.words(node.flags)
            elif isinstance(node, Assertion) and node.sign == "^" and "m" in node.flags:
                yield _NEWLINE
            elif isinstance(node, Look) and not node.ahead:
                yield from (self.set_of(part) for part in walk(node.body) if isinstance(part, Characters))

    # Nodes with their rest.

    def after(self, node: Node, rest: Rest) -> Rest:
        """Return what `node` and then `rest` match, for each situation before the node."""
        self.work += 1
        if self.work > BUDGET:
            return self.everywhere(enlarged(ANY))
        alone = self.by_itself(node)
        if alone.exact:
            return self.prefixed(alone, rest)
        match node:
            case Sequence(items):
                return self.sequence(items, rest)
            case Alternation(branches):
                return _unions([self.after(branch, rest) for branch in branches])
            case Group(_, body):
                return self.after(body, rest)
            case Repeat():
                return self.repeat(node, rest)
            case Atomic(body):
                return self.atomic(body, rest)
            case Assertion():
                return self.assertion(node, rest)
            case Look(ahead=True):
                return self.look_ahead(node, rest)
            case Look():
                return self.look_behind(node, rest)
            case Condition(0, _, no):
                return self.after(no, rest)
            case Condition(Look() as look, yes, no):
                other = replace(look, positive=not look.positive)
                ways = [self.after(Sequence(way), rest) for way in ((look, yes), (other, no))]
                # `regex` overlooks matches of conditions that look behind, such as (?(?<!b)(?:[^a]b|a)|c) of `a`
                return _unions(ways) if look.ahead else _enlarged(_unions(ways))
            case Condition(_, yes, no):
                return _enlarged(_unions([self.after(yes, rest), self.after(no, rest)]))
            case Call(number) if self.may_call(number):
                return self.call(number, rest)
        return self.prefixed(alone, rest)

    def prefixed(self, language: Language, rest: Rest) -> Rest:
        """Return the texts of `language` and then what may follow in the situation after them."""
        if len(set(rest)) == 1:
            return self.everywhere(cat(language, rest[0]))
        ways: dict[Language, Ranges] = {}
        for last, following in zip(self.situations[1:], rest[1:], strict=True):
            ways[following] = normal((*ways.get(following, ()), *last))
        moved = either(*(cat(ending(language, last), following) for following, last in ways.items()))
        if not language.nullable:
            return self.everywhere(moved)
        stayed = rest if language.exact else _enlarged(rest)
        return tuple(either(moved, each) for each in stayed)

    def sequence(self, items: tuple[Node, ...], rest: Rest) -> Rest:
        run: list[Language] = []
        for item in reversed(items):
            alone = self.by_itself(item)
            if alone.exact:
                run.insert(0, alone)
            else:
                rest = self.after(item, self.prefixed(cat(*run), rest))
                run = []
        return self.prefixed(cat(*run), rest)

    def repeat(self, node: Repeat, rest: Rest) -> Rest:
        if node.mode == "possessive":
            return self.atomic(replace(node, mode="greedy"), rest)
        if node.most is None or node.most > UNROLLED:
            return self.prefixed(self.by_itself(node), rest)
        result = rest
        for _ in range(node.most - node.least):
            result = _unions([rest, self.after(node.body, result)])
        for _ in range(node.least):
            result = self.after(node.body, result)
        return result

    def call(self, number: int, rest: Rest) -> Rest:
        saved, self.calls = self.calls, (*self.calls, number)
        result = _unions([self.after(body, rest) for body in self.called(number)])
        self.calls = saved
        return result

    def may_call(self, number: int) -> bool:
        return self.calls.count(number) < DEPTH and bool(self.called(number))

    def called(self, number: int) -> tuple[Node, ...]:
        return self.groups.get(number, ()) if number else (self.pattern.root,)

    # Zero-width signs.

    def assertion(self, node: Assertion, rest: Rest) -> Rest:
        lines = "m" in node.flags
        match node.sign:
            case "^" | "A" | "G":
                newline = lines and node.sign == "^"
                return tuple(
                    each if s == () or (newline and s == _NEWLINE) else NOTHING
                    for s, each in zip(self.situations, rest, strict=True)
                )
            case "$":
                final = cat(chars(_NEWLINE), ANY) if lines else chars(_NEWLINE)
                return _intersections(either(EPSILON, final), rest)
            case "Z" | "z":
                return _intersections(EPSILON, rest)
            case "K":
                return rest
        word = self.words(node.flags)
        before_word = _intersections(cat(chars(word), ANY), rest)
        before_other = _intersections(either(EPSILON, cat(chars(complement(word)), ANY)), rest)
        result = []
        for s, word_next, other_next in zip(self.situations, before_word, before_other, strict=True):
            inside = bool(intersection(s, word))
            starts, ends = NOTHING if inside else word_next, other_next if inside else NOTHING
            same = word_next if inside else other_next
            result.append({"b": either(starts, ends), "B": same, "m": starts, "M": ends}[node.sign])
        return tuple(result)

    def look_ahead(self, node: Look, rest: Rest) -> Rest:
        seen = self.after(node.body, self.everywhere(ANY))
        if node.positive:
            return tuple(map(both, seen, rest))
        return tuple(
            both(negation(x), each) if x.exact else enlarged(each) for x, each in zip(seen, rest, strict=True)
        )

    def look_behind(self, node: Look, rest: Rest) -> Rest:
        result = []
        for situation, each in zip(self.situations, rest, strict=True):
            holds = self.holds_behind(node.body, situation)
            unknown = enlarged(each) if holds is None else NOTHING
            result.append(each if holds == node.positive else unknown)
        return tuple(result)

    def holds_behind(self, node: Node, situation: Ranges) -> bool | None:
        """Return whether `node` matches up to here, or None if the last character does not tell."""
        match node:
            case Characters():
                return bool(intersection(situation, self.set_of(node)))
            case Group(_, body) | Sequence((body,)):
                return self.holds_behind(body, situation)
            case Sequence(()):
                return True
            case Alternation(branches):
                answers = [self.holds_behind(branch, situation) for branch in branches]
                return True if True in answers else None if None in answers else False
            case Assertion("^" | "A" | "G" as sign, flags):
                return situation == () or (sign == "^" and "m" in flags and situation == _NEWLINE)
        if situation == () and not self.by_itself(node).nullable:
            return False
        return None

    # Atomic groups.

    def atomic(self, node: Node, rest: Rest) -> Rest:
        """Return what the first match of `node` and then `rest` match.

        If all its matches have the same length, the first one is as good as any. Of alternatives, a later one is
        tried where no match of the earlier begins; a loop goes on as long as its body matches.
        """
        if length(node, self.groups) is not None:
            return self.after(node, rest)
        match node:
            case Group(_, body) | Atomic(body) | Sequence((body,)):
                return self.atomic(body, rest)
            case Sequence((first, *others)) if length(first, self.groups) is not None:
                return self.after(first, self.atomic(Sequence(tuple(others)), rest))
            case Sequence((Alternation(branches), *others)):
                ways = tuple(Sequence((branch, *others)) for branch in branches)
                return self.atomic(Alternation(ways), rest)
            case Alternation(branches):
                return self.first_of(branches, rest)
            case Repeat(body, 0, 1, "greedy"):
                return self.first_of((body, EMPTY), rest)
            case Repeat(body, least, _, "lazy") if length(body, self.groups):
                return self.after(Repeat(body, least, least, "greedy"), rest)
            case Repeat(body, least, most, "greedy") if length(body, self.groups):
                alone = self.by_itself(body)
                if alone.exact:
                    stop = negation(cat(alone, ANY))
                    shorter = loop(alone, least, None if most is None else most - 1)
                    ended = self.prefixed(shorter, _intersections(stop, rest))
                    if most is None:
                        return ended
                    return _unions([ended, self.prefixed(loop(alone, most, most), rest)])
        return _enlarged(self.after(node, rest))

    def first_of(self, branches: tuple[Node, ...], rest: Rest) -> Rest:
        result = self.atomic(branches[-1], rest)
        for branch in reversed(branches[:-1]):
            otherwise = self.look_ahead(Look(True, False, branch), result)
            result = _unions([self.atomic(branch, rest), otherwise])
        return result

    # Nodes by themselves.

    def by_itself(self, node: Node) -> Language:
        """Return the texts that `node` matches, wherever it stands; not exact if that depends on where."""
        key = (id(node), self.calls)
        if key not in self.alone:
            self.work += 1
            self.alone[key] = node, self._by_itself(node)  # the node is kept, so that its id stays its own
        return self.alone[key][1]

    def _by_itself(self, node: Node) -> Language:
        match node:
            case Characters():
                return chars(self.set_of(node))
            case Sequence(items):
                return cat(*map(self.by_itself, items))
            case Alternation(branches):
                return either(*map(self.by_itself, branches))
            case Group(_, body):
                return self.by_itself(body)
            case Atomic(body):
                inner = self.by_itself(body)
                return enlarged(inner) if length(body, self.groups) is None else inner
            case Repeat(body, least, most, mode):
                inner = loop(self.by_itself(body), least, most)
                first = mode == "possessive" and length(node, self.groups) is None
                return enlarged(inner) if first else inner
            case Assertion("K"):
                return EPSILON
            case Assertion() | Look():
                return enlarged(EPSILON)
            case Condition(0, _, no):
                return self.by_itself(no)
            case Condition(_, yes, no):
                return enlarged(either(self.by_itself(yes), self.by_itself(no)))
            case Verb(name):
                return NOTHING if name in ("F", "FAIL") else enlarged(EPSILON)
            case Call(number) if self.may_call(number) and self.work < BUDGET:
                saved, self.calls = self.calls, (*self.calls, number)
                result = either(*map(self.by_itself, self.called(number)))
                self.calls = saved
                return result
            case Reference(number, "") if self.may_call(number) and self.work < BUDGET:
                return enlarged(self._by_itself(Call(number)))
        return enlarged(self.anything)


def _unions(rests: list[Rest]) -> Rest:
    return tuple(map(either, *rests))


def _enlarged(rest: Rest) -> Rest:
    return tuple(map(enlarged, rest))


def _intersections(language: Language, rest: Rest) -> Rest:
    found = {each: both(language, each) for each in rest}
    return tuple(found[each] for each in rest)
