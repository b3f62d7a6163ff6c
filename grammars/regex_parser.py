r"""Reading patterns: from the text that `regex.compile` accepts to a syntax tree.

A pattern is first compiled by `regex`, which is the judge of what is valid; this parser need not report mistakes.
What it does not describe (case folding that changes lengths, the flags `w`, `p` and `r`, ...) it gives up on with
`Unread`; such a pattern is enforced by `regex` alone, on complete texts.
"""

from __future__ import annotations

import re

import regex

from grammars.regex_reader import Reader, Unread
from grammars.regex_syntax import (
    EMPTY,
    Alternation,
    Atomic,
    Call,
    Condition,
    Group,
    Look,
    Mode,
    Node,
    Opaque,
    Pattern,
    Repeat,
    Sequence,
    Verb,
    children,
    walk,
)

_QUANTIFIERS = {"?": (0, 1), "*": (0, None), "+": (1, None)}
_LOOKS = {"=": (True, True), "!": (True, False), "<=": (False, True), "<!": (False, False)}
"""How look-arounds open behind the question mark, and whether they look ahead and are positive."""


def read_pattern(compiled: regex.Pattern[str], version: int) -> Pattern:
    """Return the syntax tree of a pattern that was compiled with the flag `version`.

    Raises
    ------
    Unread
        If it holds what the tree does not describe.
    """
    parser = _Parser(compiled.pattern, version, dict(compiled.groupindex))
    root = parser.alternation()
    parser.skip_ignored()
    if parser.at < len(compiled.pattern):
        raise Unread("unbalanced parenthesis")
    return Pattern(root, version)


