"""The matcher of queries on the tables of a schema: the grammar, and faults found while the query is written.

A fault counts if it stays one whatever is appended (`Judge.definite_fault`); it is looked for where a clause ends,
and after each name in the clauses behind FROM (`sql_scanner.py`).

The mask is exact. What is judged next depends on the text so far alone, unless a token contains the end of a name:
one answer decides about all tokens that make the scanner report, which are found once for each kind of state. The
few tokens within which something ends are judged one by one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from typing import Self

import numpy as np
from typing_extensions import override

from grammars.cache import per_vocabulary
from grammars.constraint import Matcher
from grammars.llguidance import GrammarMatcher
from grammars.sql_scanner import CALL, Scan
from grammars.sql_schema import Judge
from grammars.vocabulary import Mask, Vocabulary, pack, unpack

_SPACES = b" \t\r\n"


class QueryMatcher(Matcher):
    """The state of the grammar and of the scanner after a prefix.

    Parameters
    ----------
    vocabulary:
        The tokens to read.
    grammar:
        The grammar of queries.
    judge:
        What knows the faults of the beginnings of queries.
    hints:
        What is worth writing where a word may begin.
    """

    def __init__(
        self, vocabulary: Vocabulary, grammar: str, judge: Judge, hints: tuple[bytes, ...] = ()
    ) -> None:
        super().__init__(vocabulary)
        self._hints = hints
        self._grammar = GrammarMatcher(vocabulary, grammar)
        self._judge = judge
        self._scan = Scan()

    @override
    def consume(self, data: bytes) -> bool:
        scan = self._read(data)
        if scan is None or not self._grammar.consume(data):
            return False
        self._scan = scan
        return True

    @override
    def advance(self, token: int) -> bool:
        scan = self._read(self.vocabulary.tokens[token] or b"")
        if scan is None or not self._grammar.advance(token):
            return False
        self._scan = scan
        return True

    @override
    def allows(self, token: int) -> bool:
        return self._grammar.allows(token) and self._read(self.vocabulary.tokens[token] or b"") is not None

    @override
    def is_accepting(self) -> bool:
        return self._grammar.is_accepting()

    @override
    def fork(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._grammar = self._grammar.fork()
        return other

    @override
    def hints(self) -> tuple[bytes, ...]:
        return self._hints if self._scan.token < 0 else ()

    @override
    def mask(self) -> Mask:
        mask = self._grammar.mask()
        shown, within = _reporting(self.vocabulary, self._scan.representative)
        following = self._scan.next_report
        if following is not None and not self._in_order(*following):
            mask &= ~shown
        for token in np.flatnonzero(unpack(mask & within, self.vocabulary.size)).tolist():
            if self._read(self.vocabulary.tokens[token] or b"") is None:
                mask[token // 32] &= ~np.uint32(1 << (token % 32))
        return mask

    def _read(self, data: bytes) -> Scan | None:
        return self._scan.read(data, self._in_order)

    def _in_order(self, text: bytes, frames: bytes) -> bool:
        return not _has_fault(self._judge, text + b")" * (len(frames) - 1), CALL in frames)


@lru_cache(maxsize=1 << 14)
def _has_fault(judge: Judge, query: bytes, in_call: bool) -> bool:
    """Return whether the judge knows a fault of this query that nothing mends; remembered."""
    return judge.definite_fault(query.decode(errors="replace"), in_call=in_call) is not None


@per_vocabulary(limit=64)
def _reporting(vocabulary: Vocabulary, scan: Scan) -> tuple[Mask, Mask]:
    """Return the tokens that make the scanner report what ended before them, and what ends within them."""
    shown = np.zeros(vocabulary.words, dtype=np.uint32)
    for opening, tokens in _by_opening(vocabulary, None).items():
        if scan.read(opening, lambda *_: False) is None:
            shown |= tokens
    within = [token for token, data in _with_ends(vocabulary, None) if _ends_within(data, scan)]
    return shown, pack(within, vocabulary.size)


@per_vocabulary(limit=1)
def _with_ends(vocabulary: Vocabulary, _: None) -> list[tuple[int, bytes]]:
    """Return the tokens that are not a single word, nor only signs that neither end anything nor quote."""
    single = re.compile(rb"[ \t\r\n]*(?:[0-9A-Za-z_$\x80-\xff]*|[^0-9A-Za-z_$\x80-\xff\"'`\[\])]*)")
    return [(v, data) for v, data in enumerate(vocabulary.tokens) if data and not single.fullmatch(data)]


def _ends_within(data: bytes, scan: Scan) -> bool:
    """Return whether something may be reported behind the first byte that is no space."""
    opening = len(data) - len(data.lstrip(_SPACES)) + 1
    begun = scan.read(data[:opening], lambda *_: True)
    assert begun is not None
    read = begun.read(data[opening:], lambda *_: False)
    word_ended = begun.token >= 0 and not begun.quote and (read is None or read.token != begun.token)
    return read is None or word_ended  # whatever the word is


@per_vocabulary(limit=1)
def _by_opening(vocabulary: Vocabulary, _: None) -> dict[bytes, Mask]:
    """Return the tokens by what tells whether something ended before them: a space if any, and the next byte."""
    tokens: dict[bytes, list[int]] = defaultdict(list)
    for token, data in enumerate(vocabulary.tokens):
        if data:
            rest = data.lstrip(_SPACES)
            tokens[b" " * (len(rest) < len(data)) + rest[:1]].append(token)
    return {opening: pack(ids, vocabulary.size) for opening, ids in tokens.items()}
