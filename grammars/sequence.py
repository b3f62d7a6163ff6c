"""Concatenation and repetition.

    L(a + b) = {xy : x ∈ L(a), y ∈ L(b)}
    L(c.repeat(m, n, s)) = {x₁ s₁ x₂ ... sₖ₋₁ xₖ : m ≤ k ≤ n, xᵢ ∈ L(c), sᵢ ∈ L(s)}

No part is greedy: a text is in if any way to cut it fits. How they are read tells `grammars.splits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from grammars.algebra import AnyText, Nothing, operand, require_constraint
from grammars.choice import Choice
from grammars.constraint import Constraint
from grammars.errors import GrammarError
from grammars.splits import Factored, Node


def literal(text: str) -> Choice:
    """Return the constraint of one text."""
    return Choice([text])


def literal_text(constraint: Constraint) -> str | None:
    """Return the text of a constraint made by `literal`, None for others."""
    if isinstance(constraint, Choice) and len(constraint.options) == 1:
        return constraint.options[0]
    return None


def factor(value: Constraint | str) -> Constraint:
    """Return a constraint; a str is the constraint of itself."""
    if isinstance(value, str):
        return literal(value)
    require_constraint(value)
    return value


def _shown(part: Constraint, precedence: int) -> str:
    text = literal_text(part)
    return operand(part, precedence) if text is None else repr(text)


@dataclass(frozen=True)
class Concat(Factored):
    """The texts that are a text of each of `parts`, one after the other.

    Build it with `+` or `Concat.of`, which keep it in normal form. `parse` gives the text.
    """

    parts: tuple[Constraint, ...]
    precedence: ClassVar[int] = 3

    def __str__(self) -> str:
        return " + ".join(_shown(part, self.precedence) for part in self.parts)

    @staticmethod
    def of(*parts: Constraint | str) -> Constraint:
        """Return the concatenation: nested ones flattened, adjacent literals joined, the empty text dropped.

        With `Nothing` among them it is `Nothing`.
        """
        flat: list[Constraint] = []
        for part in map(factor, parts):
            for inner in part.parts if isinstance(part, Concat) else (part,):
                before, text = literal_text(flat[-1]) if flat else None, literal_text(inner)
                if text == "" or (flat and inner == flat[-1] == AnyText()):
                    continue
                if before is not None and text is not None:
                    flat[-1] = literal(before + text)
                else:
                    flat.append(inner)
        if Nothing() in flat:
            return Nothing()
        if len(flat) == 1:
            return flat[0]
        return Concat(tuple(flat)) if flat else literal("")

    @property
    @override
    def factors(self) -> tuple[Constraint, ...]:
        return self.parts

    @property
    @override
    def first(self) -> frozenset[Node]:
        return frozenset({0})

    @property
    @override
    def has_empty(self) -> bool:
        return False

    @override
    def factor_of(self, node: Node) -> int:
        return node

    @override
    def after(self, node: Node) -> tuple[Node, ...]:
        return (node + 1,) if node + 1 < len(self.parts) else ()

    @override
    def may_end(self, node: Node) -> bool:
        return node == len(self.parts) - 1

    @override
    def followers(self, index: int) -> tuple[int, ...]:
        return self.after(index)


@dataclass(frozen=True)
class Repeat(Factored):
    """The texts that are `min` to `max` texts of `item`, with a text of `separator` between two.

    Build it with `Constraint.repeat` or `Repeat.of`. `max` is None where there is no upper bound, `separator` None
    where nothing stands between. `parse` gives the text.

    A node is 2k in the k-th item and 2k + 1 in the separator after it, k = 1, 2, ... Items beyond the first `min`
    are alike where there is no upper bound, so that they are not counted then.
    """

    item: Constraint
    min: int
    max: int | None
    separator: Constraint | None

    def __str__(self) -> str:
        options = [str(self.min)] if self.max is None else [str(self.min), str(self.max)]
        if self.separator is not None:
            options.append(f"separator={_shown(self.separator, 0)}")
        return f"{operand(self.item, 4)}.repeat({', '.join(options)})"

    @staticmethod
    def of(
        item: Constraint | str,
        min: int = 0,
        max: int | None = None,
        separator: str | Constraint | None = None,
    ) -> Constraint:
        """Return the repetition, simplified where it is empty, or one item, or any text.

        Raises
        ------
        GrammarError
            If the numbers are negative or in the wrong order.
        """
        item, between = factor(item), None if separator is None else factor(separator)
        for bound in (min, max):
            if bound is not None and (type(bound) is not int or bound < 0):
                raise GrammarError(
                    f"cannot repeat {bound!r} times",
                    hint="give whole numbers from 0, max=None for any number",
                )
        if max is not None and max < min:
            raise GrammarError(f"cannot repeat at least {min} and at most {max} times", hint="swap the two")
        if isinstance(between, Nothing):
            if min > 1:
                return Nothing()
            max = 1 if max is None or max > 1 else max
        if max in (0, 1) or (between is not None and literal_text(between) == ""):
            between = None
        if isinstance(item, Nothing):
            return Nothing() if min else literal("")
        if max == 0 or (between is None and literal_text(item) == ""):
            return literal("")
        if min == max == 1 or (between is None and isinstance(item, AnyText)):
            return item
        return Repeat(item, min, max, between)

    @property
    @override
    def factors(self) -> tuple[Constraint, ...]:
        return (self.item,) if self.separator is None else (self.item, self.separator)

    @property
    @override
    def first(self) -> frozenset[Node]:
        return frozenset() if self.max == 0 else frozenset({2})

    @property
    @override
    def has_empty(self) -> bool:
        return self.min == 0

    @override
    def factor_of(self, node: Node) -> int:
        return node % 2

    @override
    def after(self, node: Node) -> tuple[Node, ...]:
        if node % 2:
            return (self._item(node // 2 + 1),)
        if self.max is not None and node // 2 >= self.max:
            return ()
        return (self._item(node // 2 + 1),) if self.separator is None else (node + 1,)

    @override
    def may_end(self, node: Node) -> bool:
        return node % 2 == 0 and node // 2 >= self.min

    @override
    def followers(self, index: int) -> tuple[int, ...]:
        return (0,) if self.separator is None or index == 1 else (1,)

    @override
    def without_loss(self, nodes: frozenset[Node]) -> frozenset[Node]:
        enough = [node for node in nodes if node // 2 >= self.min]
        # whatever may follow many items may follow fewer, as long as they are enough
        return nodes.difference(enough) | {min(enough)} if enough else nodes

    def _item(self, count: int) -> Node:
        return 2 * (count if self.max is not None else min(count, max(self.min, 1)))
