"""Trie of upper bounds on the valid mass: what past runs of a program have shown about all later ones.

A run of a program is a sequence of choices, tokens and values of finite sites; a node s is a beginning of runs. With
q(c | s) the law that the next choice c is proposed from, and U(s) an upper bound on the mean of w / B over the runs
that go on from s, w the weight of a complete run and B a bound on all weights,

    U(s) = Σ_c q(c | s) U(s c).

A node that nobody has been at has the bound of its parent before anything was learned there, its *level*: what is
known of the weights on the way to it. A complete run has U = w / B; what is dead has U = 0. So a bound is lowered
only where a run has been, and by exactly what it found: the mass of beginnings that fail, or that weigh less than
they could.

Reference: Parys et al. (2025), *Constrained adaptive rejection sampling*.
"""

from __future__ import annotations

import math

_LEAST = 1e-12
"""The least share of choices that nobody has made: shares are rounded, and only what is known to be dead has none."""


class Node:
    """A beginning of runs.

    Attributes
    ----------
    parent, share:
        The node before the last choice, and q of that choice there.
    children:
        By the choice that leads to them: the nodes that runs have been at.
    log_bound:
        log U(s), at most 0.
    level:
        log of the bound that children without a node have.
    choices:
        Choices with mass at this node; None where no run has gone on from it.
    """

    __slots__ = ("children", "choices", "level", "log_bound", "parent", "share")

    def __init__(self, log_bound: float = 0.0, parent: Node | None = None, share: float = 1.0) -> None:
        self.parent, self.share = parent, share
        self.children: dict[int, Node] = {}
        self.log_bound = self.level = log_bound
        self.choices: int | None = None

    def child(self, choice: int, share: float) -> Node:
        """Return the node after a choice that is proposed with probability `share`."""
        if choice not in self.children:
            self.children[choice] = Node(self.level, self, share)
        return self.children[choice]

    def learn(self, log_bound: float) -> None:
        """Lower the bound to `log_bound`, and those of all nodes before accordingly; a bound never rises."""
        node: Node | None = self
        while node is not None and log_bound < node.log_bound:
            node.log_bound = log_bound
            node = node.parent
            log_bound = -math.inf if node is None else node.sum_of_children()

    def sum_of_children(self) -> float:
        """Return log Σ_c q(c) U(s c); exactly -inf where every choice is known to be dead."""
        known = self.children.values()
        rest = 0.0
        if len(known) != self.choices:
            rest = max(1.0 - math.fsum(child.share for child in known), _LEAST)
        total = rest + math.fsum(child.share * math.exp(child.log_bound - self.level) for child in known)
        return self.level + math.log(total) if total > 0.0 else -math.inf
