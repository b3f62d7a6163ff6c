"""Reading a text that is made of parts when nobody knows where one part ends and the next begins.

A sequence of constraints is a nondeterministic automaton. Its *nodes* stand for "within this part"; `after(node)`
are the nodes of the parts that may come next, and at some nodes the text may end. The state of the matcher is the
set of all *branches* (factor, where in the text it began, matcher, nodes) that explain the text so far. After each
byte, a branch whose own text is complete (asked at that split, final checks included) spawns branches of the next
parts. Branches of the same factor that began at the same place have read the same bytes: they are one, with the
nodes of both. So there are at most as many branches as factors times bytes, and no split is lost.

Tokens know nothing of the splits: which of them cross a boundary tells `grammars.boundaries`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

from typing_extensions import override

from grammars.algebra import is_complete
from grammars.boundaries import crossing, try_tokens
from grammars.constraint import Constraint, Matcher
from grammars.vocabulary import Mask, Vocabulary, pack, unpack

Node = int


class Factored(Constraint):
    """A constraint whose texts are made of texts of its `factors`, as its nodes say."""

    @property
    @abstractmethod
    def factors(self) -> tuple[Constraint, ...]:
        """The constraints of the parts."""

    @property
    @abstractmethod
    def first(self) -> frozenset[Node]:
        """The nodes before the first byte."""

    @property
    @abstractmethod
    def has_empty(self) -> bool:
        """Whether no part at all makes a text, the empty one."""

    @abstractmethod
    def factor_of(self, node: Node) -> int:
        """Return the index of the constraint that is read at a node."""

    @abstractmethod
    def after(self, node: Node) -> tuple[Node, ...]:
        """Return the nodes that may follow once the part at `node` is complete."""

    @abstractmethod
    def may_end(self, node: Node) -> bool:
        """Return whether the text may end where the part at `node` is complete."""

    @abstractmethod
    def followers(self, index: int) -> tuple[int, ...]:
        """Return the indices of the factors that may follow the one at `index`."""

    def without_loss(self, nodes: frozenset[Node]) -> frozenset[Node]:
        """Return those of the nodes of one factor that make the others superfluous."""
        return nodes

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return SplitMatcher(_Reader(vocabulary, self))

    @property
    @override
    def slow(self) -> bool:
        return any(part.slow for part in self.factors)

    @property
    @override
    def final_checks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(check for part in self.factors for check in part.final_checks))


@dataclass(frozen=True, slots=True)
class Branch:
    """A part that began at byte `begin` and is still being read; its matcher is never advanced in place."""

    factor: int
    begin: int
    matcher: Matcher
    nodes: frozenset[Node]
    next: frozenset[Node]
    """The nodes after this part; if there are none, its matcher alone decides."""


Branches: TypeAlias = tuple[Branch, ...]


class SplitMatcher(Matcher):
    """The branches that explain the text so far."""

    def __init__(self, reader: _Reader) -> None:
        super().__init__(reader.vocabulary)
        self._reader = reader
        self._text = b""
        self._branches = reader.spawn(reader.constraint.first, 0)
        self._masked: tuple[Mask | None, bool] | None = None

    @override
    def consume(self, data: bytes) -> bool:
        if not data:
            return True
        branches = self._reader.read(self._branches, self._text, data)
        if not branches:
            return False
        self._branches = branches
        self._text += data
        self._masked = None
        return True

    @override
    def allows(self, token: int) -> bool:
        data = self.vocabulary.tokens[token]
        return bool(data) and bool(self._reader.read(self._branches, self._text, data))  # type: ignore[arg-type]

    @override
    def is_accepting(self) -> bool:
        if not self._text and self._reader.constraint.has_empty:
            return True
        ends = self._reader.constraint.may_end
        return any(
            any(map(ends, branch.nodes)) and self._reader.completes(branch, self._text)
            for branch in self._branches
        )

    @override
    def fork(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    @override
    def prefetch(self, tokens: Sequence[int]) -> None:
        for branch in self._branches:
            branch.matcher.prefetch(tokens)

    @property
    @override
    def mask_is_exact(self) -> bool:
        return self._mask()[1]

    @override
    def mask(self) -> Mask | None:
        mask, _ = self._mask()
        return None if mask is None else mask.copy()

    def _mask(self) -> tuple[Mask | None, bool]:
        if self._masked is None:
            self._masked = self._reader.mask(self._branches, self._text)
        return self._masked


class _Reader:
    """How to read the texts of one constraint with the tokens of one vocabulary; shared by all matchers."""

    def __init__(self, vocabulary: Vocabulary, constraint: Factored) -> None:
        self.vocabulary = vocabulary
        self.constraint = constraint
        self._factors = constraint.factors
        self._starts = [part.matcher(vocabulary) for part in self._factors]
        self._empty: dict[int, bool] = {}
        self._openings: dict[int, frozenset[int]] = {}
        self._masks: dict[int, bool] = {}

    def spawn(self, nodes: Iterable[Node], begin: int) -> Branches:
        """Return the branches that begin at byte `begin`: of `nodes`, and of what follows empty parts."""
        reached: dict[int, frozenset[Node]] = {}
        pending = list(nodes)
        while pending:
            node = pending.pop()
            factor = self.constraint.factor_of(node)
            before = reached.get(factor, frozenset())
            reached[factor] = self.constraint.without_loss(before | {node})
            following = self.constraint.after(node)
            if following and reached[factor] != before and self._may_be_empty(factor):
                pending += following
        return tuple(
            Branch(factor, begin, self._starts[factor].fork(), nodes, self._after(nodes))
            for factor, nodes in sorted(reached.items())
        )

    def read(self, branches: Branches, text: bytes, data: bytes) -> Branches:
        """Return the branches after `data`, which follows `text`; none if no text goes on that way."""
        ended = [after for branch in branches if not branch.next and (after := _advance(branch, data))]
        growing = [branch for branch in branches if branch.next]
        whole = text + data
        for position in range(len(text) + 1, len(whole) + 1):
            if not growing:
                break
            byte, rest = whole[position - 1 : position], whole[position:]
            growing = [after for branch in growing if (after := _advance(branch, byte))]
            complete = [branch.next for branch in growing if self.completes(branch, whole[:position])]
            for branch in self.spawn(frozenset().union(*complete), position):
                if branch.next:
                    growing.append(branch)
                elif not rest:  # so that nothing is asked before it must be
                    ended.append(branch)
                elif after := _advance(branch, rest):
                    ended.append(after)
        return tuple(sorted(ended + growing, key=lambda branch: (branch.begin, branch.factor)))

    def completes(self, branch: Branch, text: bytes) -> bool:
        """Return whether the part of a branch is complete at the end of `text`."""
        return is_complete(self._factors[branch.factor], branch.matcher, text[branch.begin :])

    def mask(self, branches: Branches, text: bytes) -> tuple[Mask | None, bool]:
        """Return the mask after `text`, and whether it is exact; None if a branch offers none."""
        result, exact, openings = pack([], self.vocabulary.size), True, frozenset[int]()
        for branch in branches:
            mask = branch.matcher.mask()
            if mask is None:
                return None, False
            result |= mask
            exact &= branch.matcher.mask_is_exact
            if branch.next:
                openings |= self._openings_after(branch.factor)
        more, tried = try_tokens(
            self.vocabulary,
            crossing(self.vocabulary, openings, result),
            branches,
            lambda state, before, byte: self.read(state, text + before, byte),
            lambda state: not all(self._offers_mask(branch.factor) for branch in state),
        )
        return result | more, exact and tried

    def _offers_mask(self, factor: int) -> bool:
        if factor not in self._masks:
            self._masks[factor] = self._starts[factor].mask() is not None
        return self._masks[factor]

    def _may_be_empty(self, factor: int) -> bool:
        if factor not in self._empty:
            self._empty[factor] = is_complete(self._factors[factor], self._starts[factor], b"")
        return self._empty[factor]

    def _after(self, nodes: Iterable[Node]) -> frozenset[Node]:
        return frozenset(after for node in nodes for after in self.constraint.after(node))

    def _openings_after(self, factor: int) -> frozenset[int]:
        """Return the bytes with which what follows a factor may begin, and perhaps more."""
        if factor not in self._openings:
            found: set[int] = set()
            seen, pending = set[int](), [*self.constraint.followers(factor)]
            while pending:
                following = pending.pop()
                if following in seen:
                    continue
                seen.add(following)
                mask = self._factors[following].matcher(Vocabulary.of_bytes()).mask()
                found.update(range(256) if mask is None else unpack(mask, 256).nonzero()[0].tolist())
                if mask is not None and (after := self.constraint.followers(following)):
                    pending += after if self._may_be_empty(following) else ()
            self._openings[factor] = frozenset(found)
        return self._openings[factor]


def _advance(branch: Branch, data: bytes) -> Branch | None:
    matcher = branch.matcher.fork()
    if not matcher.consume(data):
        return None
    return Branch(branch.factor, branch.begin, matcher, branch.nodes, branch.next)
