"""Rewrite rules for constraints: the same set of texts, enforced more cheaply."""

from __future__ import annotations

from typing import Any

from grammars.algebra import And, AnyText
from grammars.choice import Choice
from grammars.constraint import Constraint
from grammars.errors import ContradictionError
from grammars.fusion import fuse
from grammars.vocabulary import Vocabulary
from ppl.compiler.rule import Rule
from ppl.targets import Constrained, Target


def _conjoin(target: Target[Any]) -> Target[Any] | None:
    if isinstance(target, Constrained) and isinstance(target.target, Constrained):
        inner = target.target
        return Constrained(inner.target, And.of(inner.constraint, target.constraint))
    return None


def _drop_any_text(target: Target[Any]) -> Target[Any] | None:
    if isinstance(target, Constrained) and isinstance(target.constraint, AnyText):
        return target.target
    return None


def _filter_choice(target: Target[Any]) -> Target[Any] | None:
    """Ask the masks of a conjunction about each option now, instead of at each token."""
    parts = _parts(target)
    choice = next((part for part in parts if isinstance(part, Choice)), None)
    filters = [p for p in parts if p is not choice and not p.final_checks and not p.slow and _rank(p) == 0]
    if choice is None or not filters:
        return None
    kept = [option for option in choice.options if all(part.matches(option) for part in filters)]
    if not kept:
        raise ContradictionError(
            f"no text satisfies {' and '.join(map(str, parts))}",
            hint="none of the options satisfies the rest: add one, or drop a constraint",
        )
    assert isinstance(target, Constrained)
    return Constrained(
        target.target, And.of(Choice(kept), *(p for p in parts if p not in (choice, *filters)))
    )


def _fuse_regular(target: Target[Any]) -> Target[Any] | None:
    """Give regular parts to the mask engine in one piece."""
    fused = fuse(target.constraint) if isinstance(target, Constrained) else None
    if fused is None:
        return None
    assert isinstance(target, Constrained)
    return Constrained(target.target, fused)


def _checks_last(target: Target[Any]) -> Target[Any] | None:
    """Put parts with an exact mask first, then those with a mask, then those that only check."""
    parts = _parts(target)
    order = tuple(sorted(parts, key=_rank))
    if order == parts or not parts:
        return None
    assert isinstance(target, Constrained)
    return Constrained(target.target, And(order))


CONSTRAINT_RULES: tuple[Rule, ...] = (
    Rule("conjoin", "(p & a) & b ≡ p & (a & b)", (Constrained,), _conjoin),
    Rule("drop-any-text", "p & any text ≡ p", (Constrained,), _drop_any_text),
    Rule("filter-choice", "p & {x, y, ...} & c ≡ p & {x : x in c}", (Constrained,), _filter_choice),
    Rule(
        "fuse-regular",
        "p & a & b ≡ p & (a ∩ b) for regular a, b; so |, ~, +, repeat",
        (Constrained,),
        _fuse_regular,
    ),
    Rule("checks-last", "p & (a & b) ≡ p & (b & a)", (Constrained,), _checks_last),
)


def _parts(target: Target[Any]) -> tuple[Constraint, ...]:
    """Return the parts of a conjunction at the root of a target."""
    if not isinstance(target, Constrained) or not isinstance(target.constraint, And):
        return ()
    return target.constraint.parts


def _rank(constraint: Constraint) -> int:
    matcher = constraint.matcher(Vocabulary.of_bytes())
    if matcher.mask() is None:
        return 2
    return 0 if matcher.mask_is_exact else 1
