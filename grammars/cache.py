"""What is derived from a vocabulary and worth keeping: engine tokenizers, compiled grammars, token tables.

Entries live as long as their vocabulary does; a cached value must therefore not hold the vocabulary itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import wraps
from threading import Lock
from typing import TypeVar
from weakref import WeakKeyDictionary

from grammars.vocabulary import Vocabulary

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def per_vocabulary(
    limit: int,
) -> Callable[[Callable[[Vocabulary, Key], Value]], Callable[[Vocabulary, Key], Value]]:
    """Cache `build(vocabulary, key)`, keeping the `limit` most recently used keys of each vocabulary.

    For any number of threads; two that miss the same key at the same time may both build it, and get the same value.
    """

    def decorate(build: Callable[[Vocabulary, Key], Value]) -> Callable[[Vocabulary, Key], Value]:
        tables: WeakKeyDictionary[Vocabulary, OrderedDict[Key, Value]] = WeakKeyDictionary()
        lock = Lock()

        @wraps(build)
        def cached(vocabulary: Vocabulary, key: Key) -> Value:
            with lock:
                table = tables.setdefault(vocabulary, OrderedDict())
                if key in table:
                    table.move_to_end(key)
                    return table[key]
            built = build(vocabulary, key)  # may itself look something up
            with lock:
                value = table.setdefault(key, built)
                table.move_to_end(key)
                if len(table) > limit:
                    table.popitem(last=False)
            return value

        return cached

    return decorate
