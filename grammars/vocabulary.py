"""Vocabulary: the bytes that each token id stands for.

A text is a byte string; a tokenizer spells it as a sequence of ids, usually in many ways. Constraints speak
of bytes, language models of ids, and a `Vocabulary` is the dictionary between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint32]
"""A packed token mask, shape (ceil(V / 32),): token v is bit v % 32 of word v // 32."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The text of every token id of a language model.

    Parameters
    ----------
    tokens:
        `tokens[v]` is the byte string that id v adds to a text, or None where v stands for no text:
        end-of-sequence ids, control tokens, padding rows of the embedding matrix.
    eos:
        The ids that end a text; `tokens[v]` is None for each of them.

    Raises
    ------
    ValueError
        If `eos` is empty or out of range, or names an id that has text.
    """

    tokens: tuple[bytes | None, ...]
    eos: frozenset[int]

    def __post_init__(self) -> None:
        if not self.eos:
            raise ValueError("a vocabulary needs at least one end-of-sequence id")
        for v in self.eos:
            if not 0 <= v < len(self.tokens):
                raise ValueError(
                    f"end-of-sequence id {v} is outside the vocabulary of {len(self.tokens)} ids"
                )
            if self.tokens[v] is not None:
                raise ValueError(f"end-of-sequence id {v} must stand for no text, not {self.tokens[v]!r}")

    @classmethod
    def of_bytes(cls) -> Vocabulary:
        """Return the vocabulary of the 256 single bytes (id = byte value) with end-of-sequence id 256."""
        return _BYTES

    @property
    def size(self) -> int:
        """V, the number of ids."""
        return len(self.tokens)

    @property
    def words(self) -> int:
        """Number of 32-bit words of a packed mask, ceil(V / 32)."""
        return (self.size + 31) // 32

    @cached_property
    def end(self) -> int:
        """The id that represents the end of a text: all of `eos` is merged into it, the smallest."""
        return min(self.eos)

    @cached_property
    def text_mask(self) -> Mask:
        """Packed mask of the ids that stand for text (a non-empty byte string)."""
        return pack([v for v, data in enumerate(self.tokens) if data], self.size)

    def decode(self, ids: Iterable[int]) -> bytes:
        """Return the bytes that `ids` spell; ids without text add nothing."""
        return b"".join(self.tokens[v] or b"" for v in ids)


def pack(ids: Sequence[int] | NDArray[np.int64], size: int) -> Mask:
    """Return the packed mask over `size` ids in which exactly `ids` are set."""
    bits = np.zeros((size + 31) // 32 * 32, dtype=bool)
    bits[np.asarray(ids, dtype=np.int64)] = True
    return np.packbits(bits, bitorder="little").view(np.uint32)


def unpack(mask: Mask, size: int) -> NDArray[np.bool_]:
    """Return packed masks of shape (..., ceil(V / 32)) as booleans of shape (..., V)."""
    bits = np.unpackbits(np.ascontiguousarray(mask).view(np.uint8), axis=-1, bitorder="little")
    return bits[..., :size].astype(bool, copy=False)


_BYTES = Vocabulary(tokens=(*(bytes([b]) for b in range(256)), None), eos=frozenset({256}))