class _Parser(Reader):
    """A recursive descent; one method per construct."""

    def __init__(self, text: str, version: int, names: dict[str, int]) -> None:
        super().__init__(text, version, names)
        self.names: dict[str, int] = {}
        """The numbers of the named groups that were opened."""
        self.count = 0
        """The number of the last group that was opened."""
        self.begun = False
        """Whether anything but flags has been read."""

    # Patterns.

    def alternation(self) -> Node:
        branches = [self.sequence()]
        while self.match("|"):
            branches.append(self.sequence())
        return branches[0] if len(branches) == 1 else Alternation(tuple(branches))

    def sequence(self) -> Node:
        items: list[Node] = []
        while True:
            before = self.at
            sign = self.take()
            if sign in ("", ")", "|"):
                self.at = before
                return items[0] if len(items) == 1 else Sequence(tuple(items))
            if sign in "?*+{":
                if counts := self.counts(sign):
                    items.append(self.repeat(items.pop(), *counts))
                    continue
                if self.fuzzy():
                    last = items.pop()
                    items.append(Group(last.number, Opaque()) if isinstance(last, Group) else Opaque())
                    continue
            node = self.atom(sign)
            if node is not None:
                items.append(node)
                self.begun = True

    def atom(self, sign: str) -> Node | None:
        match sign:
            case "\\":
                return self.escape()
            case "(":
                return self.parenthesis()
            case "[":
                return self.set()
            case ".":
                return self.one(".")
            case "^" | "$":
                return self.assertion(sign)
        return self.one(regex.escape(sign))

    # Quantifiers.

    def counts(self, sign: str) -> tuple[int, int | None] | None:
        """Return the counts of a quantifier that begins with `sign`, or None if it is none."""
        if sign != "{":
            return _QUANTIFIERS[sign]
        before = self.at
        low = self.run("[0-9]")
        high: str | None = low
        if self.match(","):
            high = self.run("[0-9]")
        elif not low:
            high = None
        if high is None or not self.match("}"):
            self.at = before
            return None
        return int(low or 0), int(high) if high else None

    def repeat(self, body: Node, least: int, most: int | None) -> Node:
        before = self.at
        sign = self.take()
        mode: Mode = "greedy"
        if sign == "?":
            mode = "lazy"
        elif sign == "+":
            mode = "possessive"
        else:
            self.at = before
        return body if body == EMPTY or (least, most) == (1, 1) else Repeat(body, least, most, mode)

    def fuzzy(self) -> bool:
        """Whether a limit of errors stands here, such as `e<=1}`; go on behind it."""
        found = re.compile(r"(?:[deis]|[0-9]+[^}]*<)[^}]*\}").match(self.text, self.at)
        if found is None:
            return False
        if ":" in found[0] or "x" in self.flags:
            raise Unread("a fuzzy match with a test")
        self.at = found.end()
        return True

    # Parentheses.

    def parenthesis(self) -> Node | None:
        if self.text.startswith("?", self.at):
            self.at += 1
            return self.extension()
        verb = re.compile(r"\*([A-Za-z]+)\)").match(self.text, self.at)
        if verb:
            self.at = verb.end()
            return Verb(verb[1])
        return self.capture(None)

    def extension(self) -> Node | None:
        rest = self.text[self.at :]
        for opening, look in _LOOKS.items():
            if rest.startswith(opening):
                self.at += len(opening)
                return Look(*look, self.inside())
        if rest.startswith(("P<", "<")):
            self.at += 1 + rest.startswith("P")
            name = self.run("[^)>]")
            self.expect(">")
            return self.capture(name)
        if rest.startswith("P="):
            self.at += 2
            return self.reference(self.closed_name())
        if rest.startswith(("P>", "P&", "&")):
            self.at += 1 + rest.startswith("P")
            return Call(self.number(self.closed_name()))
        if rest.startswith("#"):
            self.comment()
            return None
        if rest.startswith("("):
            self.at += 1
            return self.condition()
        if rest.startswith(">"):
            self.at += 1
            return Atomic(self.inside())
        if rest.startswith("|"):
            self.at += 1
            return self.branch_reset()
        if call := re.compile(r"(?:R|[+-]?[0-9]+)\)").match(rest):
            return self.call(call[0])
        return self.flagged()

    def capture(self, name: str | None) -> Node:
        number = self.names.get(name) if name else None
        if number is None:
            self.count += 1
            while name and self.count in self.names.values():
                self.count += 1
            number = self.count
            if name:
                self.names[name] = number
        if number in self.open:
            raise Unread("a group within a group of the same name")
        self.open.append(number)
        body = self.inside()
        self.open.pop()
        return Group(number, body)

    def inside(self) -> Node:
        """Read to the closing parenthesis, behind which the flags are as before."""
        saved = self.flags
        body = self.alternation()
        self.expect(")")
        self.flags = saved
        return body

    def closed_name(self) -> str:
        name = self.run("[^)>]")
        self.expect(")")
        return name

    def comment(self) -> None:
        found = re.compile(r"#(?:[^)\\]|\\.)*\)", re.DOTALL).match(self.text, self.at)
        if not found:
            raise Unread("an open comment")
        self.at = found.end()

    def call(self, text: str) -> Node:
        self.at += len(text)
        name = text[:-1]
        if name.startswith("+"):
            return Call(self.count + int(name[1:]))
        if name.startswith("-"):
            return Call(self.count - int(name[1:]) + 1)
        return Call(0 if name == "R" else int(name))

    def condition(self) -> Node:
        saved = self.flags
        test: int | Look
        if self.text.startswith("?", self.at):
            opening = next(key for key in _LOOKS if self.text.startswith(key, self.at + 1))
            self.at += 1 + len(opening)
            test = Look(*_LOOKS[opening], self.inside())
            leaves = (node for node in walk(test.body) if not children(node) and node != EMPTY)
            if not test.positive and not any(leaves):  # `regex` confuses it with one that holds
                raise Unread("a condition that never holds")
        else:
            test = self.number(self.closed_name())
        yes = self.sequence()
        no = self.sequence() if self.match("|") else EMPTY
        self.expect(")")
        self.flags = saved
        return Condition(test, yes, no)

    def branch_reset(self) -> Node:
        first = last = self.count
        branches = [self.sequence()]
        last = max(last, self.count)
        while self.match("|"):
            self.count = first
            branches.append(self.sequence())
            last = max(last, self.count)
        self.count = last
        self.expect(")")
        return Alternation(tuple(branches))

    def flagged(self) -> Node | None:
        """Read flags, for the rest of the group, or for the pattern behind a colon."""
        found = re.compile(r"((?:V[01]|[a-zA-Z])*)(?:-([a-zA-Z]*))?([:)])").match(self.text, self.at)
        if not found:
            raise Unread("an unknown extension")
        self.at = found.end()
        on, off = set(re.sub("V[01]", "", found[1])), set(found[2] or "")
        if unread := (on | off) & set("wprLV"):
            raise Unread(f"flag {min(unread)}")
        scoped = found[3] == ":"
        encoding = (on | off) & set("au") or ("a" in self.flags and scoped)
        if encoding and (scoped or self.begun or self.open or off & set("au")):
            raise Unread("a flag of the encoding within the pattern")
        saved = self.flags
        self.flags = (self.flags | (on - set("beu"))) - off
        if not scoped:
            return None
        self.begun = True
        body = self.alternation()
        self.expect(")")
        self.flags = saved
        return body
