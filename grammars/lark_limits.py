"""What Lark would work on without end, found before it begins: it writes out alternatives, templates, terminals."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from grammars.grammar_text import GrammarText

_ALTERNATIVES = 20_000  # of a rule
_INSTANCES = 2_000  # of templates
_LITERALS = 20_000  # in a terminal
_REPEAT_IN_PARTS = 50  # Lark cuts larger repetitions into parts of few repetitions each


def check_terminals(text: GrammarText) -> None:
    """Refuse a grammar, not yet loaded, whose terminals grow too large as they refer to each other.

    Raises
    ------
    GrammarError
        With the place of the terminal.
    """
    parts: defaultdict[str, list[str]] = defaultdict(list)
    name = ""
    for token, defines in text.definitions():
        name = token.text if defines else name
        if not defines and not token.text.startswith("%"):
            parts[name].append(token.text)
    sizes: dict[str, int] = {}
    for terminal in [name for name in parts if name.isupper()]:
        stack = [terminal]
        while stack:
            found = parts.get(stack[-1], []) if stack[-1].isupper() else []
            missing = {part for part in found if part not in sizes}
            if missing and not missing & set(stack):  # Lark itself refuses a terminal that refers to itself
                stack += missing
            else:
                top = stack.pop()
                sizes[top] = min(sum(sizes.get(part, 1) for part in found) or 1, _LITERALS + 1)
        if sizes[terminal] > _LITERALS:
            raise text.error(
                f"the terminal `{terminal}` holds more than {_LITERALS} literals, counting those it refers to",
                text.find([terminal]),
                "a terminal is one regular expression; let rules refer to each other instead",
            )


def check_limits(text: GrammarText, grammar: Any) -> None:
    """Refuse a grammar, as Lark loaded but did not compile it, that multiplies out to too much.

    Raises
    ------
    GrammarError
        With the place of the rule or terminal.
    """
    for name, _, tree, _ in grammar.rule_defs:
        if tree is not None and _alternatives(tree) > _ALTERNATIVES:
            raise text.error(
                f"the rule `{name}` multiplies out to more than {_ALTERNATIVES} alternatives",
                text.find_imported(name),
                "give its options rules of their own: Lark writes out all combinations of those in one rule",
            )
    endless = _endless_template(grammar)
    if endless is not None:
        raise text.error(
            f"the template `{endless}` makes more than {_INSTANCES} rules",
            text.find_imported(endless),
            "a template that uses itself must pass on its own parameters, not ever larger ones",
        )


def _alternatives(tree: Any) -> int:
    """Return how many alternatives a part of a rule makes, at most; Lark writes them all out."""
    children = getattr(tree, "children", [])
    if tree.data == "expansions":
        total: int = sum(map(_alternatives, children))
        return min(total, _ALTERNATIVES + 1)
    if tree.data == "expansion":
        product = 1
        for child in children:
            product = min(product * _alternatives(child), _ALTERNATIVES + 1)
        return product
    if tree.data in ("maybe", "alias"):
        return _alternatives(children[0]) + int(tree.data == "maybe")
    if tree.data == "expr":
        inner = _alternatives(children[0])
        if children[1] != "~":
            return max(inner, 2)
        least, most = int(children[2]), int(children[-1])
        if most < _REPEAT_IN_PARTS:
            return min(sum(int(inner**n) for n in range(least, most + 1)), _ALTERNATIVES + 1)
        return int(min(inner**5 * 10, _ALTERNATIVES + 1))
    return 1


def _endless_template(grammar: Any) -> str | None:
    """Return a template of which there would be too many instances, or None."""
    templates = {name: (parameters, tree) for name, parameters, tree, _ in grammar.rule_defs if parameters}
    seen: set[str] = set()
    todo: list[tuple[Any, dict[str, str]]] = [
        (tree, {}) for _, parameters, tree, _ in grammar.rule_defs if tree is not None and not parameters
    ]

    def instance(usage: Any, values: dict[str, str]) -> str:
        """Return the name of what a usage makes, and see that it is made."""
        name, *arguments = (argument(child, values) for child in usage.children)
        full = f"{name}{{{','.join(arguments)}}}"
        if full not in seen and name in templates:
            seen.add(full)
            parameters, tree = templates[name]
            todo.append((tree, dict(zip(parameters, arguments, strict=False))))
        return full

    def argument(part: Any, values: dict[str, str]) -> str:
        while getattr(part, "data", None) == "value":
            part = part.children[0]
        if getattr(part, "data", None) == "template_usage":
            return instance(part, values)
        name = getattr(part, "name", None)
        return str(part) if name is None else values.get(name, str(name))

    while todo:
        tree, values = todo.pop()
        for usage in tree.find_data("template_usage"):
            full = instance(usage, values)
            if len(seen) > _INSTANCES:
                return full.partition("{")[0]
    return None
