r"""Reading patterns, sign by sign: what stands for one character or for a position.

Everything here follows the `regex` package's own reading, white space and comments in verbose patterns included.
"""

from __future__ import annotations

import re

import regex

from grammars.regex_syntax import (
    Alternation,
    Assertion,
    Atomic,
    Characters,
    Node,
    Opaque,
    Reference,
    Sequence,
)

_POSIX = re.compile(r"\[:\^?[\w &.\-]*(?:[:=][\w &./\-]+)?:\]", re.ASCII)
_PROPERTY = re.compile(r"\{\^?[\w &.\-]*(?:[:=][\w &./\-]+)?\}", re.ASCII)
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_SET_OPERATORS = ("||", "~~", "&&", "--")


class Unread(Exception):
    """A pattern that is left to `regex` as a whole."""


class Reader:
    """Reads signs, sets and escapes.

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
        self.open: list[int] = []
        """The groups that are being read."""

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
        """Go on behind `signs`, which must come next."""
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

    # Single characters and positions.

    def one(self, source: str) -> Node:
        """Return the node of one character that `source` matches under the flags there are."""
        if {"i", "f"} <= self.flags and "a" not in self.flags:
            raise Unread("case folding that changes lengths")
        return Characters(source, "".join(sorted(self.flags & set("ais"))))

    def assertion(self, sign: str) -> Node:
        """Return the node of a zero-width sign."""
        return Assertion(sign, "".join(sorted(self.flags & set("am"))))

    # Sets.

    def set(self) -> Node:
        """Read a set, behind its opening bracket."""
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
        """Go on behind a character, an escape, a POSIX class or a nested set."""
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
        """Read what follows a backslash."""
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
        """Read a digit and what belongs to it: a character by its octal number, or a reference."""
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
        """Return the reference to a group by its number or name."""
        number = self.number(name)
        if number in self.open:
            raise Unread("a reference to an open group")
        return Reference(number, "i" if "i" in self.flags else "")

    def number(self, name: str) -> int:
        """Return the number of a group that is given by number or name; 0 if there is none."""
        return int(name) if name.isdigit() else self.numbers.get(name, 0)
