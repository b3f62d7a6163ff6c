"""Union, complement, concatenation and repetition against brute force over all short byte strings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from languages import WORDS, Named, expressions, strings

from grammars import (
    And,
    AnyText,
    Choice,
    Concat,
    ContradictionError,
    GrammarError,
    JsonSchema,
    Matcher,
    Not,
    Nothing,
    Or,
    ParseError,
    Regex,
    Repeat,
    Vocabulary,
    check_satisfiable,
    constraint_of,
    prefix_predicate,
    unpack,
)

TEXTS = [*strings(4), *strings(2, b"a\xc3\xa9")]


def after(constraint, text: bytes, vocabulary: Vocabulary = WORDS) -> Matcher | None:  # type: ignore[no-untyped-def]
    matcher = constraint.matcher(vocabulary)
    return matcher if matcher.consume(text) else None


@settings(max_examples=200, deadline=None)
@given(expressions())
def test_matches_is_the_language(named: Named) -> None:
    for text in TEXTS:
        assert named.constraint.matches(text) == named.member(text), text


@settings(max_examples=100, deadline=None)
@given(expressions())
def test_no_prefix_of_a_text_is_forbidden(named: Named) -> None:
    for text in filter(named.member, strings(5)):
        by_byte = named.constraint.matcher(WORDS)
        for end in range(len(text) + 1):
            assert after(named.constraint, text[:end]) is not None
            assert end == 0 or by_byte.consume(text[end - 1 : end])
            assert (by_byte.is_accepting() and named.constraint.accepts(text[:end])) == named.member(
                text[:end]
            )


@settings(max_examples=200, deadline=None)
@given(expressions(), st.data())
def test_masks_hold_what_is_allowed(named: Named, data: st.DataObject) -> None:
    matcher, text = named.constraint.matcher(WORDS), b""
    for _ in range(3):
        reference = after(named.constraint, text)
        assert reference is not None
        allowed = [matcher.allows(token) for token in range(WORDS.size)]
        assert allowed == [
            bool(piece) and reference.fork().consume(piece)  # type: ignore[arg-type]
            for piece in WORDS.tokens
        ]
        mask = matcher.mask()
        if mask is None:
            assert not matcher.mask_is_exact
        else:
            held = unpack(mask, WORDS.size).tolist()
            assert all(h >= a for h, a in zip(held, allowed, strict=True))
            if matcher.mask_is_exact:
                assert held == allowed
            assert [t for t in range(WORDS.size) if held[t] and matcher.confirms(t)] == [
                t for t in range(WORDS.size) if allowed[t]
            ]
        assert (matcher.is_accepting() and named.constraint.accepts(text)) == named.member(text)
        tokens = [token for token, may in enumerate(allowed) if may]
        if not tokens:
            return
        token = data.draw(st.sampled_from(tokens))
        twin = matcher.fork()
        assert matcher.advance(token)
        assert [twin.allows(t) for t in range(WORDS.size)] == allowed
        text += WORDS.tokens[token] or b""


@settings(max_examples=60, deadline=None)
@given(expressions(), st.lists(st.sampled_from(b"ab\xc3"), min_size=3, max_size=6))
def test_what_is_forbidden_changes_nothing(named: Named, text: list[int]) -> None:
    matcher = named.constraint.matcher(WORDS)
    for byte in text:
        before = [matcher.allows(token) for token in range(WORDS.size)], matcher.is_accepting()
        assert matcher.consume(b"")
        if not matcher.consume(bytes([byte])):
            assert ([matcher.allows(token) for token in range(WORDS.size)], matcher.is_accepting()) == before


A, B, C = Regex("a+"), Regex("b"), Choice(["c", "cc"])


def test_union_in_normal_form() -> None:
    assert (A | B) | C == A | (B | C) == Or((A, B, C))
    assert A | A == A
    assert A | Nothing() == A
    assert Nothing() | Nothing() == Or.of() == Nothing()
    assert str(A | B & C) == f"{A} | {B} & {C}"
    assert str((A | B) & C) == f"({A} | {B}) & {C}"


def test_complement_in_normal_form() -> None:
    assert Not(A) == ~A
    assert ~~A == A
    assert ~AnyText() == Nothing()
    assert ~Nothing() == AnyText()
    assert And((Not(A), Not(B))) == ~(A | B)
    assert Or((Not(A), Not(B))) == ~(A & B)
    assert ~~(A | ~B & C) == A | ~B & C
    assert A & Nothing() == Nothing()
    assert str(~A & ~(B + C)) == f"~{A} & ~({B} + {C})"


def test_concatenation_in_normal_form() -> None:
    assert (A + B) + C == A + (B + C) == Concat((A, B, C))
    assert "x" + ("y" + A) == "xy" + A == Concat((Choice(["xy"]), A))
    assert "" + A == A + "" == A
    assert A + Nothing() == Nothing()
    assert AnyText() + AnyText() == AnyText()
    assert Concat.of() == Choice([""])
    assert Concat.of("a", "b") == Choice(["ab"])
    assert Choice(["a"], [1]) + "b" == Choice(["ab"])
    assert str("x" + (A | B)) == f"'x' + ({A} | {B})"


def test_repetition_in_normal_form() -> None:
    assert A.repeat() == Repeat(A, 0, None, None)
    assert A.repeat(1, 1) == A
    assert A.repeat(2, 3, ", ") == A.repeat(2, 3, Choice([", "]))
    assert A.repeat(separator="") == A.repeat()
    assert A.repeat(0, 1, ",") == A.repeat(0, 1)
    assert A.repeat(max=0) == Choice([""]) == Nothing().repeat() == Choice([""]).repeat()
    assert Nothing().repeat(1) == Nothing() == A.repeat(2, separator=Nothing())
    assert A.repeat(separator=Nothing()) == A.repeat(max=1)
    assert AnyText().repeat() == AnyText()
    assert str((A | B).repeat(1, separator=", ")) == f"({A} | {B}).repeat(1, separator=', ')"
    assert str(A.repeat(0, 5)) == f"{A}.repeat(0, 5)"


def test_what_is_no_constraint_is_refused() -> None:
    for operation in (lambda: A | "b", lambda: A | int, lambda: A + 3, lambda: 3 + A, lambda: A + b"x"):
        with pytest.raises(TypeError):
            operation()
    for make in (
        lambda: A.repeat(-1),
        lambda: A.repeat(True),
        lambda: A.repeat(0, 1.5),  # type: ignore[arg-type]
        lambda: A.repeat(3, 2),
        lambda: A.repeat(separator=3),  # type: ignore[arg-type]
        lambda: Or.of(A, int),  # type: ignore[arg-type]
        lambda: Not.of("a"),  # type: ignore[arg-type]
        lambda: Concat.of(A, 3),  # type: ignore[arg-type]
    ):
        with pytest.raises(GrammarError):
            make()


def test_parsing() -> None:
    number = constraint_of(int)
    either = number | Choice(["none"], [None]) | Regex("[0-9]+!")
    assert either.parse("12") == 12
    assert either.parse("none") is None
    assert either.parse("12!") == "12!"
    assert (number & ~Choice(["13"])).parse("12") == 12
    assert (~number).parse("x") == "x"
    assert ("n = " + number).parse("n = 12") == "n = 12"
    assert number.repeat(separator=", ").parse("1, 2") == "1, 2"
    for constraint, text in [(either, "x"), (~number, "12"), (number + "!", "12"), (number.repeat(1), "")]:
        with pytest.raises(ParseError):
            constraint.parse(text)
        with pytest.raises(ParseError):
            constraint.parse(text.encode())  # type: ignore[arg-type]


def test_final_checks_are_named_once_and_asked_at_the_split() -> None:
    unique = JsonSchema({"type": "array", "items": {"type": "integer"}, "uniqueItems": True})
    for constraint in (unique + unique, unique | unique + "!", ~unique, unique.repeat(separator=unique)):
        assert constraint.final_checks == unique.final_checks
    fenced = "```\n" + unique + "\n```"
    assert fenced.matches("```\n[1, 2]\n```")
    assert not fenced.matches("```\n[1, 1]\n```")
    assert after(fenced, b"```\n[1, 1]") is not None
    assert after(fenced, b"```\n[1, 1]\n") is None


def test_masks_across_a_boundary_are_exact() -> None:
    words = Vocabulary(
        (b"{", b"}", b"}\n", b"}\n\n", b"{}\n", b'"a"', b"\n```", b"``", b"`", b"\n``", None), frozenset({10})
    )
    fenced = JsonSchema({"type": "object", "maxProperties": 0}, whitespace="compact") + "\n```"
    matcher = fenced.matcher(words)
    assert matcher.mask_is_exact
    assert [words.tokens[v] for v in unpack(matcher.mask(), 10).nonzero()[0]] == [b"{", b"{}\n"]
    assert matcher.advance(0)
    assert [words.tokens[v] for v in unpack(matcher.mask(), 10).nonzero()[0]] == [b"}", b"}\n"]
    assert matcher.advance(2)
    assert [words.tokens[v] for v in unpack(matcher.mask(), 10).nonzero()[0]] == [b"``", b"`"]


def test_a_mask_asks_no_predicate() -> None:
    asked: list[str] = []

    @prefix_predicate
    def noted(text: str) -> bool:
        asked.append(text)
        return True

    matcher = ("ab" + noted).matcher(WORDS)
    mask = matcher.mask()
    assert not matcher.mask_is_exact
    assert [WORDS.tokens[v] for v in unpack(mask, WORDS.size).nonzero()[0]] == [b"a", b"ab", b"abba"]
    assert not asked
    assert matcher.confirms(WORDS.tokens.index(b"abba"))
    assert asked == ["ba"]


def test_too_many_tokens_across_a_boundary_are_left_to_checks() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = Vocabulary(
        (*((x + y + z).encode() for x in letters for y in letters for z in "a1"), None), frozenset({1352})
    )
    matcher = (Regex("[a-z]+") + Choice(["1", "a1"])).by_mask().matcher(words)
    held, allowed = unpack(matcher.mask(), words.size), [matcher.allows(v) for v in range(words.size)]
    assert not matcher.mask_is_exact
    assert all(h >= a for h, a in zip(held, allowed, strict=True))


@pytest.mark.parametrize(
    ("constraint", "satisfiable"),
    [
        (Nothing(), False),
        (A & (B | C), False),
        (A & ("a" + B | C), False),
        (A & (B | "a" + A), True),
        (Choice(["a", "b"]) & ~Choice(["b", "a"]), False),
        (Choice(["a", "b"]) & ~Choice(["b", "c"]), True),
        (("a" + B) & A, False),
        (B.repeat(2, separator="-") & Regex("b-b-b"), True),
        (B.repeat(2, separator="-") & Regex("b-b?"), True),
        (B.repeat(2, separator="-") & Regex("b|b-"), False),
        (Regex("[a-z]*") + (A & B) + "x", False),
        (Regex("[a-z]*") + (A & C | A & B), False),
        (Regex("[a-z]*") + (A & C | A), True),
        ((A & B).repeat(1), False),
        ((A & B).repeat(), True),
        (A.repeat(2, separator=B & C), False),
        (A.repeat(1, separator=B & C), True),
        ((A & B).by_check(), False),
        (Regex("[a-z]*") & (Regex("x*") + (A & B)), False),
        (Regex("[ab]*[ac]*") & ~Regex("[ab]*[ac]*"), False),
        (Regex("[ab]*[ac]*") & ~Regex("[ab]*[ad]*"), True),
    ],
    ids=str,
)
def test_contradictions(constraint, satisfiable: bool) -> None:  # type: ignore[no-untyped-def]
    if satisfiable:
        check_satisfiable(constraint)
    else:
        with pytest.raises(ContradictionError, match="no text satisfies"):
            check_satisfiable(constraint)


def test_a_contradiction_is_named() -> None:
    with pytest.raises(ContradictionError) as caught:
        check_satisfiable(Regex("[a-z]*") + (A & B) + "x")
    assert f"no text satisfies {A} and {B}\n" in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(expressions())
def test_no_constraint_with_a_text_is_called_a_contradiction(named: Named) -> None:
    try:
        check_satisfiable(named.constraint)
    except ContradictionError:
        assert not any(map(named.member, strings(6)))
