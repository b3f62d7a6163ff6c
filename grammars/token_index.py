"""Looking tokens up by their bytes: which ids spell a string, which begin with one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from grammars.cache import per_vocabulary
from grammars.vocabulary import Vocabulary


class TokenIndex:
    """The text tokens of one vocabulary, by their bytes.

    Attributes
    ----------
    ids:
        Token bytes -> the ids that stand for them (real vocabularies spell some strings twice).
    longest:
        Length in bytes of the longest token.
    """

    def __init__(self, tokens: Sequence[bytes | None]) -> None:
        ids: dict[bytes, list[int]] = {}
        for token, data in enumerate(tokens):
            if data:
                ids.setdefault(data, []).append(token)
        self.ids = {data: np.array(same, dtype=np.int64) for data, same in ids.items()}
        self.longest = max(map(len, ids), default=0)
        self._sorted = sorted(ids)

    def beginning_with(self, prefix: bytes) -> list[bytes]:
        """Return the distinct token strings that begin with `prefix`, sorted."""
        low = bisect_left(self._sorted, prefix)
        high = low
        while high < len(self._sorted) and self._sorted[high].startswith(prefix):
            high += 1
        return self._sorted[low:high]


@per_vocabulary(limit=1)
def _index(vocabulary: Vocabulary, _: None) -> TokenIndex:
    return TokenIndex(vocabulary.tokens)


def token_index(vocabulary: Vocabulary) -> TokenIndex:
    """Return the index of `vocabulary`, built once."""
    return _index(vocabulary, None)
