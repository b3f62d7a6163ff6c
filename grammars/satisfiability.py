"""Contradictions that are found before any model runs."""

from __future__ import annotations

from collections import deque

from grammars.algebra import And
from grammars.constraint import Constraint
from grammars.errors import ContradictionError, GrammarError
from grammars.vocabulary import Vocabulary, unpack


def check_satisfiable(constraint: Constraint, *, budget: int = 256) -> None:
    """Search for a text of `constraint`, breadth first by bytes, and raise if there is none.

    The search visits at most `budget` prefixes, and tries at most `budget` bytes where no exact mask tells which
    may follow. Constraints that call themselves slow are left out. It never raises for a constraint that has a
    text; it may miss that one has none, where there are too many prefixes to exclude.

    Raises
    ------
    ContradictionError
        If every prefix was excluded; the message names the constraints that contradict each other.
    """
    if not isinstance(constraint, Constraint):
        raise GrammarError(f"not a constraint: {constraint!r}", hint="constraint_of(T) makes one of a type")
    parts = constraint.parts if isinstance(constraint, And) else (constraint,)
    constraint = And.of(
        *(part for part in parts if not part.slow)
    )  # a superset: if it is empty, so is the whole
    queue = deque([(b"", constraint.matcher(Vocabulary.of_bytes()))])
    checks = 0
    for _ in range(budget):
        if not queue:
            names = constraint.parts if isinstance(constraint, And) else (constraint,)
            raise ContradictionError(
                f"no text satisfies {' and '.join(map(str, names))}",
                hint="drop one of them, or check each with `.matches(text)` on a text that you expect",
            )
        prefix, matcher = queue.popleft()
        if matcher.is_accepting() and constraint.accepts(prefix):
            return
        mask = matcher.mask()
        allowed = range(256) if mask is None else map(int, unpack(mask, 256).nonzero()[0])
        for byte in allowed:
            checks += not matcher.mask_is_exact
            if checks > budget:
                return
            following = matcher.fork()
            if following.consume(bytes([byte])):
                queue.append((prefix + bytes([byte]), following))
