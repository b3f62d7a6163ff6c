"""Conjunction of constraints, the constraint of all texts, and contradictions found before any model runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from typing_extensions import override

from grammars.constraint import Constraint, Matcher
from grammars.errors import ContradictionError, GrammarError
from grammars.vocabulary import Mask, Vocabulary, unpack


@dataclass(frozen=True)
class AnyText(Constraint):
    """Every byte string: the neutral element of `&`."""

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return AnyTextMatcher(vocabulary)


class AnyTextMatcher(Matcher):
    """Allows every token that has text."""

    @override
    def consume(self, data: bytes) -> bool:
        return True

    @override
    def is_accepting(self) -> bool:
        return True

    @override
    def fork(self) -> Self:
        return self  # it has no state

    @override
    def allows(self, token: int) -> bool:
        return bool(self.vocabulary.tokens[token])

    @override
    def mask(self) -> Mask:
        return self.vocabulary.text_mask.copy()


@dataclass(frozen=True)
class And(Constraint):
    """The texts that are in every one of `parts`.

    Build it with `&` or `And.of`, which keep it in normal form. The first part parses: `JsonSchema(Ticket) &
    check` gives a `Ticket`.
    """

    parts: tuple[Constraint, ...]

    def __str__(self) -> str:
        return " & ".join(map(str, self.parts))

    @staticmethod
    def of(*constraints: Constraint) -> Constraint:
        """Return the conjunction: nested ones flattened, repeated parts and `AnyText` dropped, order kept."""
        flat: dict[Constraint, None] = {}
        for constraint in constraints:
            if not isinstance(constraint, Constraint):
                raise GrammarError(
                    f"not a constraint: {constraint!r}", hint="constraint_of(T) makes one of a type"
                )
            flat.update(dict.fromkeys(constraint.parts if isinstance(constraint, And) else (constraint,)))
        parts = tuple(part for part in flat if not isinstance(part, AnyText))
        if len(parts) == 1:
            return parts[0]
        return And(parts) if parts else AnyText()

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return AndMatcher(tuple(part.matcher(vocabulary) for part in self.parts))

    @override
    def accepts(self, text: bytes) -> bool:
        return all(part.accepts(text) for part in self.parts)

    @override
    def prefetch(self, text: bytes) -> None:
        for part in self.parts:
            part.prefetch(text)

    @property
    @override
    def final_checks(self) -> tuple[str, ...]:
        return tuple(check for part in self.parts for check in part.final_checks)

    @override
    def parse(self, text: str) -> Any:
        for part in self.parts[1:]:
            part.require(text)
        return self.parts[0].parse(text)


class AndMatcher(Matcher):
    """The states of several constraints after the same prefix.

    The mask is the intersection of the masks there are. Where a part only checks, it is a superset of what
    `allows` allows, and `mask_is_exact` says so; where no part masks, there is no mask.
    """

    def __init__(self, parts: tuple[Matcher, ...]) -> None:
        super().__init__(parts[0].vocabulary)
        self._parts = parts

    @property
    @override
    def mask_is_exact(self) -> bool:
        return all(part.mask_is_exact for part in self._parts)

    @override
    def consume(self, data: bytes) -> bool:
        advanced = tuple(part.fork() for part in self._parts)
        if not all(part.consume(data) for part in advanced):
            return False
        self._parts = advanced
        return True

    @override
    def is_accepting(self) -> bool:
        return all(part.is_accepting() for part in self._parts)

    @override
    def fork(self) -> Self:
        return type(self)(tuple(part.fork() for part in self._parts))

    @override
    def allows(self, token: int) -> bool:
        return all(part.allows(token) for part in self._parts)

    @override
    def confirms(self, token: int) -> bool:
        return all(part.confirms(token) for part in self._parts)

    @override
    def prefetch(self, tokens: Sequence[int]) -> None:
        for part in self._parts:
            part.prefetch(tokens)

    @override
    def advance(self, token: int) -> bool:
        return self.allows(token) and all(part.advance(token) for part in self._parts)

    @override
    def mask(self) -> Mask | None:
        masks = [mask for part in self._parts if (mask := part.mask()) is not None]
        if not masks:
            return None
        result = masks[0]
        for mask in masks[1:]:
            result &= mask
        return result


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
