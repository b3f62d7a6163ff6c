"""A grammar over terminals in the notation of the mask engine.

The engine cuts texts into words greedily, so this is the same language only where `greed.conflict` finds
nothing. What is ignored stands explicitly after each terminal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from grammars.character_automaton import CharacterAutomaton
from grammars.python_regex import Choice, Node, One, Repeat, Sequence
from grammars.terminal_grammar import TerminalGrammar

_LONGEST_REGEX = 20_000


def engine_text(grammar: TerminalGrammar, patterns: Mapping[int, Node]) -> str | None:
    """Return the grammar for the engine; None if a terminal is too large for a regular expression.

    Parameters
    ----------
    grammar:
        The grammar.
    patterns:
        Patterns of terminals which match, in full, exactly the words of the terminal. Others are written out
        from their automata.
    """
    lines = []
    skip = ""
    if grammar.ignored is not None:
        regex = automaton_regex(grammar.ignored)
        if regex is None:
            return None
        skip = " ignored"
        lines += ['ignored: "" | IGNORED', f"IGNORED: /{regex}/"]
    for number in grammar.used:
        regex = (
            pattern_regex(patterns[number])
            if number in patterns
            else automaton_regex(grammar.automata[number])
        )
        if regex is None:
            return None
        lines.append(f"T{number}: /{regex}/")
    names = {lhs: f"r{number}" for number, lhs in enumerate(dict.fromkeys(lhs for lhs, _ in grammar.rules))}
    options: defaultdict[str, list[str]] = defaultdict(list)
    for lhs, rhs in grammar.rules:
        symbols = (names[s] if isinstance(s, str) else f"T{s}{skip}" for s in rhs)
        options[names[lhs]].append(" ".join(symbols) or '""')
    lines += [f"{name}: {' | '.join(dict.fromkeys(found))}" for name, found in options.items()]
    return "\n".join([f"start:{skip} {names[grammar.start]}", *lines])


def pattern_regex(node: Node) -> str:
    """Return a pattern, free of look-arounds, in the common dialect of regular expressions."""
    match node:
        case One(characters):
            return characters.to_regex()
        case Sequence(parts):
            return "".join(map(pattern_regex, parts))
        case Choice(options):
            return f"(?:{'|'.join(map(pattern_regex, options))})"
        case Repeat(body, least, most):
            return f"(?:{pattern_regex(body)}){{{least},{'' if most is None else most}}}"
    raise AssertionError(f"a look-around has no regular expression: {node}")


def automaton_regex(automaton: CharacterAutomaton) -> str | None:
    """Return a regular expression of an automaton's words, by elimination of states; None if it is too long."""
    start, end = -1, -2
    paths: dict[int, dict[int, str]] = {start: {0: ""}}
    for state, after in enumerate(automaton.edges):
        paths[state] = {target: characters.to_regex() for target, characters in after.items()}
        if state in automaton.accepting:
            paths[state][end] = ""
    left = set(range(len(automaton.moves)))
    while left:
        sources = {state: [s for s in paths if s != state and state in paths[s]] for state in left}
        state = min(left, key=lambda s: (len(sources[s]) * len(paths[s]), s))
        left.remove(state)
        onward = paths.pop(state)
        loop = onward.pop(state, None)
        middle = "" if loop is None else f"(?:{loop})*"
        for source in sources[state]:
            before = paths[source].pop(state)
            for target, rest in onward.items():
                path = before + middle + rest
                old = paths[source].get(target)
                joined = path if old is None else f"(?:{old}|{path})"
                if len(joined) > _LONGEST_REGEX:
                    return None
                paths[source][target] = joined
    return paths[start].get(end)
