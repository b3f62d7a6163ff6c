r"""The words that a pattern takes whole: {w : re.match(pattern, w) ends at the end of w}.

That is how a lexer reads a pattern. It is less than `re.fullmatch`, which may force a lazy quantifier to go
on: `".*?"` takes `"a"` whole but not `"a", "b"`. For patterns of Python's `re` the set is regular. As in a
backtracking matcher, the ways to match are ordered by preference; an automaton keeps them in that order, and
where one of them has come to its end drops those behind it [1]_.

A way through the pattern is a *thread*: the next character that it waits for, and what it has yet to see of
the look-aheads that it passed. Look-behinds are answered by automata that run beside. Both must be settled
within the word: what they would see outside, no grammar can say.

References
----------
.. [1] R. Cox. "Regular Expression Matching in the Wild". 2010, on leftmost-first semantics in RE2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from grammars.character_automaton import CharacterAutomaton
from grammars.characters import Alphabet
from grammars.pattern_program import MATCH, Again, Check, Enter, Fork, Program, Read
from grammars.python_regex import Node, UnsupportedPatternError, looks

STATES = 20_000
STEPS = 2_000_000  # about 2 s

_Places: TypeAlias = frozenset[int]


class _Pending(NamedTuple):
    """A look-ahead that is not settled: its number, and where in its body the text since then may be."""

    look: int
    places: _Places


class _Thread(NamedTuple):
    place: int
    pending: frozenset[_Pending]


class _State(NamedTuple):
    """Of the automaton: the threads by preference, where each look-behind is, and how much it has seen."""

    threads: tuple[_Thread, ...]
    behind: tuple[_Places, ...]
    seen: int


class FirstMatch:
    """A pattern, ready to become an automaton.

    Parameters
    ----------
    node:
        The pattern.
    alphabet:
        An alphabet that tells its sets of characters apart.

    Raises
    ------
    UnsupportedPatternError
        If it is too large, or has a look-around within a look-around.
    """

    def __init__(self, node: Node, alphabet: Alphabet) -> None:
        self._alphabet = alphabet
        self._looks = list(looks(node))
        numbers = {id(look): number for number, look in enumerate(self._looks)}
        if any(True for look in self._looks for _ in looks(look.body)):
            raise UnsupportedPatternError("it has a look-around within a look-around")
        self._main = Program(node, alphabet, numbers)
        self._bodies = [Program(look.body, alphabet, {}) for look in self._looks]
        self._steps = STEPS

    def automaton(self, *, whole: bool = False) -> CharacterAutomaton:
        """Return the automaton of the words that the pattern takes whole.

        Parameters
        ----------
        whole:
            Take every word that the pattern can match in full, as `re.fullmatch` does.

        Raises
        ------
        UnsupportedPatternError
            If a look-around sees beyond the word, or the automaton is too large.
        """
        numbers: dict[_State, int] = {}
        todo: list[_State] = []

        def number(state: _State) -> int:
            if state not in numbers:
                if len(numbers) >= STATES:
                    raise UnsupportedPatternError(f"its automaton has more than {STATES} states")
                numbers[state] = len(numbers)
                todo.append(state)
            return numbers[state]

        behind = tuple(
            self._places(body, [body.start]) if look.behind else frozenset()
            for look, body in zip(self._looks, self._bodies, strict=True)
        )
        fresh = _State((), behind, 0)
        number(self._closed([_Thread(self._main.start, frozenset())], fresh, whole))
        moves: list[dict[int, int]] = []
        while len(moves) < len(todo):
            state = todo[len(moves)]
            row: dict[int, int] = {}
            for classes in self._alike(state):
                after = self._after(state, next(iter(classes)), whole)
                if after.threads:
                    row.update(dict.fromkeys(classes, number(after)))
            moves.append(row)
        accepting = [
            index for index, state in enumerate(todo) if any(t.place == MATCH for t in state.threads)
        ]
        automaton = CharacterAutomaton(self._alphabet, moves, accepting)
        return automaton.minimised() if len(automaton.moves) <= 1000 else automaton

    def _alike(self, state: _State) -> Iterable[frozenset[int]]:
        """Return the classes on which the state has a move, those together on which it has the same."""
        reads = {id(read): read for read in self._reads(state)}
        if not reads:
            return ()
        signatures: dict[int, list[int]] = {}
        for key, read in reads.items():
            for index in read.classes:
                signatures.setdefault(index, []).append(key)
        self._count(sum(map(len, signatures.values())))
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, keys in signatures.items():
            groups.setdefault(tuple(keys), []).append(index)
        return [frozenset(group) for group in groups.values()]

    def _reads(self, state: _State) -> Iterable[Read]:
        for thread in state.threads:
            places = [(self._main, thread.place)] if thread.place != MATCH else []
            places += [(self._bodies[look], place) for look, found in thread.pending for place in found]
            for program, place in places:
                instruction = program.code[place]
                assert isinstance(instruction, Read)
                yield instruction
        for body, found in zip(self._bodies, state.behind, strict=True):
            for place in found - {MATCH}:
                instruction = body.code[place]
                assert isinstance(instruction, Read)
                yield instruction

    def _after(self, state: _State, index: int, whole: bool) -> _State:
        """Return the state after a character of a class."""
        behind = tuple(
            self._places(body, [body.start, *self._step(body, found, index)]) if look.behind else found
            for look, body, found in zip(self._looks, self._bodies, state.behind, strict=True)
        )
        moved = []
        for thread in state.threads:
            if thread.place == MATCH:
                continue
            instruction = self._main.code[thread.place]
            assert isinstance(instruction, Read)
            if index in instruction.classes:
                pending = self._settle(thread.pending, index)
                if pending is not None:
                    moved.append(_Thread(instruction.target, pending))
        longest = max((look.width for look in self._looks if look.behind), default=0)
        return self._closed(moved, _State((), behind, min(state.seen + 1, longest)), whole)

    def _settle(self, pending: frozenset[_Pending], index: int) -> frozenset[_Pending] | None:
        """Return what look-aheads have yet to see after a character; None if one of them fails."""
        rest = set()
        for look, places in pending:
            body = self._bodies[look]
            found = self._places(body, self._step(body, places, index))
            failed = MATCH in found if self._looks[look].negative else not found
            if failed:
                return None
            if found and MATCH not in found:
                rest.add(_Pending(look, found))
        return frozenset(rest)

    def _step(self, program: Program, places: _Places, index: int) -> list[int]:
        targets = []
        for place in places - {MATCH}:
            instruction = program.code[place]
            assert isinstance(instruction, Read)
            if index in instruction.classes:
                targets.append(instruction.target)
        return targets

    def _places(self, program: Program, targets: Iterable[int]) -> _Places:
        """Return the places to which instructions lead that read nothing, in no order."""
        found: set[int] = set()
        seen: set[int] = set()
        todo = list(targets)
        while todo:
            place = todo.pop()
            if place in seen:
                continue
            seen.add(place)
            self._count(1)
            match program.code[place] if place != MATCH else None:
                case None | Read():
                    found.add(place)
                case Fork(following):
                    todo += following
                case Enter(target=target):
                    todo.append(target)
                case Again(target=target, leave=leave):
                    todo += (target, leave)
        return frozenset(found)

    def _closed(self, threads: Iterable[_Thread], context: _State, whole: bool) -> _State:
        """Return the state of these threads once each has come to where it reads, by preference."""
        found: dict[_Thread, None] = {}
        seen: set[tuple[int, frozenset[_Pending], frozenset[int]]] = set()
        todo = [(thread.place, thread.pending, frozenset[int]()) for thread in reversed(list(threads))]
        while todo:
            place, pending, inside = key = todo.pop()  # inside: loops whose repetition has read nothing
            if key in seen:
                continue
            seen.add(key)
            self._count(1)
            match self._main.code[place] if place != MATCH else None:
                case None:
                    if pending:
                        raise UnsupportedPatternError("a look-ahead in it sees beyond the end of its text")
                    found[_Thread(MATCH, pending)] = None
                    if not whole:
                        break
                case Read():
                    found[_Thread(place, pending)] = None
                case Fork(targets):
                    todo += ((target, pending, inside) for target in reversed(targets))
                case Enter(loop, target):
                    todo.append((target, pending, inside | {loop}))
                case Again(loop, target, leave):
                    todo.append((leave if loop in inside else target, pending, inside - {loop}))
                case Check(look, target):
                    after = self._look(look, pending, context)
                    if after is not None:
                        todo.append((target, after, inside))
        ordered = sorted(found) if whole else found
        return context._replace(threads=tuple(ordered))

    def _look(self, number: int, pending: frozenset[_Pending], context: _State) -> frozenset[_Pending] | None:
        """Return what is pending after a look-around; None if it fails."""
        look, body = self._looks[number], self._bodies[number]
        if look.behind:
            if context.seen < look.width:
                raise UnsupportedPatternError("a look-behind in it sees what is before its text")
            holds = MATCH in context.behind[number]
            return pending if holds is not look.negative else None
        places = self._places(body, [body.start])
        if MATCH in places:
            return None if look.negative else pending
        return pending | {_Pending(number, places)}

    def _count(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise UnsupportedPatternError("its automaton takes too long to build; bound its repetitions")
