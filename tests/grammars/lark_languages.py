"""An independent definition of what Lark grammars generate: all short texts, from Lark's own rules and `re`."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict

import lark
from hypothesis import strategies as st
from lark.load_grammar import load_grammar

ALPHABET = "ab "
LONGEST = 5
TEXTS = ["".join(t) for n in range(LONGEST + 1) for t in itertools.product(ALPHABET, repeat=n)]

_TERMINALS = ['"a"', '"b"', '"ab"', '"ba"', '"a"i', '" "', "/a+/", "/a+b?/", "/[ab]/", "/a|ab/", "/a*?b/"]
_TERMINALS += ["/b ?/", "/(a|b)+/", "/a /", "/[^b]+?/", "/a(?!a)b/"]
_IGNORED = ['" "', "/ +/", "/a/", "/ a?/", '"ab"', "/ |a b/", "/b+ /", "/a|ab|b /"]
_PARTS = ["[x]", '("a"|y)', "x*", "y+", '[ "b" x ]', '"a"~1..2', "_z", "x", "y", "start"]


def grammars() -> st.SearchStrategy[str]:
    """Small grammars: recursion, empty rules, operators, terminals and ignored text that compete."""
    item = st.sampled_from(_TERMINALS) | st.sampled_from(_PARTS)
    right = st.lists(item, max_size=3).map(" ".join)
    options = st.lists(right, min_size=1, max_size=3).map(" | ".join)
    ignored = st.lists(st.sampled_from(_IGNORED), max_size=2)
    return st.builds(
        lambda s, x, y, z, skip: "\n".join(
            [f"start: {s}", f"x: {x}", f"?y: {y}", f"_z: {z}", *(f"%ignore {piece}" for piece in skip)]
        ),
        *[options] * 4,
        ignored,
    )


def texts(grammar: str) -> set[str]:
    """The texts of at most `LONGEST` characters, as the least fixed point of the rules."""
    loaded, _ = load_grammar(grammar, "<string>", [], False)
    terminals, rules, ignored = loaded.compile(["start"], set())
    words = {t.name: whole_words(t.pattern.to_regexp()) for t in terminals}
    pieces = set().union(*(words[name] for name in ignored))
    skip = {""}
    while not (more := concatenation(skip, pieces | {""})) <= skip:
        skip = more
    found: dict[str, set[str]] = {}
    while True:
        following: defaultdict[str, set[str]] = defaultdict(set)
        for rule in rules:
            part = {""}
            for symbol in rule.expansion:
                term = isinstance(symbol, lark.grammar.Terminal)
                right = concatenation(words[symbol.name], skip) if term else found.get(symbol.name, set())
                part = concatenation(part, right)
            following[rule.origin.name] |= part
        if following == found:
            return concatenation(skip, found["start"])
        found = following


def whole_words(pattern: str) -> set[str]:
    """The words that a pattern takes whole."""
    found = ((text, re.match(pattern, text)) for text in TEXTS)
    return {text for text, match in found if match and text and match.end() == len(text)}


def concatenation(left: set[str], right: set[str]) -> set[str]:
    return {x + y for x in left for y in right if len(x + y) <= LONGEST}
