"""Where the beginning of a query can be judged: the tokens of SQL, and which clauses are complete.

While a query is written, most names cannot be judged, since what they name may come later: the columns of SELECT
are those of FROM. But once FROM has ended, the query up to there can be: with the closing parentheses that it
lacks, it is a query, and what is missing in it is missing for good. So it is after each name in the clauses that
follow, as soon as the next token shows that the name is complete, and calls no function.

The scanner reads bytes, and reports such places. A clause is

* open: SELECT, FROM, and all of WITH;
* closed: WHERE, GROUP BY, HAVING, ORDER BY and LIMIT, unless the query is part of an open clause of another.

It reports the end of each open clause of a query that is not within another open clause, and each name and
parenthesis that ends in a closed clause.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from grammars.sql_dialects import dialect_of

Report: TypeAlias = Callable[[bytes, bytes], bool]
"""Is told a text that ends where a clause or a name ended, and what is open there; returns whether to go on."""

OPEN, CLOSED, CALL, GROUP = b"o", b"c", b"f", b"p"
"""What can be open: a query in an open or a closed clause, arguments of a function, another parenthesis."""

_CLOSING = frozenset(b"where group having order limit union intersect except".split())
_SILENT = frozenset(b"by like glob match regexp asc desc over filter partition with".split())
_RESERVED = frozenset(word.encode() for word in dialect_of("sqlite").reserved)
_WORD = frozenset(b"0123456789$_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") | set(
    range(0x80, 0x100)
)
_SPACE = frozenset(b" \t\r\n")
_QUOTES = {ord("'"): ord("'"), ord('"'): ord('"'), ord("`"): ord("`"), ord("["): ord("]")}
_APOSTROPHE, _LEFT, _RIGHT = b"'()"


class Scan(NamedTuple):
    """The state of reading a query; a value."""

    text: bytes = b""
    frames: bytes = OPEN
    """What is open, from the query inwards."""
    token: int = -1
    """Where the current word or quoted text began, or -1 between tokens."""
    quote: int = 0
    """The byte that ends the current quoted text, or 0."""
    ended: int = 0
    """Where a name or parenthesis ended that the next token may show to be complete, or 0."""
    parenthesis: bool = False
    """Whether that was a parenthesis."""
    named: bool = False
    """Whether the last token was a name, so that a parenthesis would hold its arguments."""

    def read(self, data: bytes, report: Report) -> Scan | None:
        """Return the state after more bytes, or None if `report` did not want to go on."""
        reader = _Reader(self, data, report)
        for at in range(len(self.text), len(reader.text)):
            if not reader.step(at):
                return None
        return reader.scan()

    @property
    def next_report(self) -> tuple[bytes, bytes] | None:
        """What is reported if the next byte completes the current word, or shows what ended to be complete."""
        word = self.text[self.token :].lower() if self.token >= 0 and not self.quote else b""
        if word in _CLOSING:
            return (self.text[: self.token], self.frames) if _closes(self.frames) else None
        end = (len(self.text) if _is_name(word) else 0) if word else self.ended
        return (self.text[:end], self.frames) if end and OPEN not in self.frames else None

    @property
    def representative(self) -> Scan:
        """A short state after which at least the same tokens make the scanner report.

        Exactly the same ones report what had ended before the token, where `next_report` is not None.
        """
        deep = CLOSED * 8
        if self.quote:
            return Scan(b"'", deep, token=0, quote=self.quote)
        if self.token >= 0:
            closing = self.text[self.token :].lower() in _CLOSING and _closes(self.frames)
            return Scan(b"where" if closing else b"a", deep, token=0)
        if self.ended:
            fresh = self.ended == len(self.text)  # another quote would continue a quoted name
            return Scan(self.text[-1:] if fresh else b"a ", deep, ended=1, parenthesis=self.parenthesis)
        return Scan(b" ", deep)


class _Reader:
    """Reads the bytes of `data`, the fields of a `Scan` in its hands."""

    __slots__ = ("ended", "frames", "named", "parenthesis", "quote", "report", "text", "token")

    def __init__(self, scan: Scan, data: bytes, report: Report) -> None:
        text, self.frames, self.token, self.quote, self.ended, self.parenthesis, self.named = scan
        self.text = text + data
        self.report = report

    def scan(self) -> Scan:
        """Return the state."""
        return Scan(self.text, self.frames, self.token, self.quote, self.ended, self.parenthesis, self.named)

    def step(self, at: int) -> bool:
        """Read the byte at `at`; return whether to go on."""
        byte = self.text[at]
        if self.quote:
            if byte == self.quote:
                self.named = byte != _APOSTROPHE
                self.ended = at + 1 if self.named else 0
                self.token, self.quote, self.parenthesis = -1, 0, False
            return True
        if self.token >= 0:
            if byte in _WORD:
                return True
            if not self._end_word(at):
                return False
        return byte in _SPACE or self._begin(byte, at)

    def _begin(self, byte: int, at: int) -> bool:
        """Read the first byte of a token."""
        continues = self.ended == at and byte == self.text[at - 1] and byte in b'"`'  # a doubled quote
        calls = byte in b".('" or (
            self.parenthesis and byte in _WORD
        )  # `f(x) OVER`; a quote after x is a blob
        if self.ended and not continues and not calls and not self._end(self.ended):
            return False
        self.ended = 0
        if byte in _WORD or byte in _QUOTES:
            self.token, self.quote = at, _QUOTES.get(byte, 0)
        elif byte == _LEFT:
            self.frames += CALL if self.named else GROUP
        elif byte == _RIGHT:
            self.frames = self.frames[:-1] or OPEN
            self.ended, self.parenthesis = at + 1, True
        self.named = False
        return True

    def _end_word(self, at: int) -> bool:
        word = self.text[self.token : at].lower()
        begin, self.token = self.token, -1
        self.named = _is_name(word) or word in _SILENT
        if word in (b"select", b"with"):
            self.frames = self.frames[:-1] + OPEN
        elif word in _CLOSING:
            if self.frames[-1:] in (OPEN, CLOSED):
                if _closes(self.frames) and not self.report(self.text[:begin], self.frames):
                    return False
                self.frames = self.frames[:-1] + CLOSED
        elif _is_name(word):
            self.ended, self.parenthesis = at, False
        return True

    def _end(self, end: int) -> bool:
        return OPEN in self.frames or self.report(self.text[:end], self.frames)


def _closes(frames: bytes) -> bool:
    """Return whether the end of the innermost clause completes a query, of which all that is outside is closed."""
    return frames[-1:] in (OPEN, CLOSED) and OPEN not in frames[:-1]


def _is_name(word: bytes) -> bool:
    return bool(word) and word[0] not in b"0123456789" and word not in _RESERVED and word not in _SILENT
