"""Goals of the blocksworld: sets of atoms such as (on a b), what they imply, and when two are the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

Atom = tuple[str, ...]
Goal = frozenset[Atom]
ARM_EMPTY: Atom = ("arm-empty",)
ARITY = {"arm-empty": 0, "clear": 1, "on-table": 1, "holding": 1, "on": 2}
_ATOM = r"\([a-z-]+(?: \w+)*\)"


def show(atom: Iterable[str]) -> str:
    """Return an atom as PDDL."""
    return f"({' '.join(atom)})"


def parse(text: str, objects: Iterable[str]) -> Goal | None:
    """Return the atoms of a goal, None if it is not a list of well-formed atoms about `objects`."""
    if not re.fullmatch(rf"{_ATOM}(?:\s+{_ATOM})*", text.strip()):
        return None
    goal = frozenset(tuple(inner.split()) for inner in re.findall(r"\(([^()]*)\)", text))
    known = set(objects)
    well_formed = all(ARITY.get(a[0]) == len(a) - 1 and known.issuperset(a[1:]) for a in goal)
    return goal if well_formed else None


def closure(goal: Goal, objects: Iterable[str]) -> Goal:
    """Return the goal with the atoms that it implies: what it leaves open has only one way to be.

    A block of which is not said what it is on (open below) may be on any block of another tower of which is not said
    what is on it (open above), or be held if nothing is on it. Where neither can be, it is on the table, or clear.
    """
    blocks = list(objects)
    below = {a[1]: a[2] for a in goal if a[0] == "on"}
    placed = set(below) | {a[1] for a in goal if a[0] in ("on-table", "holding")}
    covered = set(below.values()) | {a[1] for a in goal if a[0] in ("clear", "holding")}
    open_below, open_above = [b for b in blocks if b not in placed], [b for b in blocks if b not in covered]
    foot = {b: _foot(b, below) for b in blocks}
    arm_open = not any(a[0] in ("arm-empty", "holding") for a in goal)
    may_be_held = set(open_below) & set(open_above) if arm_open else set()
    implied = {
        ("clear", b)
        for b in open_above
        if b not in may_be_held and all(foot[b] == foot[c] for c in open_below)
    }
    implied |= {
        ("on-table", b)
        for b in open_below
        if b not in may_be_held and all(foot[b] == foot[c] for c in open_above)
    }
    if arm_open and not may_be_held:
        implied.add(ARM_EMPTY)
    return goal | implied


def same(goal: Goal, other: Goal, objects: Iterable[str], *, renamed: bool) -> bool:
    """Return whether two goals imply the same; with `renamed`, up to the names of the blocks."""
    a, b = closure(goal, objects), closure(other, objects)
    return a == b or (renamed and _shape(a, objects) == _shape(b, objects))


def _foot(block: str, below: dict[str, str]) -> str:
    """Return the lowest block of a tower; where blocks stand in a circle, the smallest name of it."""
    seen = [block]
    while (following := below.get(seen[-1])) is not None:
        if following in seen:
            return min(seen[seen.index(following) :])
        seen.append(following)
    return seen[-1]


def _shape(goal: Goal, objects: Iterable[str]) -> object:
    """Return what does not change if blocks are renamed: the towers, and whether the arm is empty.

    Where the blocks do not form towers it is something that equals nothing else.
    """
    pairs = [a[1:] for a in goal if a[0] == "on"]
    below, above = dict(pairs), {b: a for a, b in pairs}
    if len(below) < len(pairs) or len(above) < len(pairs):
        return object()
    towers: Counter[tuple[frozenset[str], ...]] = Counter()
    seen = 0
    for block in objects:
        if block in below:
            continue
        tower = [block]
        while tower[-1] in above:
            tower.append(above[tower[-1]])
        seen += len(tower)
        towers[tuple(frozenset(a[0] for a in goal if a[1:] == (b,)) for b in tower)] += 1
    return (towers, ARM_EMPTY in goal) if seen == len(set(objects)) else object()
