"""What is kept for a vocabulary: the keys used last, for any number of threads."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from grammars.cache import per_vocabulary
from grammars.vocabulary import Vocabulary

VOCABULARY = Vocabulary(tokens=(b"a", None), eos=frozenset({1}))


def test_the_keys_used_last_are_kept():
    built = []
    cached = per_vocabulary(2)(lambda vocabulary, key: built.append(key) or key.upper())
    assert [cached(VOCABULARY, key) for key in "abacab"] == list("ABACAB")
    assert built == list("abcb")


def test_builds_may_look_up_others():
    @per_vocabulary(2)
    def depth(vocabulary, key):
        return 0 if key == 0 else 1 + depth(vocabulary, key - 1)

    assert depth(VOCABULARY, 9) == 9


@pytest.mark.parametrize("limit", [1, 3])
def test_threads_do_not_disturb_each_other(limit):
    cached = per_vocabulary(limit)(lambda vocabulary, key: [key])
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            for found in pool.map(
                lambda i: [cached(VOCABULARY, k % 7) == [k % 7] for k in range(i, i + 3000)], range(8)
            ):
                assert all(found)
    finally:
        sys.setswitchinterval(interval)
