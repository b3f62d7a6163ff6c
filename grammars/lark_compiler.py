"""From a grammar that Lark has loaded to the engines that read it."""

from __future__ import annotations

from functools import cached_property

from grammars.cfg import CFG
from grammars.character_automaton import CharacterAutomaton, repeated
from grammars.characters import Alphabet
from grammars.engine_text import engine_text
from grammars.errors import ContradictionError
from grammars.first_match import STATES, FirstMatch
from grammars.greed import conflict
from grammars.lark_loader import LoadedGrammar, Terminal
from grammars.lark_tree import ignored_pattern
from grammars.llguidance import check_grammar, compile_error, summary
from grammars.python_regex import Node, UnsupportedPatternError, looks, parse, sets
from grammars.terminal_grammar import WHOLE, TerminalGrammar

_HINT = "a terminal must be regular, and settled by its own text: no anchors, backreferences, looks beyond"


class CompiledLark:
    """A grammar with its terminals as automata.

    Parameters
    ----------
    loaded:
        The grammar as Lark compiles it.
    start:
        The rule to start with.

    Attributes
    ----------
    grammar:
        The grammar over terminals.

    Raises
    ------
    GrammarError
        If a terminal has no regular meaning.
    ContradictionError
        If no text matches.
    """

    def __init__(self, loaded: LoadedGrammar, start: str) -> None:
        self.loaded = loaded
        self._names = list(loaded.patterns)
        self._nodes = [self._parsed(name) for name in self._names]
        joined = [loaded.patterns[name][0] for name in loaded.ignored]
        self._run = parse(ignored_pattern(joined)) if joined else None
        trees = [*self._nodes, *([self._run] if self._run else [])]
        self._alphabet = Alphabet(characters for tree in trees for characters in sets(tree))
        automata = [self._automaton(name, node) for name, node in zip(self._names, self._nodes, strict=True)]
        numbers = {name: number for number, name in enumerate(self._names)}
        rules = [
            (lhs, tuple(numbers[s.name] if isinstance(s, Terminal) else s for s in rhs))
            for lhs, rhs in loaded.rules
        ]
        ignored = self._ignored([automata[numbers[name]] for name in loaded.ignored])
        try:
            self.grammar = TerminalGrammar.of(rules, start, self._names, automata, ignored)
        except ContradictionError:
            raise ContradictionError(
                f"no text matches the rule `{start}`", hint="its recursion never ends, or a class is empty"
            ) from None

    def _parsed(self, name: str) -> Node:
        try:
            return parse(self.loaded.patterns[name][0])
        except UnsupportedPatternError as error:
            raise self.loaded.terminal_error(name, str(error), _HINT) from None

    def _automaton(self, name: str, node: Node) -> CharacterAutomaton:
        try:
            automaton = FirstMatch(node, self._alphabet).automaton()
        except UnsupportedPatternError as error:
            raise self.loaded.terminal_error(name, str(error), _HINT) from None
        if 0 in automaton.accepting:
            raise self.loaded.terminal_error(
                name, "it matches the empty text, which Lark does not allow", "make it optional in the rules"
            )
        return automaton

    def _ignored(self, automata: list[CharacterAutomaton]) -> CharacterAutomaton | None:
        words = [automaton for automaton in automata if not automaton.is_empty]
        if not words:
            return None
        run = repeated(words, STATES)
        if run is None:
            raise self.loaded.terminal_error(
                self.loaded.ignored[0], "its repetition is too large an automaton", "simplify what is ignored"
            )
        return run

    def cfg(self) -> CFG:
        """Return the grammar over bytes."""
        return CFG(self.grammar.byte_rules(), WHOLE)

    @cached_property
    def ignored_competes(self) -> bool:
        """Whether ignored text may have to end before the longest match of its pattern does."""
        run, grammar = self.grammar.ignored, self.grammar
        if run is None or self._run is None:
            return False
        on = frozenset().union(*(run.lead_bytes[end] for end in run.accepting))
        if any(on & grammar.automata[number].lead_bytes[0] for number in grammar.used):
            return True
        try:
            return not FirstMatch(self._run, self._alphabet).automaton().equivalent(run)
        except UnsupportedPatternError:
            return True

    @property
    def engine_grammar(self) -> str | None:
        """The grammar for the mask engine, or None if that would not read the same language."""
        return self._engine[0]

    @property
    def unmasked_because(self) -> str | None:
        """Why there is no grammar for the mask engine."""
        return self._engine[1]

    @cached_property
    def _engine(self) -> tuple[str | None, str | None]:
        found = conflict(self.grammar)
        if found is not None:
            return None, f"{found}, so that a greedy lexer would read another language"
        text = engine_text(self.grammar, {n: self._nodes[n] for n in self.grammar.used if self._is_plain(n)})
        if text is None:
            return None, "a terminal is too large for the mask engine"
        message = compile_error(text)
        if message is not None:
            return None, f"the mask engine cannot compile it: {summary(message)[:200]}"
        check_grammar(text)
        return text, None

    def _is_plain(self, number: int) -> bool:
        """Return whether a terminal's pattern, matched in full, has the same words."""
        node = self._nodes[number]
        if any(True for _ in looks(node)):
            return False
        try:
            whole = FirstMatch(node, self._alphabet).automaton(whole=True)
        except UnsupportedPatternError:
            return False
        return whole.equivalent(self.grammar.automata[number])
