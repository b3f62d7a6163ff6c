"""Finite choices: one of a list of strings.

The options are kept sorted, so that a prefix of d bytes is a range of options which agree on their first d
bytes, and reading a byte narrows the range by bisection. A mask looks the possible next substrings of the
range up in the index of tokens; its cost depends on the options, never on the vocabulary, and is paid once
per range.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from typing_extensions import override

from grammars.cache import per_vocabulary
from grammars.constraint import Constraint, Matcher, text_bytes
from grammars.errors import GrammarError, ParseError
from grammars.token_index import token_index
from grammars.vocabulary import Mask, Vocabulary, pack


@dataclass(frozen=True, init=False)
class Choice(Constraint):
    """One of finitely many texts.

    Parameters
    ----------
    options:
        The texts, without repetitions. The empty text may be one of them.
    values:
        What `parse` returns for each option; the option itself unless given.

    Raises
    ------
    GrammarError
        If there are no options, an option is not a string or occurs twice, or the lengths differ.
    """

    options: tuple[str, ...]
    values: tuple[Any, ...] = field(repr=False, hash=False)

    def __init__(self, options: Sequence[str], values: Sequence[Any] | None = None) -> None:
        if isinstance(options, str):
            raise GrammarError(
                f"the options must be a list of strings, not the string {options!r}",
                hint=f"Choice([{options!r}])",
            )
        for given in (options,) if values is None else (options, values):
            if not isinstance(given, Iterable) or isinstance(given, (Set, bytes)):
                raise GrammarError(
                    f"options and values must be lists, not {given!r}", hint="of a set, pass sorted(options)"
                )
        object.__setattr__(self, "options", tuple(options))
        object.__setattr__(self, "values", self.options if values is None else tuple(values))
        seen: set[str] = set()
        for option in self.options:
            if not isinstance(option, str):
                raise GrammarError(
                    f"an option must be a string, not {option!r}", hint="constraint_of takes types"
                )
            try:
                text_bytes(option)
            except UnicodeEncodeError:
                raise GrammarError(
                    f"the option {option!r} holds a lone surrogate, which no UTF-8 text does",
                    hint="leave it out, or write the character that it is half of",
                ) from None
            if option in seen:
                raise GrammarError(f"the option {option!r} occurs twice", hint="list each option once")
            seen.add(option)
        if not self.options:
            raise GrammarError(
                "a choice needs at least one option", hint="an empty list has no text to choose"
            )
        if len(self.values) != len(self.options):
            raise GrammarError(
                f"{len(self.options)} options but {len(self.values)} values",
                hint="give each option one value",
            )

    @cached_property
    def encoded(self) -> tuple[bytes, ...]:
        """The options as bytes, sorted."""
        return tuple(sorted(map(text_bytes, self.options)))

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return ChoiceMatcher(vocabulary, self.encoded)

    @override
    def parse(self, text: str) -> Any:
        if text not in self.options:
            raise ParseError(
                f"{text!r} is not one of {list(self.options)}", hint="the text must equal an option"
            )
        return self.values[self.options.index(text)]


class ChoiceMatcher(Matcher):
    """The options from `low` up to `high` of a sorted list, which share their first `depth` bytes."""

    def __init__(self, vocabulary: Vocabulary, options: tuple[bytes, ...]) -> None:
        super().__init__(vocabulary)
        self._options = options
        self._low, self._high, self._depth = 0, len(options), 0

    @override
    def consume(self, data: bytes) -> bool:
        prefix = self._options[self._low][: self._depth] + data
        low = bisect_left(self._options, prefix, self._low, self._high)
        high = bisect_right(self._options, prefix, low, self._high, key=lambda option: option[: len(prefix)])
        if low == high:
            return False
        self._low, self._high, self._depth = low, high, len(prefix)
        return True

    @override
    def is_accepting(self) -> bool:
        return len(self._options[self._low]) == self._depth  # the shortest of a range comes first

    @override
    def mask(self) -> Mask:
        return _mask(self.vocabulary, (self._options, self._low, self._high, self._depth)).copy()

    @override
    def fork(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other


@per_vocabulary(limit=1024)
def _mask(vocabulary: Vocabulary, state: tuple[tuple[bytes, ...], int, int, int]) -> Mask:
    options, low, high, depth = state
    index = token_index(vocabulary)
    parts: set[bytes] = set()
    for option in options[low:high]:
        parts.update(
            option[depth:end] for end in range(depth + 1, min(len(option), depth + index.longest) + 1)
        )
    ids = [index.ids[part] for part in parts if part in index.ids]
    return pack(np.concatenate(ids) if ids else [], vocabulary.size)
