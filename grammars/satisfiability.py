"""Contradictions that are found before any model runs.

Whether a constraint has a text is undecidable in general. It is decided as far as its structure tells: a union is
empty if all its parts are, a concatenation if one of them is. The mask engine decides what is regular. Of the rest,
every prefix is tried, up to a bounded number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from grammars.algebra import And, Nothing, is_complete, require_constraint
from grammars.complement import Not
from grammars.constraint import Constraint, Matcher
from grammars.errors import ContradictionError
from grammars.fusion import fuse, terminal
from grammars.pinned import Pinned
from grammars.sequence import Concat, Repeat
from grammars.union import Or
from grammars.vocabulary import Vocabulary, unpack


def check_satisfiable(constraint: Constraint, *, budget: int = 512) -> None:
    """Raise if `constraint` visibly has no text.

    A union, concatenation or repetition is decided from its parts, what is regular by the mask engine. Of the rest, a
    breadth-first search excludes prefixes: of each, it reads at most `budget` longer ones, half as many where no exact
    mask tells which there are. Constraints that call themselves slow are not asked. It never raises for a constraint
    that has a text; it may miss that one has none.

    Raises
    ------
    ContradictionError
        If there is no text; the message names the constraints that contradict each other.
    """
    require_constraint(constraint)
    culprits = _culprits(constraint, budget)
    if culprits:
        raise ContradictionError(
            f"no text satisfies {' and '.join(map(str, culprits))}",
            hint="drop one of them, or check each with `.matches(text)` on a text that you expect",
        )


def _culprits(constraint: Constraint, budget: int) -> tuple[Constraint, ...]:
    """Return constraints that a text of `constraint` would have to satisfy, and of which none can; () if unknown."""
    match constraint:
        case Nothing():
            return (constraint,)
        case And():
            return _culprits_together(constraint.parts, budget)
        case Or():
            return (constraint,) if all(_culprits(part, budget) for part in constraint.parts) else ()
        case Concat():
            return next((found for part in constraint.parts if (found := _culprits(part, budget))), ())
        case Repeat():
            needed = [constraint.item] if constraint.min else []
            if constraint.min > 1 and constraint.separator is not None:
                needed.append(constraint.separator)
            return next((found for part in needed if (found := _culprits(part, budget))), ())
        case Pinned():
            return _culprits(constraint.constraint, budget)
    return (constraint,) if not constraint.slow and _is_empty(constraint, budget) else ()


def _culprits_together(parts: tuple[Constraint, ...], budget: int) -> tuple[Constraint, ...]:
    """Return what contradicts itself or another among `parts`, which must all hold."""
    for part in parts:
        if isinstance(part, Not) and part.constraint in parts:
            return part.constraint, part
        if isinstance(part, (Or, Concat, Repeat, Pinned)) and (found := _culprits(part, budget)):
            return found
    # supersets: if one of them is empty, so is the whole
    quick = tuple(part for part in parts if not part.slow)
    regular = tuple(part for part in quick if terminal(part) is not None)
    for together in dict.fromkeys((regular, quick)):
        if together and _is_empty(And.of(*together), budget):
            return together
    return ()


def _is_empty(constraint: Constraint, budget: int) -> bool:
    """Return whether a search excludes every prefix; where all is regular, the engine excludes the first."""
    start = (fuse(constraint) or constraint).matcher(Vocabulary.of_bytes())
    if is_complete(constraint, start, b""):
        return False
    queue = deque([(b"", start)])
    read = checks = 0
    while queue:
        prefix, matcher = queue.popleft()
        exact = matcher.mask_is_exact
        for byte in _following(matcher):
            read, checks = read + 1, checks + (not exact)
            if read > budget or checks > budget // 2:
                return False
            following, text = matcher.fork(), prefix + bytes([byte])
            if following.consume(text[-1:]):
                if is_complete(constraint, following, text):
                    return False
                queue.append((text, following))
    return True


def _following(matcher: Matcher) -> Iterator[int]:
    """Return the bytes that a matcher over single bytes may allow."""
    mask = matcher.mask()
    return iter(range(256)) if mask is None else iter(unpack(mask, 256).nonzero()[0].tolist())
