"""An independent definition of regular languages: Brzozowski derivatives over bytes, nothing shared with the
engine.

A language is a tuple: ("none",), ("empty",), ("byte", b), ("or", x, y), ("then", x, y), ("star", x). The
smart constructors propagate "none", so a derivative is ("none",) exactly if no text goes on that way.
"""

from __future__ import annotations

from functools import lru_cache

from hypothesis import strategies as st

Language = tuple

NONE: Language = ("none",)
EMPTY: Language = ("empty",)


def union(x: Language, y: Language) -> Language:
    if x in (NONE, y):
        return y
    return x if y == NONE else ("or", *sorted((x, y), key=repr))


def then(x: Language, y: Language) -> Language:
    if NONE in (x, y):
        return NONE
    return y if x == EMPTY else x if y == EMPTY else ("then", x, y)


def star(x: Language) -> Language:
    return EMPTY if x in (NONE, EMPTY) else x if x[0] == "star" else ("star", x)


def literal(text: bytes) -> Language:
    result = EMPTY
    for byte in reversed(text):
        result = then(("byte", byte), result)
    return result


def nullable(x: Language) -> bool:
    match x[0]:
        case "empty" | "star":
            return True
        case "or":
            return nullable(x[1]) or nullable(x[2])
        case "then":
            return nullable(x[1]) and nullable(x[2])
    return False


@lru_cache(maxsize=100_000)
def derive(x: Language, byte: int) -> Language:
    match x[0]:
        case "byte":
            return EMPTY if x[1] == byte else NONE
        case "or":
            return union(derive(x[1], byte), derive(x[2], byte))
        case "then":
            after = then(derive(x[1], byte), x[2])
            return union(after, derive(x[2], byte)) if nullable(x[1]) else after
        case "star":
            return then(derive(x[1], byte), x)
    return NONE


def after(x: Language, text: bytes) -> Language:
    for byte in text:
        x = derive(x, byte)
    return x


def viable(x: Language, text: bytes) -> bool:
    return after(x, text) != NONE


def contains(x: Language, text: bytes) -> bool:
    return nullable(after(x, text))


def regexes(characters: str) -> st.SearchStrategy[tuple[str, Language]]:
    """Patterns with their languages, over the given characters."""
    leaves = st.sampled_from(characters).map(lambda c: (c, literal(c.encode()))) | st.just(("", EMPTY))

    def extend(inner: st.SearchStrategy[tuple[str, Language]]) -> st.SearchStrategy[tuple[str, Language]]:
        return st.one_of(
            st.tuples(inner, inner).map(lambda p: (f"(?:{p[0][0]}|{p[1][0]})", union(p[0][1], p[1][1]))),
            st.tuples(inner, inner).map(lambda p: (f"{p[0][0]}{p[1][0]}", then(p[0][1], p[1][1]))),
            inner.map(lambda p: (f"(?:{p[0]})*", star(p[1]))),
            inner.map(lambda p: (f"(?:{p[0]})?", union(EMPTY, p[1]))),
            inner.map(lambda p: (f"(?:{p[0]}){{2,3}}", then(p[1], then(p[1], union(EMPTY, p[1]))))),
        )

    return st.recursive(leaves, extend, max_leaves=8)


def byte_strings(characters: str, longest: int) -> st.SearchStrategy[bytes]:
    """Byte strings from the bytes of `characters`, so that characters are also split."""
    return st.lists(st.sampled_from(sorted(set(characters.encode()))), min_size=1, max_size=longest).map(
        bytes
    )
