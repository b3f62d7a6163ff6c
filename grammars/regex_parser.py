r"""Reading patterns: from the text that `regex.compile` accepts to a syntax tree.

A pattern is first compiled by `regex`, which is the judge of what is valid; this parser need not report mistakes.
What it does not describe (case folding that changes lengths, the flags `w`, `p` and `r`, ...) it gives up on with
`Unread`; such a pattern is enforced by `regex` alone, on complete texts.
"""

from __future__ import annotations

import re

import regex

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
    Mode,
    Node,
    Opaque,
    Pattern,
    Reference,
    Repeat,
    Sequence,
    Verb,
)

_POSIX = re.compile(r"\[:\^?[\w &.\-]*(?:[:=][\w &./\-]+)?:\]", re.ASCII)
_PROPERTY = re.compile(r"\{\^?[\w &.\-]*(?:[:=][\w &./\-]+)?\}", re.ASCII)
_QUANTIFIERS = {"?": (0, 1), "*": (0, None), "+": (1, None)}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_SET_OPERATORS = ("||", "~~", "&&", "--")


class Unread(Exception):
    """A pattern that is left to `regex` as a whole."""


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


class _Parser:
    """A recursive descent; one method per construct.

    In verbose patterns (flag `x`), white space and comments may stand between any two signs, except right behind
    a parenthesis or backslash and in sets.
    """

    def __init__(self, text: str, version: int, names: dict[str, int]) -> None:
        self.text = text
        self.numbers = names
        """The numbers of all named groups, which references may precede."""
        self.at = 0
        self.nested = version == regex.V1
        """Whether sets nest and have operators."""
        self.flags = frozenset("f" if self.nested else "")
        self.names: dict[str, int] = {}
        self.count = 0
        """The number of the last capture group that was opened."""
        self.open: list[int] = []
        self.begun = False
        """Whether anything but flags has been read."""

    # Signs.

    def take(self, *, raw: bool = False) -> str:
        """Return the next sign and go on behind it; "" at the end."""
        if not raw:
            self.skip_ignored()
        sign = self.text[self.at : self.at + 1]
        self.at += len(sign)
        return sign

    def skip_ignored(self) -> None:
        """Go on behind white space and comments, if the pattern is verbose here."""
        found = re.compile(r"(?:\s|#.*)*").match(self.text, self.at)
        if found and "x" in self.flags:
            self.at = found.end()

    def match(self, signs: str) -> bool:
        """Go on behind `signs` if they come next, and return whether they do."""
        before = self.at
        if all(self.take() == sign for sign in signs):
            return True
        self.at = before
        return False

    def expect(self, signs: str) -> None:
        if not self.match(signs):
            raise Unread(f"no {signs!r} at {self.at}")

    def run(self, wanted: str) -> str:
        """Return the longest run of signs that the class `wanted` matches."""
        taken = ""
        while True:
            before = self.at
            sign = self.take()
            if not sign or not re.fullmatch(wanted, sign):
                self.at = before
                return taken
            taken += sign

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

    def one(self, source: str) -> Node:
        if {"i", "f"} <= self.flags and "a" not in self.flags:
            raise Unread("case folding that changes lengths")
        return Characters(source, "".join(sorted(self.flags & set("ais"))))

    def assertion(self, sign: str) -> Node:
        return Assertion(sign, "".join(sorted(self.flags & set("am"))))

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

    # Sets.

    def set(self) -> Node:
        begin = self.at - 1
        if self.text[self.at : self.at + 1] == "^":
            self.at += 1
        self.set_body()
        return self.one(self.text[begin : self.at])

    def set_body(self) -> None:
        """Go on behind the bracket that closes a set; its first member may be a bracket."""
        self.set_member()
        while True:
            if self.text[self.at : self.at + 1] == "]":
                self.at += 1
                return
            if self.nested and self.text.startswith(_SET_OPERATORS, self.at):
                self.at += 2
            self.set_member()

    def set_member(self) -> None:
        sign = self.text[self.at : self.at + 1]
        posix = _POSIX.match(self.text, self.at)
        if not sign:
            raise Unread("an open set")
        if sign == "\\":
            self.at += 2
        elif posix:
            self.at = posix.end()
        elif sign == "[" and self.nested:
            self.at += 1
            if self.text[self.at : self.at + 1] == "^":
                self.at += 1
            self.set_body()
        else:
            self.at += 1

    # Escapes.

    def escape(self) -> Node:
        sign = self.take(raw=True)
        if sign in _HEX_DIGITS:
            digits = "".join(self.take() for _ in range(_HEX_DIGITS[sign]))
            return self.one(f"\\{sign}{digits}")
        if sign in "AbBmMZzGK":
            return self.assertion(sign)
        if sign == "g":
            return self.reference_escape()
        if sign in "pPN":
            return self.braced(sign)
        if sign == "R":
            newlines = self.one(r"[\n\x0B\f\r\x85\u2028\u2029]")
            return Atomic(Alternation((Sequence((Characters(r"\r"), Characters(r"\n"))), newlines)))
        if sign == "X":
            return Opaque()
        if sign == "L":
            raise Unread("a named list")
        if sign.isascii() and sign.isdigit():
            return self.numeric(sign)
        return self.one(f"\\{sign}")

    def braced(self, sign: str) -> Node:
        r"""Read what follows `\p`, `\P` or `\N`; without a name, these are letters."""
        self.skip_ignored()
        if sign != "N" and (short := self.text[self.at : self.at + 1]) and short in "CLMNPSZ":
            self.at += 1
            return self.one(f"\\{sign}{short}")
        form = re.compile(r"\{[\w \-]+\}", re.ASCII) if sign == "N" else _PROPERTY
        found = form.match(self.text, self.at)
        if found:
            self.at = found.end()
            return self.one(f"\\{sign}{found[0]}")
        return self.one(sign)

    def numeric(self, first: str) -> Node:
        if first == "0":
            octal = re.compile("[0-7]{0,2}").match(self.text, self.at)
            assert octal
            self.at = octal.end()
            return self.one(rf"\0{octal[0]}")
        digits = first
        before = self.at
        sign = self.take()
        if sign and sign in "0123456789":
            digits += sign
            before = self.at
            sign = self.take()
            if re.fullmatch("[0-7]{3}", digits + sign):
                return self.one(f"\\{digits}{sign}")
        self.at = before
        return self.reference(digits)

    def reference_escape(self) -> Node:
        r"""Read what follows `\g`: a group in angle brackets, or it is a letter."""
        before = self.at
        if self.match("<"):
            name = self.run(r"[^)>]")
            if self.match(">") and name:
                return self.reference(name)
        self.at = before
        return self.one("g")

    def reference(self, name: str) -> Node:
        number = self.number(name)
        if number in self.open:
            raise Unread("a reference to an open group")
        return Reference(number, "i" if "i" in self.flags else "")

    def number(self, name: str) -> int:
        return int(name) if name.isdigit() else self.numbers.get(name, 0)

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


_LOOKS = {"=": (True, True), "!": (True, False), "<=": (False, True), "<!": (False, False)}
"""How look-arounds open behind the question mark, and whether they look ahead and are positive."""
