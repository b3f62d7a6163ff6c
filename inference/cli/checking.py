"""Whether a text is in the language of a constraint, and if not, where it leaves it and how it could have gone on.

The text is read byte by byte, which is exact: what a matcher answers does not depend on how a text is cut into tokens.
A matcher may follow a text into a dead end that only a later byte shows, so the place is the first one where it is
sure that no text goes on like this, and what could come next may hold more than what leads to an end.
"""

from __future__ import annotations

from dataclasses import dataclass

from grammars import SQL, Constraint, JsonSchema, Matcher, ParseError, Vocabulary

_LONGEST = 40
"""Bytes to which what could come next is followed while there is no choice."""

_SEVERAL = 12
"""Up to so many possible bytes are each followed; more are shown as ranges."""

_FEW = 3
"""Up to so many possible characters are not worth a range."""

_BEYOND = "a character beyond ASCII"
_PRINTABLE = range(32, 127)


@dataclass(frozen=True)
class Verdict:
    """What became of a text.

    Attributes
    ----------
    matches:
        Whether it is in the language.
    byte, character:
        How many bytes and characters of it can be read before it leaves the language; all of them, if it matches.
    line, column:
        The same place in lines and characters, from 1.
    read:
        The text up to there.
    found:
        The character there; empty at the end of the text.
    next_bytes:
        The bytes that could have come there.
    expected:
        The same for people: what the text could go on with, ranges such as `a-z`, or words.
    may_end:
        Whether the text could have ended there.
    complete:
        Whether all of it was read, and might be complete; if it does not match, then something refused the whole.
    reason:
        What is wrong, in words; empty if it matches.
    """

    matches: bool
    byte: int
    character: int
    line: int
    column: int
    read: str
    found: str
    next_bytes: tuple[int, ...]
    expected: tuple[str, ...]
    may_end: bool
    complete: bool
    reason: str


def check(constraint: Constraint, text: bytes) -> Verdict:
    """Return the verdict on a text."""
    matcher, at = _reader(constraint), 0
    while at < len(text) and matcher.advance(text[at]):
        at += 1
    if at == len(text) and matcher.is_accepting():
        matches = constraint.accepts(text)
        reason = (
            "" if matches else _said(constraint, text) or f"refused: {', '.join(constraint.final_checks)}"
        )
        return _verdict(text, at, None, matches, reason)
    if at < len(text) and text[at] & 0xC0 == 0x80:  # within a character: back to its beginning
        while at and text[at] & 0xC0 == 0x80:
            at -= 1
        matcher = _reader(constraint)
        matcher.consume(text[:at])
    may_end = matcher.is_accepting() and constraint.accepts(text[:at])
    reason = "the text ends too early" if at == len(text) else "no text of the language goes on like this"
    said = _said(constraint, text)
    return _verdict(text, at, matcher, may_end, f"{reason}: {said}" if said else reason)


def _reader(constraint: Constraint) -> Matcher:
    return constraint.matcher(Vocabulary.of_bytes())


def _said(constraint: Constraint, text: bytes) -> str:
    """Return what the reader of a language says against a text, where it says more than that."""
    if not isinstance(constraint, JsonSchema | SQL):
        return ""
    try:
        constraint.parse(text.decode())
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error.reason} at byte {error.start}"
    except ParseError as error:
        return error.message
    return ""


def _verdict(text: bytes, at: int, matcher: Matcher | None, may_end: bool, reason: str) -> Verdict:
    """Return the verdict at a byte; `matcher` is there, or None if the whole text was read."""
    read, rest = text[:at].decode("utf-8", "replace"), text[at : at + 4].decode("utf-8", "replace")
    following = () if matcher is None else next_bytes(matcher)
    return Verdict(
        matches=not reason,
        byte=at,
        character=len(read),
        line=read.count("\n") + 1,
        column=len(read) - read.rfind("\n"),
        read=read,
        found=rest[:1],
        next_bytes=following,
        expected=() if matcher is None else described(matcher, following),
        may_end=may_end,
        complete=matcher is None,
        reason=reason,
    )


def next_bytes(matcher: Matcher) -> tuple[int, ...]:
    """Return the bytes that may come next."""
    return tuple(byte for byte in range(256) if matcher.allows(byte))


def described(matcher: Matcher, following: tuple[int, ...]) -> tuple[str, ...]:
    """Return the bytes that may come next for people."""
    if len(following) <= _SEVERAL:
        followed = tuple(dict.fromkeys(_followed(matcher, byte) for byte in following))
        if len(followed) <= _FEW or any(len(text) > 1 for text in followed):
            return followed
    missing = [chr(byte) for byte in _PRINTABLE if byte not in following]
    if len(missing) <= _SEVERAL:
        return (f"any character but {' '.join(missing)}" if missing else "any character",)
    return (*_ranges([byte for byte in following if byte < 128]), *([_BEYOND] if following[-1] > 127 else []))


def _followed(matcher: Matcher, byte: int) -> str:
    """Return a byte that may come next, and what must come after it."""
    ahead, data = matcher.fork(), bytearray()
    following: tuple[int, ...] = (byte,)
    while len(following) == 1 and len(data) < _LONGEST and ahead.advance(following[0]):
        data += bytes(following)
        following = () if ahead.is_accepting() else next_bytes(ahead)
    return data.decode("utf-8", "ignore") or _BEYOND


def _ranges(following: list[int]) -> list[str]:
    """Return bytes as runs of digits, small letters, capitals, and single others."""
    runs: list[list[str]] = []
    for sign in map(chr, following):
        if runs and ord(runs[-1][-1]) == ord(sign) - 1 and sign.isalnum() and runs[-1][-1].isalnum():
            runs[-1].append(sign)
        else:
            runs.append([sign])
    return [run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
