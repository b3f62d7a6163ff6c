"""Fused constraints denote the same sets; the mask engine decides whether what is regular has a text."""

from __future__ import annotations

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from languages import (
    WORDS,
    Named,
    expressions,
    regular_leaves,
    strings,
)
from regular_languages import NONE, derive, nullable, regexes

from grammars import (
    CFG,
    And,
    AnyText,
    Choice,
    Constraint,
    ContradictionError,
    Fused,
    GrammarError,
    JsonSchema,
    NonTerminal,
    Not,
    ParseError,
    Regex,
    Rule,
    Vocabulary,
    check_satisfiable,
    constraint_of,
    fuse,
    unpack,
)

TEXTS = [*strings(4), *strings(2, b"a\xc3\xa9\xff"), b"\xff" * 3]
A, B, C = Regex("a+"), Regex("b|ab"), Choice(["c", "cc"], [1, 2])
NESTED = CFG([Rule("start", (b"a", NonTerminal("start"), b"b")), Rule("start", ())])


def parsed(constraint: Constraint, text: str) -> object:
    try:
        return constraint.parse(text)
    except ParseError:
        return "no text"


@settings(max_examples=200, deadline=None)
@given(st.one_of(expressions(), expressions(regular_leaves(), max_leaves=6)))
def test_a_fused_constraint_is_the_same_set(named: Named) -> None:
    fused = fuse(named.constraint)
    if fused is None:
        reject()
    for text in TEXTS:
        assert fused.matches(text) == named.member(text), text
    for text in ("", "a", "b", "ab", "ba", "aab"):
        assert parsed(fused, text) == parsed(named.constraint, text)
    assert fuse(fused) is None
    if isinstance(fused, Fused):
        assert str(fused) == str(named.constraint)


@settings(max_examples=150, deadline=None)
@given(expressions(regular_leaves(), max_leaves=6).filter(lambda named: fuse(named.constraint) is not None))
def test_masks_of_fused_constraints_are_exact(named: Named) -> None:
    fused = fuse(named.constraint)
    assert fused is not None
    for text in filter(named.member, strings(4)):
        for end in range(len(text) + 1):
            matcher = fused.matcher(WORDS)
            assert matcher.consume(text[:end])
            assert matcher.mask_is_exact
            assert unpack(matcher.mask(), WORDS.size).tolist() == [
                matcher.allows(v) for v in range(WORDS.size)
            ]


@settings(max_examples=150, deadline=None)
@given(regexes("ab"), regexes("ab"), st.sampled_from(["and", "but not"]))
def test_of_regular_constraints_it_is_decided_whether_there_is_a_text(x, y, kind: str) -> None:  # type: ignore[no-untyped-def]
    wanted = kind == "and"
    constraint = Regex(x[0]) & (Regex(y[0]) if wanted else ~Regex(y[0]))
    seen, pending, found = set(), [(x[1], y[1])], False
    while pending and not found:
        pair = pending.pop()
        if pair not in seen and pair[0] != NONE:
            seen.add(pair)
            if len(seen) > 100 or not _is_small(pair):
                reject()
            found = nullable(pair[0]) and nullable(pair[1]) == wanted
            pending += [(derive(pair[0], byte), derive(pair[1], byte)) for byte in b"ab"]
    if found:
        check_satisfiable(constraint)
    else:
        with pytest.raises(ContradictionError):
            check_satisfiable(constraint)


def _is_small(language: object) -> bool:
    pending, count = [language], 0
    while pending and count < 200:
        part = pending.pop()
        count += 1
        pending += part if isinstance(part, tuple) else ()
    return not pending


@pytest.mark.parametrize(
    ("constraint", "fused"),
    [
        (A & B, Fused(A & B)),
        (A & B & NESTED, Fused(A & B) & NESTED),
        (NESTED & A & ~B, NESTED & Fused(A & ~B)),
        (A & NESTED & constraint_of(int) & C, Fused(A & C) & NESTED & constraint_of(int)),
        (~A & ~B, None),
        (~A & NESTED, None),
        (A & (~B | C), Fused(A & (~B | C))),
        (A & ("x" + AnyText()), Fused(A & ("x" + AnyText()))),
        (A | B, Fused(A | B)),
        (A | NESTED | B | C, A | NESTED | Fused(B | C)),
        (A | ~B, None),
        ("x" + A, Fused("x" + A)),
        ("x" + A + NESTED + B + C, Fused("x" + A) + NESTED + Fused(B + C)),
        (JsonSchema(True) + "\n", None),
        ("x" + ~A, None),
        (~(A + B), Not(Fused(A + B))),
        (C.repeat(1, separator=", "), Fused(C.repeat(1, separator=", "))),
        (NESTED.repeat(1, separator=A + B), NESTED.repeat(1, separator=Fused(A + B))),
        ((A + B).repeat(0, 2, NESTED), Fused(A + B).repeat(0, 2, NESTED)),
        (A, None),
        (C, None),
        (NESTED & constraint_of(int), None),
        ((A & B).by_mask(), None),
        (A.by_check() & B, None),
        (A.by_mask() + B, None),
        (A.by_check() & B & C, A.by_check() & Fused(B & C)),
    ],
    ids=str,
)
def test_what_is_fused(constraint: Constraint, fused: Constraint | None) -> None:
    assert fuse(constraint) == fused


def test_bytes_that_are_no_text_are_kept_out() -> None:
    strange = Choice(["\udcff", "a"]) | B
    assert fuse(strange) is None
    assert strange.matches(b"\xff")
    assert fuse(strange & ~C) is None


def test_characters_that_a_terminal_must_escape() -> None:
    for text in ('"', "\\", "/", "\n\t\r\x00\x7f\x1f", "é\u2028\U0001f600", "<|x|>", "\\n", "#", "//"):
        fused = fuse(Choice([text]) + Regex("x?"))
        assert isinstance(fused, Fused)
        assert fused.matches(text + "x")
        assert not fused.matches(text * 2)


def test_what_is_too_complex_stays_as_it_is() -> None:
    parts = [Regex(f"(?s:.)*{letter}(?s:.){{60}}") for letter in "abc"]
    assert fuse(And.of(*parts)) is None
    assert And.of(*parts[:1], Regex("(?s:.)*")).matches("a" + "x" * 60)
    with pytest.raises(GrammarError, match="fuse"):
        Fused(And.of(*parts))
    with pytest.raises(GrammarError, match="fuse"):
        Fused(~A)
    with pytest.raises(GrammarError, match="fuse"):
        Fused(NESTED)
    many = Choice([f"{n:06}" for n in range(20_000)])
    assert fuse(many + "x") is None


def test_splits_cost_nothing_when_fused() -> None:
    words = Vocabulary((b"a", b"aa", b"a,", b", a", b",", b" ", None), frozenset({6}))
    fused = fuse(Regex("a*").repeat(3, separator=Regex(",? ?")) + Regex("a*"))
    assert isinstance(fused, Fused)
    matcher = fused.matcher(words)
    for _ in range(200):
        assert matcher.advance(1)
    assert matcher.is_accepting()
