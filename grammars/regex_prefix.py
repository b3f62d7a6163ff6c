r"""A pattern whose partial matches are all the prefixes that a given pattern's texts may have, and perhaps more.

`regex` tells of a text whether a longer one could match (`fullmatch(text, partial=True)`). It answers yes as soon
as any way of matching reads past the end. But it takes that end for the end of the text wherever it does not read:
an assertion such as `\b`, or a reference to a group that has not matched yet, then fails although more text could
make it hold, and a `$` holds although more text could make it fail. A matcher must not forbid what can be
completed, so the pattern is rewritten such that

* every zero-width test holds at the end of what is there: A becomes (?:A|\Z). Whatever way of matching arrives at
  the end then answers yes. Until the first one does, all goes as it would with more text.
* no negation depends on the end: within a negative look-ahead, a test that the end decides never holds, and a
  look-around that holds anything more difficult is left out;
* what lets more ways of matching through than there are (a look-ahead that was made to hold, something left out)
  does not stand in an atomic group or a possessive loop, which would stop at the first way: those become ordinary;
* groups that are captured in look-aheads are not referred to, since they may change with more text.

Groups are written with names, so that references are right though some were left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    Pattern,
    Reference,
    Repeat,
    Sequence,
    Verb,
    walk,
)

ANYTHING = "(?s:.*)"
NEVER = "(?!)"
HERE = ""


@dataclass(frozen=True)
class Written:
    """A part of the new pattern.

    Attributes
    ----------
    text:
        Its source.
    loose:
        Whether it may match in more ways than the original part does, at a place where the original is decided.
    """

    text: str
    loose: bool = False


def prefix_pattern(pattern: Pattern) -> str | None:
    """Return the source of the rewritten pattern, or None if it would tell no more than a regular superset."""
    writer = _Writer(pattern)
    text = writer.write(pattern.root).text
    ascii_only = any("a" in getattr(node, "flags", "") for node in walk(pattern.root))
    return ("(?a)" if ascii_only else "") + text if writer.telling else None


class _Writer:
    def __init__(self, pattern: Pattern) -> None:
        self.looked = {
            group.number
            for node in walk(pattern.root)
            if isinstance(node, Look)
            for group in walk(node.body)
            if isinstance(group, Group)
        }
        """The groups that look-arounds capture."""
        self.groups = pattern.groups()
        self.within = 0
        """How many look-aheads are open."""
        self.telling = False
        """Whether anything was written that is not regular."""

    def write(self, node: Node) -> Written:
        match node:
            case Characters(source, flags):
                return Written(_flagged(source, flags))
            case Sequence(items):
                return self.joined("", items)
            case Alternation(branches):
                inner = self.joined("|", branches)
                return Written(f"(?:{inner.text})", inner.loose)
            case Group(number, body):
                inner = self.write(body)
                name = "?:" if number in self.looked else f"?P<g{number}>"
                return Written(f"({name}{inner.text})", inner.loose)
            case Repeat():
                return self.repeat(node)
            case Atomic(body):
                inner = self.write(body)
                if inner.loose:
                    return Written(f"(?:{inner.text})", True)
                self.telling = True
                return Written(f"(?>{inner.text})")
            case Assertion("K"):
                return Written(HERE)
            case Assertion("$", flags) if "m" not in flags:
                return Written("$", True)  # it holds before a last newline, behind which there may be more
            case Assertion():
                return self.test(_source(node))
            case Look():
                return self.look(node)
            case Condition():
                return self.condition(node)
            case Reference(number, flags):
                if number in self.looked or number not in self.groups:
                    return Written(ANYTHING, True)
                self.telling = True
                return self.test(_flagged(f"(?P=g{number})", flags))
            case Call(number):
                if number in self.looked or (number and number not in self.groups):
                    return Written(ANYTHING, True)
                self.telling = True
                called = "(?R)" if number == 0 else f"(?&g{number})"
                return Written(self.test(called).text, True)  # whatever is loose in what is called
            case Verb(name):
                return Written(NEVER) if name in ("F", "FAIL") else Written(HERE, True)
        return Written(ANYTHING, True)

    def joined(self, sign: str, nodes: tuple[Node, ...]) -> Written:
        parts = [self.write(node) for node in nodes]
        return Written(sign.join(part.text for part in parts), any(part.loose for part in parts))

    def test(self, source: str) -> Written:
        """Return a zero-width test that holds at the end, too; within a look-ahead that makes it loose."""
        return Written(rf"(?:{source}|\Z)", self.within > 0)

    def repeat(self, node: Repeat) -> Written:
        inner = self.write(node.body)
        mode = {"greedy": "", "lazy": "?", "possessive": "+"}[node.mode]
        if mode == "+":
            mode = "" if inner.loose else mode
            self.telling |= not inner.loose
        return Written(f"(?:{inner.text}){_counts(node)}{mode}", inner.loose)

    def look(self, node: Look) -> Written:
        if node.ahead and node.positive:
            self.within += 1
            inner = self.write(node.body)
            self.within -= 1
            self.telling = True
            return Written(f"(?={inner.text})", inner.loose)
        body = _certain(node.body, behind=not node.ahead)
        if body is None:
            return Written(HERE, True)
        self.telling = True
        opening = ("?!" if node.ahead else "?<=" if node.positive else "?<!") + body
        tested = self.test(f"({opening})")
        return Written(tested.text, tested.loose or node.ahead)

    def condition(self, node: Condition) -> Written:
        if isinstance(node.test, Look):
            other = replace(node.test, positive=not node.test.positive)
            ways = (Sequence((node.test, node.yes)), Sequence((other, node.no)))
            return self.write(Alternation(ways))
        if node.test == 0:
            no = self.write(node.no)
            return Written(f"(?(DEFINE){self.write(node.yes).text}){no.text}", no.loose)
        if node.test in self.looked or node.test not in self.groups:
            return Written(self.write(Alternation((node.yes, node.no))).text, True)
        self.telling = True
        yes, no = self.write(node.yes), self.write(node.no)
        tested = self.test(f"(?(g{node.test}){yes.text}|{no.text})")
        return Written(tested.text, tested.loose or yes.loose or no.loose)


def _certain(node: Node, *, behind: bool) -> str | None:
    """Return the source of the body of a look-around that holds only if it would with more text, whatever that is.

    None if the body is too difficult, or could only hold at the end.
    """
    match node:
        case Characters(source, flags):
            return _flagged(source, flags)
        case Sequence(items):
            parts = [_certain(item, behind=behind) for item in items]
            return None if None in parts else "".join(filter(None, parts))
        case Alternation(branches):
            parts = [_certain(branch, behind=behind) for branch in branches]
            if behind and None in parts:
                return None
            known = [part for part in parts if part is not None]
            return f"(?:{'|'.join(known)})" if known else None
        case Group(_, body):
            inner = _certain(body, behind=behind)
            return None if inner is None else f"(?:{inner})"
        case Repeat(body, _, _, mode) if mode != "possessive":
            inner = _certain(body, behind=behind)
            return None if inner is None else f"(?:{inner}){_counts(node)}{'?' if mode == 'lazy' else ''}"
        case Assertion("^" | "A" | "G"):
            return _source(node)
        case Assertion("$", flags) if "m" in flags and not behind:
            return r"(?=\n)"
        case Assertion("b" | "B" | "m" | "M"):
            return _source(node) if behind else rf"{_source(node)}(?!\Z)"
    return None


def _source(node: Assertion) -> str:
    sign = node.sign if node.sign in "^$" else f"\\{node.sign}"
    return _flagged(sign, node.flags)


def _flagged(source: str, flags: str) -> str:
    """Return a part of a pattern with its flags; `a` is one of the whole pattern."""
    flags = flags.replace("a", "")
    return f"(?{flags}:{source})" if flags else source


def _counts(node: Repeat) -> str:
    return f"{{{node.least},{'' if node.most is None else node.most}}}"
