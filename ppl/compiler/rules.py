"""Rewriting: equal measures, of which the right-hand side is nearer to the normal form, or cheaper to compute.

Each rule is a value (`ppl.compiler.rule`). `rewrite` applies them from the leaves to the root until none applies. That
a rule leaves the measure as it is, is tested for each one by itself (`tests/ppl/test_rules.py`).
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from ppl.compiler.algebra_rules import ALGEBRA_RULES
from ppl.compiler.constraint_rules import CONSTRAINT_RULES
from ppl.compiler.rule import Rule
from ppl.targets import Target, Text

RULES: tuple[Rule, ...] = (*ALGEBRA_RULES, *CONSTRAINT_RULES)

STRUCTURAL = (*ALGEBRA_RULES, *CONSTRAINT_RULES[:2])
"""Those that look at the shape of a target only."""


def rewrite(target: Target[Any], rules: tuple[Rule, ...] = RULES) -> tuple[Target[Any], tuple[str, ...]]:
    """Return the rewritten target, and the names of the rules that were applied, in order.

    Raises
    ------
    ContradictionError
        If a rule finds that no text satisfies the constraint.
    InvalidArgument
        If a power has no meaning.
    """
    applied: list[str] = []
    return _rewrite(target, rules, applied), tuple(applied)


def _rewrite(target: Target[Any], rules: tuple[Rule, ...], applied: list[str]) -> Target[Any]:
    target = _with_parts(target, rules, applied)
    for rule in rules:
        rewritten = rule.apply(target) if type(target) in rule.roots else None
        if rewritten is not None:
            applied.append(rule.name)
            return _rewrite(rewritten, rules, applied)
    return target


def _with_parts(target: Target[Any], rules: tuple[Rule, ...], applied: list[str]) -> Target[Any]:
    """Return a target with its parts rewritten."""
    if not is_dataclass(target) or isinstance(target, Text):
        return target
    changed: dict[str, Any] = {}
    for field in fields(target):
        value = getattr(target, field.name)
        if isinstance(value, Target):
            new: Any = _rewrite(value, rules, applied)
            same = new is value
        elif isinstance(value, tuple) and value and all(isinstance(part, Target) for part in value):
            new = tuple(_rewrite(part, rules, applied) for part in value)
            same = all(a is b for a, b in zip(new, value, strict=True))
        else:
            continue
        if not same:
            changed[field.name] = new
    return replace(target, **changed) if changed else target
