"""Patterns as automata, against Python's `re`."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from grammars import CFG
from grammars.byte_rules import ByteRules
from grammars.character_automaton import CharacterAutomaton
from grammars.characters import Alphabet, Characters
from grammars.engine_text import automaton_regex, pattern_regex
from grammars.first_match import FirstMatch
from grammars.python_regex import UnsupportedPatternError, parse, sets

TEXTS = ["".join(t) for n in range(6) for t in itertools.product("abc", repeat=n)]
SHORT = [text for text in TEXTS if len(text) < 4]
QUANTIFIERS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?", "{1,}?", "{0,3}"]
LOOKS = ["(?=a)", "(?!a)", "(?=ab)", "(?!ab|b)", "(?!a*b)", "(?=b*c)"]
LOOKS += ["(?<=a)", "(?<!a)", "(?<!ab)", "(?<=ab)", r"\b", r"\B"]


def automaton_of(pattern: str, *, whole: bool = False) -> CharacterAutomaton:
    node = parse(pattern)
    return FirstMatch(node, Alphabet(sets(node))).automaton(whole=whole)


def accepts(automaton: CharacterAutomaton, text: str) -> bool:
    state = 0
    for character in text:
        code = ord(character)
        after = automaton.edges[state].items()
        targets = [to for to, found in after if any(low <= code <= high for low, high in found.ranges)]
        if not targets:
            return False
        (state,) = targets
    return state in automaton.accepting


def patterns(looks: bool) -> st.SearchStrategy[str]:
    leaves = st.sampled_from(["a", "b", "c", "[ab]", ".", "[^a]", r"\w", "(?i:A)"])

    def extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        parts = inner | st.sampled_from(LOOKS) if looks else inner
        options = inner | st.just("")
        return st.one_of(
            st.lists(parts, min_size=2, max_size=4).map("".join),
            st.lists(options, min_size=2, max_size=3).map(lambda found: f"(?:{'|'.join(found)})"),
            st.tuples(inner, st.sampled_from(QUANTIFIERS)).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        )

    return st.recursive(leaves, extend, max_leaves=7)


@settings(max_examples=100)
@given(patterns(looks=True), st.text("abc", max_size=3))
def test_words_are_what_a_pattern_takes_whole_wherever_it_stands(pattern: str, before: str) -> None:
    """And they are the words that Lark's lexer `dynamic_complete` finds in a text."""
    try:
        automaton = automaton_of(pattern)
    except UnsupportedPatternError as error:
        event(str(error))
        return
    compiled = re.compile(pattern)
    words = {text for text in TEXTS if (m := compiled.match(text)) and m.end() == len(text)}
    assert {text for text in TEXTS if accepts(automaton, text)} == words
    if "" in words:
        return
    for text in TEXTS[-243:]:
        found = compiled.match(before + text, len(before))
        ends = {found.end() - len(before)} if found else set()
        if found:
            shorter = (compiled.match(found[0][:-cut]) for cut in range(1, len(found[0])))
            ends |= {match.end() for match in shorter if match}
        assert ends == {n for n in range(1, len(text) + 1) if text[:n] in words}


@settings(max_examples=40)
@given(patterns(looks=False))
def test_whole_words_rules_and_expressions_are_the_same_language(pattern: str) -> None:
    automaton, whole = automaton_of(pattern), automaton_of(pattern, whole=True)
    rules = ByteRules()
    words = rules.automaton("words", automaton)
    taken = {text for text in SHORT if accepts(automaton, text)}
    full = {text for text in SHORT if re.fullmatch(pattern, text)}
    assert {text for text in SHORT if accepts(whole, text)} == full
    assert {text for text in SHORT if re.fullmatch(as_python(pattern_regex(parse(pattern))), text)} == full
    regex = automaton_regex(automaton)
    assert regex is not None
    assert {text for text in SHORT if re.fullmatch(as_python(regex), text)} == taken
    if taken - {""}:
        cfg = CFG(rules.rules, words.name)
        assert {text for text in SHORT if cfg.matches(text)} == taken - {""}


def as_python(regex: str) -> str:
    return re.sub(r"\\x\{([0-9A-F]+)\}", lambda found: rf"\U{int(found[1], 16):08x}", regex)


CHARACTERS = [0, 0x41, 0x61, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF]
CHARACTERS += [0xE9, 0x130, 0x17F, 0x212A, 0x660, 0x2028, 0x1F600, *range(0, 0xD800, 997)]


@pytest.mark.parametrize(
    "pattern",
    [
        r"\w",
        r"\W",
        r".",
        r"(?s:.)",
        r"[^a]",
        r"[é∀]",
        r"(?i:k)",
        r"(?i:[^ſ])",
        r"\d",
        r"(?a:\d|\s)",
        r"[\s\S]",
        r"[߿-ࠁ\uffff-\U00010000]",
        r"\U0010ffff",
    ],
)
def test_classes_hold_the_characters_that_python_says_byte_by_byte(pattern: str) -> None:
    rules = ByteRules()
    name = rules.automaton("c", automaton_of(pattern)).name
    cfg = CFG(rules.rules, name)
    for code in CHARACTERS:
        assert cfg.matches(chr(code)) == bool(re.fullmatch(pattern, chr(code))), hex(code)
    assert not cfg.matches(b"\xed\xa0\x80")  # a surrogate
    assert not cfg.matches(b"\xc0\x80")  # an overlong form


def test_lead_bytes_and_complements() -> None:
    found = Characters.of([(0x61, 0x62), (0xE9, 0xE9), (0x2200, 0x2201)])
    assert found.lead_bytes() == {0x61, 0x62, 0xC3, 0xE2}
    assert ~~found == found
    assert (~found | found).to_regex() == "(?s:.)"
    assert Characters.of([(0xD800, 0xDFFF)]).ranges == ()


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a)\1", "backreference"),
        (r"(a)?(?(1)b|c)", "conditional"),
        (r"a++", "possessive"),
        (r"(?>a)", "atomic"),
        (r"^a", "anchor"),
        (r"a$", "anchor"),
        (r"a\b", "beyond"),
        (r"a(?!b)", "beyond"),
        (r"(?<!b)a", "before"),
        (r"\ba", "before"),
        (r"a(?=b(?!c))bd", "within"),
        (r"a{0,30000}", "bound"),
        (r"(?:(?:a{0,150}){0,150}){0,150}", "bound"),
        (r"(a|b)*a(a|b){18}", "bound|states"),
        (r"[", "no regular expression"),
        ("(" * 5000 + ")" * 5000, "no regular expression"),
    ],
)
def test_what_is_not_regular_or_too_large_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(UnsupportedPatternError, match=reason):
        automaton_of(pattern)
