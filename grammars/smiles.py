"""SMILES: molecules as lines of text, read by partialsmiles.

Whether a text is a molecule is no question of a grammar: brackets and ring bonds must be closed, no atom may
have more bonds than its valence admits, and aromatic systems must have a Kekulé structure. partialsmiles, by
Noel O'Boyle, decides that, for molecules and for their beginnings:

    L(SMILES()) = {t : t is spelled as below, and partialsmiles reads t}

    molecule   atom rings (link atom rings)*
    atom       one of the organic subset, `*`, or in brackets: isotope, symbol, `@`, hydrogens, charge
    rings      digits, or `%` and two digits, each after a bond or none
    link       `)` or none, then `(` or none, then a bond or none

The spelling is regular, so it makes a mask, which is not exact: parentheses, ring bonds and chemistry are then
checked, by reading the text so far as a beginning. The spelling is that of partialsmiles, but for what it admits
without meaning to: digits other than 0 to 9, ring numbers such as `%()`, aromatic symbols such as `[cl]`.

The beginnings that partialsmiles misjudges end within a token: `[A` of `[As]`, `%1` of `%12`, `B` of `Br`. They
are judged by what stands before the token, or by its other reading.

Specification: http://opensmiles.org/opensmiles.html
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from typing_extensions import override

from grammars.algebra import AndMatcher
from grammars.constraint import Constraint, Matcher
from grammars.errors import GrammarError
from grammars.predicate import PrefixPredicate, prefix_predicate
from grammars.predicate_matcher import PredicateMatcher
from grammars.regex import Regex
from grammars.vocabulary import Vocabulary

_AROMATIC = ("b", "c", "n", "o", "p", "s", "se", "te")
_OTHER_READING = {"C": "l", "B": "r"}
"""The last sign of a text, and what would make another atom of it."""
_IN_BRACKETS = re.compile(r"\[[^\]]*\]?")
_RING_BOND = re.compile(r"%[0-9]{2}|[0-9]")
_RING_NUMBER_BEGUN = re.compile(r"%[0-9]?\Z")


@dataclass(frozen=True)
class SMILES(Constraint):
    """The SMILES texts of molecules, and reactions of them, whose atoms have common valences.

    Needs partialsmiles, which the extra `smiles` installs. The empty text is not in.

    Raises
    ------
    GrammarError
        If partialsmiles is not installed.
    """

    def __post_init__(self) -> None:
        _partialsmiles()

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return MoleculeMatcher((_spelling().matcher(vocabulary), _molecule().matcher(vocabulary)))

    @override
    def accepts(self, text: bytes) -> bool:
        return _molecule().accepts(text)

    @override
    def prefetch(self, text: bytes) -> None:
        _molecule().prefetch(text)

    @property
    @override
    def final_checks(self) -> tuple[str, ...]:
        return ("partialsmiles reads the molecule",)


class MoleculeMatcher(AndMatcher):
    """The state of the spelling and of partialsmiles; hints at what closes branches and rings, and at carbon."""

    @override
    def hints(self) -> tuple[bytes, ...]:
        spelled = self._parts[1]
        assert isinstance(spelled, PredicateMatcher)
        return _closings(spelled.text)


def _closings(text: str) -> tuple[bytes, ...]:
    """Return the ring bonds that are open in a molecule, the end of a branch if one is open, and an atom."""
    bonds = Counter(_RING_BOND.findall(_IN_BRACKETS.sub("", text)))
    rings = [bond.encode() for bond, count in bonds.items() if count % 2]
    branch = [b")C"] if text.count("(") > text.count(")") else []
    return (*rings, *branch, b"C")


def _partialsmiles() -> ModuleType:
    try:
        import partialsmiles
    except ImportError as error:
        raise GrammarError(
            f"SMILES needs partialsmiles: {error}", hint="install it: pip install 'ppl[smiles]'"
        ) from error
    return partialsmiles  # type: ignore[no-any-return]


@cache
def _spelling() -> Regex:
    from partialsmiles.elements import elements

    symbols = "|".join(map(re.escape, (*elements, *_AROMATIC)))
    bracket = rf"\[(?:[1-9][0-9]{{0,2}})?(?:{symbols})(?:@@?)?(?:H[0-9]?)?(?:\++|-+|[+-][0-9])?\]"
    atom, bond = rf"(?:{bracket}|Cl|Br|[BCNOPSFIbcnops*])", r"[-=#$/\\]?"
    rings = rf"(?:{bond}(?:[0-9]|%[0-9]{{2}}))*"
    molecule = rf"{atom}{rings}(?:\)?\(?{bond}{atom}{rings})*"
    return Regex(rf"{molecule}(?:(?:\.|>>?\.?){molecule})*>?")


@cache
def _molecule() -> PrefixPredicate:
    """Return the predicate of the texts, spelled as they should be, that are or can become a molecule."""
    library = _partialsmiles()
    parse: Callable[..., Any] = library.ParseSmiles
    rejected: type[Exception] = library.Error

    def reads(text: str, partial: bool) -> bool:
        try:
            parse(text, partial=partial)
        except rejected:
            return False
        return True

    def molecule(text: str) -> bool:
        return reads(text, partial=False)

    @prefix_predicate(complete=molecule)
    def beginning(text: str) -> bool:
        opened = text.rfind("[")
        if opened > text.rfind("]"):
            return reads(text[: opened + 1], partial=True)
        text = _RING_NUMBER_BEGUN.sub("", text)
        other = _OTHER_READING.get(text[-1:])
        return reads(text, partial=True) or (other is not None and reads(text + other, partial=True))

    return beginning
