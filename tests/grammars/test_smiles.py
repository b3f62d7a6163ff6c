"""SMILES: what partialsmiles reads, and nothing that can be completed forbidden on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import SMILES, GrammarError, ParseError, Vocabulary, check_consistent, check_satisfiable, unpack
from inference import Enumerate, TableLM, infer
from ppl import program, sample

partialsmiles = pytest.importorskip("partialsmiles")

MOLECULES = SMILES()
SIMPLE = ["C", "C", "C", "N", "O", "c", "c", "n", "o", "s", "S", "P", "B", "F", "Cl", "Br", "I", "*", "b"]
BRACKETS = [
    "[nH]",
    "[O-]",
    "[N+]",
    "[C@@H]",
    "[13CH3]",
    "[Si]",
    "[As]",
    "[Te]",
    "[te]",
    "[Xe]",
    "[SH4]",
    "[Al+3]",
]
RINGS = ["1", "2", "0", "%10", "%12", "%01"]
BONDS = ["", "", "", "", "", "=", "=", "#", "$", "/", "\\", "-"]


def reads(text: str) -> bool:
    try:
        partialsmiles.ParseSmiles(text, partial=False)
    except partialsmiles.Error:
        return False
    return True


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """Texts with closed parentheses and rings, of atoms that often have too many bonds."""
    atoms = st.sampled_from(SIMPLE) | st.sampled_from(BRACKETS)
    bonds = st.sampled_from(BONDS)
    text = draw(atoms)
    opened: list[str] = []
    depth = 0
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.integers(0, 3)) == 0:
            ring = draw(st.sampled_from(opened if opened and draw(st.booleans()) else RINGS))
            opened = [*opened, ring] if ring not in opened else [other for other in opened if other != ring]
            text += draw(bonds) + ring
        link = draw(st.sampled_from(["", "", "", "(", ")", ")("]))
        if link.startswith(")") and not depth:
            link = ""
        depth += link.count("(") - link.count(")")
        text += link + draw(bonds) + draw(atoms)
    for _ in range(depth):
        text += ")" + draw(atoms)
    for ring in opened:
        text += draw(st.sampled_from(["", "C", "c"])) + ring
    return text


@pytest.mark.parametrize(
    "text",
    [
        "C",
        "CC(=O)Oc1ccccc1C(=O)O",
        "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
        "C[C@@H](N)C(=O)[O-]",
        "C%12CCO%12",
        "F[Te]F",
        "[te]1cccc1",
        "C$Br/O",
        "F/C=C\\F",
        "[Na+].[Cl-]",
        "CC>>CO",
    ],
)
def test_molecules(text: str) -> None:
    assert MOLECULES.matches(text)
    assert MOLECULES.parse(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "C1CC",  # an open ring
        "C(C",
        "C)C",
        "C()C",
        "[C",
        "C(C)(C)(C)(C)C",  # five bonds
        "O=C=O=C",
        "c1cccc1",  # no Kekulé structure
        "C.",
        "C1CC%1",
        "C\u00b2CC\u00b2",  # digits, but not of SMILES
        "C%()CC%()",
        "c[cl]",
        " C",
        "C\n",
        "Xx",
    ],
)
def test_other_texts(text: str) -> None:
    assert not MOLECULES.matches(text)
    with pytest.raises(ParseError):
        MOLECULES.parse(text)


@settings(max_examples=400, deadline=None)
@given(spelled())
def test_what_can_be_completed_is_allowed(text: str) -> None:
    """A text that partialsmiles reads is in the language, and may be read byte by byte."""
    assert MOLECULES.matches(text) == reads(text)
    if reads(text):
        matcher = MOLECULES.matcher(Vocabulary.of_bytes())
        assert all(matcher.consume(bytes([byte])) for byte in text.encode())


def test_no_prefix_is_rejected_that_has_an_allowed_extension(
    rows: Callable[[str], list[dict[str, Any]]],
) -> None:
    valid = [row["smiles"] for row in rows("grammar_suite/smiles_dev.jsonl") if row["partialsmiles_valid"]]
    check_consistent(MOLECULES, valid[::10])
    with_long_rings = [
        text.replace("1", "%21") for text in valid[::25] if "[" not in text and "%" not in text
    ]
    check_consistent(MOLECULES, [text for text in with_long_rings if reads(text)])


def test_short_texts_are_consistent() -> None:
    check_consistent(
        MOLECULES, alphabet=["C", "B", "r", "n", "(", ")", "=", "$", "1", "%", "[", "A", "s", "]"], depth=4
    )


def test_development_data(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    for row in rows("grammar_suite/smiles_dev.jsonl"):
        assert MOLECULES.matches(row["smiles"]) == row["partialsmiles_valid"], row["smiles"]


def test_random_spellings_of_molecules(rows: Callable[[str], list[dict[str, Any]]]) -> None:
    """Any order of the atoms, as RDKit writes them, is read if one is."""
    chem = pytest.importorskip("rdkit.Chem")
    for row in rows("molecules/reference_dev.jsonl")[::100]:
        molecule = chem.MolFromSmiles(row["smiles"])
        for text in chem.MolToRandomSmilesVect(molecule, 3, randomSeed=1):
            assert MOLECULES.matches(text) == reads(text)
            assert MOLECULES.matches(text), text


@settings(max_examples=60, deadline=None)
@given(spelled().filter(reads), st.data())
def test_the_mask_holds_what_is_allowed(text: str, data: st.DataObject) -> None:
    """And confirmation makes it exact."""
    pieces = {text[i:j] for i in range(len(text)) for j in range(i + 1, min(i + 4, len(text)) + 1)}
    tokens = [piece.encode() for piece in sorted(pieces)]
    tokens += [b"C", b"l", b"r", b"c1", b"%1", b"[A", b")(", b"1)", b"=", b"((", b"\xc3", b"C C"]
    words = Vocabulary((*tokens, None), frozenset({len(tokens)}))
    matcher = MOLECULES.matcher(words)
    assert not matcher.mask_is_exact
    assert matcher.consume(text[: data.draw(st.integers(0, len(text)))].encode())
    mask = matcher.mask()
    assert mask is not None
    for token, held in enumerate(unpack(mask, words.size)):
        assert (held and matcher.confirms(token)) == matcher.allows(token)
    assert not unpack(mask, words.size)[tokens.index(b"((")]


def test_it_is_a_value() -> None:
    assert SMILES() == SMILES()
    assert hash(SMILES()) == hash(SMILES())
    assert repr(SMILES()) == "SMILES()"
    assert SMILES().final_checks
    check_satisfiable(SMILES())


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "partialsmiles", None)
    with pytest.raises(GrammarError, match="partialsmiles") as caught:
        SMILES()
    assert "ppl[smiles]" in str(caught.value.hint)


def test_in_a_program() -> None:
    """The posterior is the model, restricted to what partialsmiles reads."""
    tokens = ["C", "=", "1", "F", "[H", "+]"]
    weights = np.array([0.3, 0.2, 0.15, 0.1, 0.05, 0.05, 0.15])
    lm = TableLM(tokens, lambda prompt, generated: list(weights))

    @program
    def molecule() -> str:
        return sample(lm("", max_tokens=4) & SMILES())

    mass: dict[str, float] = {}
    level = {"": 1.0}
    for _ in range(5):
        for text, weight in level.items():
            if reads(text):
                mass[text] = mass.get(text, 0.0) + weight * weights[-1]
        level = {t + v: w * weights[i] for t, w in level.items() for i, v in enumerate(tokens)}
    posterior = infer(molecule(), Enumerate())
    assert posterior.log_evidence == pytest.approx(np.log(sum(mass.values())))
    assert dict(posterior.top(100)) == pytest.approx({t: m / sum(mass.values()) for t, m in mass.items()})
