r"""What a pattern says in terms that the mask engine can enforce: a regular superset of its texts.

A construct in the middle of a pattern restricts the text on both sides of it. So a node is translated together with
its *rest*: what may follow it up to the end of the text. A look-ahead (?=x) then is an intersection, of the rest
with the texts that begin with x; a negative one the intersection with the complement. Behind, the rest depends on
the situation (`regex_rest`).

What cannot be said that way (references to groups of many texts, recursion, longer look-behinds, most look-arounds in
loops, ...) is enlarged, and the result is marked as not exact. Under a negation nothing may be enlarged: there the
whole look-around is left out.
"""

from __future__ import annotations

from dataclasses import replace

from grammars.regex_alone import BUDGET
from grammars.regex_captures import TEXTS
from grammars.regex_characters import intersection
from grammars.regex_language import (
    ANY,
    EPSILON,
    NOTHING,
    Chars,
    Language,
    both,
    cat,
    either,
    enlarged,
    literal,
    loop,
    negation,
    words,
)
from grammars.regex_rest import NEWLINE, UNROLLED, Rest, Rests, Situation, all_enlarged, intersections, unions
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
    Pattern,
    Repeat,
    Sequence,
    length,
)

AVOIDED = 40
"""The most beginnings of words that a loop is to avoid."""


def translate(pattern: Pattern) -> Language:
    """Return the texts of a pattern, or a superset that is marked as such."""
    translator = _Translator(pattern)
    return translator.after(pattern.root, translator.everywhere(EPSILON))[0]


class _Translator(Rests):
    """Translates the nodes of one pattern with their rest."""

    def after(self, node: Node, rest: Rest) -> Rest:
        """Return what `node` and then `rest` match, for each situation before the node."""
        self.work += 1
        if self.work > BUDGET:
            return self.everywhere(enlarged(ANY))
        alone = [self.by_itself(node, captures) for captures in self.captures]
        if all(each.exact for each in alone):
            return self.prefixed(alone, rest)
        match node:
            case Sequence(items):
                for item in reversed(items):
                    rest = self.after(item, rest)
                return rest
            case Alternation(branches):
                return unions([self.after(branch, rest) for branch in branches])
            case Group(number, body):
                return self.captured(node, rest) if number in self.captures[0] else self.after(body, rest)
            case Repeat():
                return self.repeat(node, rest)
            case Atomic(body):
                return self.atomic(body, rest)
            case Assertion():
                return self.asserted(node, rest)
            case Look(ahead=True):
                return self.look_ahead(node, rest)
            case Look():
                return self.look_behind(node, rest)
            case Condition():
                return self.condition(node, rest)
            case Call(number) if self.may_call(number):
                saved, self.calls = self.calls, (*self.calls, number)
                result = unions([self.after(body, rest) for body in self.called(number)])
                self.calls = saved
                return result
        return self.prefixed(alone, rest)

    def captured(self, node: Group, rest: Rest) -> Rest:
        """Return what a group that is followed and then the rest match."""
        if any(captures[node.number] is True for captures in self.captures):
            return self.after(node.body, self.where(node.number, True, rest))
        texts = words(self.by_itself(node.body), TEXTS) or ()
        return unions(self.followed(literal(text), self.where(node.number, text, rest)) for text in texts)

    def condition(self, node: Condition, rest: Rest) -> Rest:
        if isinstance(node.test, Look):
            other = replace(node.test, positive=not node.test.positive)
            ways = ((node.test, node.yes), (other, node.no))
            either_way = unions([self.after(Sequence(way), rest) for way in ways])
            # after a negative condition, `regex` overlooks matches: (?(?!b)(?:ac|d)|b) of `d`
            return either_way if node.test.positive else all_enlarged(either_way)
        if node.test == 0:
            return self.after(node.no, rest)
        yes, no = self.after(node.yes, rest), self.after(node.no, rest)
        if node.test not in self.captures[0]:
            return all_enlarged(unions([yes, no]))
        return tuple(
            on_no if situation.captures[node.test] is False else on_yes
            for situation, on_yes, on_no in zip(self.situations, yes, no, strict=True)
        )

    def repeat(self, node: Repeat, rest: Rest) -> Rest:
        if node.mode == "possessive":
            return self.atomic(replace(node, mode="greedy"), rest)
        if node.most is None or node.most > UNROLLED:
            avoiding = self.avoiding(node, rest)
            return avoiding or self.prefixed([self.by_itself(node, c) for c in self.captures], rest)
        result = rest
        for _ in range(node.most - node.least):
            result = unions([rest, self.after(node.body, result)])
        for _ in range(node.least):
            result = self.after(node.body, result)
        return result

    def avoiding(self, node: Repeat, rest: Rest) -> Rest | None:
        """Return what a loop such as (?:(?!end).)* and then the rest match; None for other loops.

        No word may begin at a character of the loop, though it may end in the rest. So the text of the loop holds no
        word, and for each way in which it can end with the beginning of a word, the rest is not the end of that word.
        """
        match node.body:
            case Sequence((Look(True, False, body), step)):
                avoided = words(self.by_itself(body), AVOIDED) if self.by_itself(body).exact else None
            case _:
                return None
        members = self.by_itself(step)
        begun = sorted({word[:n] for word in avoided or () for n in range(1, len(word))})
        if not avoided or "" in avoided or not isinstance(members, Chars) or len(begun) > AVOIDED:
            return None
        holding = cat(ANY, either(*map(literal, avoided)), ANY)
        free = both(loop(members, node.least, node.most), negation(holding))
        ways = []
        for end in ["", *begun]:
            longer = (
                negation(cat(ANY, literal(other))) for other in begun if other != end and other.endswith(end)
            )
            ends = sorted({w[n:] for w in avoided for n in range(1, len(w)) if end.endswith(w[:n])})
            following = rest
            for each in ends:
                following = intersections(negation(cat(literal(each), ANY)), following)
            ways.append((both(free, cat(ANY, literal(end)), *longer), following))
        if all(following == rest for _, following in ways):
            return self.followed(free, rest)
        return unions(self.followed(text, following) for text, following in ways)

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

    def holds_behind(self, node: Node, situation: Situation) -> bool | None:
        """Return whether `node` matches up to here, or None if the last character does not tell."""
        match node:
            case Characters():
                return bool(intersection(situation.last, self.set_of(node)))
            case Group(_, body) | Sequence((body,)):
                return self.holds_behind(body, situation)
            case Sequence(()):
                return True
            case Alternation(branches):
                answers = [self.holds_behind(branch, situation) for branch in branches]
                return True if True in answers else None if None in answers else False
            case Assertion("^" | "A" | "G" as sign, flags):
                return situation.last == () or (sign == "^" and "m" in flags and situation.last == NEWLINE)
        if situation.last == () and not self.by_itself(node).nullable:
            return False
        return None

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
                    ended = self.followed(shorter, intersections(stop, rest))
                    if most is None:
                        return ended
                    return unions([ended, self.followed(loop(alone, most, most), rest)])
        return all_enlarged(self.after(node, rest))

    def first_of(self, branches: tuple[Node, ...], rest: Rest) -> Rest:
        result = self.atomic(branches[-1], rest)
        for branch in reversed(branches[:-1]):
            otherwise = self.look_ahead(Look(True, False, branch), result)
            result = unions([self.atomic(branch, rest), otherwise])
        return result
