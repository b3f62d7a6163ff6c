"""UTF-8, byte by byte: what a text may hold that ends, for now, within a character.

Tokens are cut from bytes, so a text of whole tokens may end with the first bytes of a character. Such a *tail*
is sound if more bytes can make a character of it: no overlong forms, no surrogates, nothing above U+10FFFF
(RFC 3629). Which bytes may follow depends on the tail only through eight classes, so that there are eight
masks per vocabulary.
"""

from __future__ import annotations

import codecs
from typing import Self

from typing_extensions import override

from grammars.cache import per_vocabulary
from grammars.constraint import Matcher
from grammars.vocabulary import Mask, Vocabulary, pack


def read_utf8(tail: bytes, data: bytes) -> tuple[str, bytes] | None:
    """Return the characters that `tail` and then `data` complete, and the new tail; None if it is no UTF-8."""
    joined = tail + data
    try:
        text, used = codecs.utf_8_decode(joined, "strict", False)
    except UnicodeDecodeError:
        return None
    rest = joined[used:]
    if rest[:1] == b"\xed" and rest[1:] >= b"\xa0":  # a surrogate begun, for which the decoder still waits
        return None
    return text, rest


class Utf8Matcher(Matcher):
    """Allows what is UTF-8 so far; accepting between characters. The mask is exact."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self._tail = b""

    @override
    def consume(self, data: bytes) -> bool:
        read = read_utf8(self._tail, data)
        if read is None:
            return False
        self._tail = read[1]
        return True

    @override
    def is_accepting(self) -> bool:
        return not self._tail

    @override
    def fork(self) -> Self:
        other = type(self)(self.vocabulary)
        other._tail = self._tail
        return other

    @override
    def mask(self) -> Mask:
        return _continuations(self.vocabulary, self._tail)


class CharacterMatcher(Matcher):
    """A matcher that checks characters. Between them it has no mask; within one, that of the bytes which go on with it.

    Hardly any token goes on with the bytes of a character. Where no completion of it is welcome, no more than these
    few are drawn and refused.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self._tail = b""

    @override
    def mask(self) -> Mask | None:
        return _continuations(self.vocabulary, self._tail) if self._tail else None

    @property
    @override
    def mask_is_exact(self) -> bool:
        return False


def _continuations(vocabulary: Vocabulary, tail: bytes) -> Mask:
    """Return the packed mask of the tokens after which a text that ends with `tail` is UTF-8 so far."""
    return _mask(vocabulary, _representative(tail)).copy()


def _representative(tail: bytes) -> bytes:
    """Return a tail after which the same bytes may follow as after `tail`, one for each class of tails."""
    if not tail:
        return b""
    missing = (1 if tail[0] < 0xE0 else 2 if tail[0] < 0xF0 else 3) - (len(tail) - 1)
    if len(tail) == 1 and tail in (b"\xe0", b"\xed", b"\xf0", b"\xf4"):
        return tail  # those that narrow their second byte
    return (b"\xc2", b"\xe1", b"\xf1")[missing - 1]


@per_vocabulary(limit=8)
def _mask(vocabulary: Vocabulary, tail: bytes) -> Mask:
    tokens = enumerate(vocabulary.tokens)
    return pack([v for v, data in tokens if data and read_utf8(tail, data) is not None], vocabulary.size)
