r"""The rest of a text: what may follow a place in a pattern, for each situation there.

A *situation* tells what the last character was: none, at the start of the text, or one of a few sets that tell apart
what the pattern asks, such as word characters for `\b`. It also tells what the groups have captured that can be
followed (`regex_captures`). A *rest* is a table of one language for each situation. Characters C before a rest r
give, in every situation, the union of (C ∩ S) r[S] over the sets S.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from grammars.regex_alone import Alone, Captures
from grammars.regex_captures import capture_states
from grammars.regex_characters import Ranges, complement, intersection, normal, partition
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
)
from grammars.regex_syntax import Assertion, Characters, Look, Pattern, walk

Rest: TypeAlias = tuple[Language, ...]
"""What may follow, for each situation."""

UNROLLED = 12
"""Loops around look-arounds and around groups that are followed are written out up to this many times."""
NEWLINE: Ranges = ((10, 10),)


@dataclass(frozen=True)
class Situation:
    """What stands before a place in the text.

    Attributes
    ----------
    last:
        The set that the last character is in; empty at the start of the text.
    captures:
        What the groups that are followed have captured.
    """

    last: Ranges
    captures: Captures


class Rests(Alone):
    """Makes the tables of one pattern."""

    def __init__(self, pattern: Pattern) -> None:
        super().__init__(pattern)
        self.captures = capture_states(self, UNROLLED)
        lasts = [(), *partition(self._asked_behind())]
        self.situations = [Situation(last, captures) for captures in self.captures for last in lasts]
        """Those with equal captures stand together, the start of the text first."""
        self.width = len(lasts)

    def everywhere(self, language: Language) -> Rest:
        """Return the rest that is the same in every situation."""
        return (language,) * len(self.situations)

    def blocks(self, rest: Rest) -> Iterator[tuple[Captures, Rest]]:
        """Yield what groups may have captured, each with its part of the rest."""
        for number, captures in enumerate(self.captures):
            yield captures, rest[number * self.width : (number + 1) * self.width]

    def prefixed(self, languages: Iterable[Language], rest: Rest) -> Rest:
        """Return texts, given for what groups may have captured, and then the rest in the situation after them."""
        blocks = (block for _, block in self.blocks(rest))
        moved = (self.prefixed_block(x, block) for x, block in zip(languages, blocks, strict=True))
        return tuple(each for block in moved for each in block)

    def prefixed_block(self, language: Language, block: Rest) -> Rest:
        """Return the texts of `language` and then the part of a rest for equal captures."""
        if len(set(block)) == 1:
            return (cat(language, block[0]),) * self.width
        ways: dict[Language, Ranges] = {}
        for situation, following in zip(self.situations[1 : self.width], block[1:], strict=True):
            ways[following] = normal((*ways.get(following, ()), *situation.last))
        moved = either(*(cat(ending(language, last), following) for following, last in ways.items()))
        if not language.nullable:
            return (moved,) * self.width
        stayed = block if language.exact else all_enlarged(block)
        return tuple(either(moved, each) for each in stayed)

    def followed(self, language: Language, rest: Rest) -> Rest:
        """Return the texts of `language`, whatever groups have captured, and then the rest."""
        return self.prefixed([language] * len(self.captures), rest)

    def where(self, number: int, text: str | bool, rest: Rest) -> Rest:
        """Return the rest for the situations in which a group has captured `text`, whatever it had before."""
        blocks = {tuple(captures.values()): block for captures, block in self.blocks(rest)}
        keys = (tuple({**captures, number: text}.values()) for captures in self.captures)
        return tuple(each for key in keys for each in blocks[key])

    def asserted(self, node: Assertion, rest: Rest) -> Rest:
        """Return the rest where a zero-width sign holds before it."""
        lines = "m" in node.flags
        match node.sign:
            case "^" | "A" | "G":
                newline = lines and node.sign == "^"
                return tuple(
                    each if s.last == () or (newline and s.last == NEWLINE) else NOTHING
                    for s, each in zip(self.situations, rest, strict=True)
                )
            case "$":
                final = cat(chars(NEWLINE), ANY) if lines else chars(NEWLINE)
                return intersections(either(EPSILON, final), rest)
            case "Z" | "z":
                return intersections(EPSILON, rest)
            case "K":
                return rest
        word = self.word_characters(node.flags)
        before_word = intersections(cat(chars(word), ANY), rest)
        before_other = intersections(either(EPSILON, cat(chars(complement(word)), ANY)), rest)
        result = []
        for s, word_next, other_next in zip(self.situations, before_word, before_other, strict=True):
            inside = bool(intersection(s.last, word))
            starts, ends = NOTHING if inside else word_next, other_next if inside else NOTHING
            same = word_next if inside else other_next
            result.append({"b": either(starts, ends), "B": same, "m": starts, "M": ends}[node.sign])
        return tuple(result)

    def _asked_behind(self) -> Iterable[Ranges]:
        for node in walk(self.pattern.root):
            if isinstance(node, Assertion) and node.sign in "bBmM":
                yield self.word_characters(node.flags)
            elif isinstance(node, Assertion) and node.sign == "^" and "m" in node.flags:
                yield NEWLINE
            elif isinstance(node, Look) and not node.ahead:
                yield from (self.set_of(part) for part in walk(node.body) if isinstance(part, Characters))


def unions(rests: Iterable[Rest]) -> Rest:
    """Return what any of several rests allows."""
    return tuple(map(either, *rests))


def all_enlarged(rest: Rest) -> Rest:
    """Mark what is given for each situation as a superset."""
    return tuple(map(enlarged, rest))


def intersections(language: Language, rest: Rest) -> Rest:
    """Return the part of the rest that is in `language`."""
    found = {each: both(language, each) for each in rest}
    return tuple(found[each] for each in rest)
