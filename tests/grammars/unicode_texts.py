"""Independent definitions for predicates: UTF-8 by a table of all characters, and one language as each kind."""

from __future__ import annotations

from hypothesis import strategies as st
from regular_languages import Language, byte_strings, contains, viable

from grammars import Constraint, Incremental, Vocabulary, prefix_predicate

CHARACTERS = "aé∀😀"
ENCODED = [chr(c).encode() for c in range(0x110000) if not 0xD800 <= c < 0xE000]
BEGUN = {character[:n] for character in ENCODED for n in range(len(character))}


def vocabulary(tokens: list[bytes | None]) -> Vocabulary:
    return Vocabulary(tokens=(*tokens, None), eos=frozenset({len(tokens)}))


def vocabularies(longest: int = 5) -> st.SearchStrategy[Vocabulary]:
    odd = [None, b"", b"\xff", b"a\xff", b"\xed\xa0", b"\xf4\x90", b"\xe0\x80", b"\xc0", b"\x80"]
    token = st.one_of(byte_strings(CHARACTERS, longest), st.sampled_from(odd))
    return st.lists(token, min_size=1, max_size=30).map(vocabulary)


def split(data: bytes) -> tuple[str, bytes] | None:
    """Characters and rest of bytes that begin a UTF-8 text, by looking characters up."""
    for cut in range(len(data), max(-1, len(data) - 4), -1):
        if data[cut:] in BEGUN:
            try:
                return data[:cut].decode(), data[cut:]
            except UnicodeDecodeError:
                pass
    return None


def begun(language: Language, data: bytes) -> bool:
    """Whether the characters of `data` begin a text of the language, and its last bytes a character."""
    parts = split(data)
    return parts is not None and viable(language, parts[0].encode())


def whole(language: Language, data: bytes) -> bool:
    return split(data) is not None and contains(language, data)


def predicates_of(language: Language) -> list[Constraint]:
    """The same language as each kind of predicate that reads prefixes."""

    def prefix(text: str) -> bool:
        return viable(language, text.encode())

    def complete(text: str) -> bool:
        return contains(language, text.encode())

    def step(state: str, character: str) -> str | None:
        return state + character if viable(language, (state + character).encode()) else None

    predicates: list[Constraint] = [prefix_predicate(complete=complete)(prefix)]
    if viable(language, b""):
        predicates.append(Incremental("", step, complete))
    return predicates
