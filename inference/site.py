"""Site: what a run keeps for one text site: its matchers, the verdicts of its checks, and what they cost.

A constraint is a conjunction of parts (`inference.parts`). Each is enforced by its mask or by its checks. That changes
where the measured cost says so, between ticks and on past costs only, so that every kernel stays properly weighted.

A verdict is a function of the text and the token, so it is shared between all particles that have written the same.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from grammars.algebra import And
from grammars.constraint import Matcher
from inference.estimators import AWRS
from inference.guesses import Guesses
from inference.parts import Conjunction, Part, PartMatcher
from inference.weights import Floats
from ppl.compiler.plan import InfillPlan, TextPlan

if TYPE_CHECKING:
    from inference.text import TextState

_WORTHWHILE = 0.05
"""Seconds that must have been spent on a part before it may change: short runs do not depend on times."""
_CACHED = 1 << 17
"""Verdicts kept; all are forgotten when there are more."""


@dataclass
class Tally:
    """What the moves at a site did."""

    tokens: int = 0
    """Tokens drawn, ends included."""
    draws: int = 0
    """Candidates drawn by rejection sampling, accepted or not."""
    accepted: int = 0
    """Candidates that were accepted."""
    verdicts: int = 0
    """Distinct pairs of text and token that were checked; the other candidates' verdicts were known."""
    variance: float = 0.0
    """Sum over the ticks of the relative variance of the incremental weights, Var(w) / E[w]²."""
    ticks: int = 0
    """Ticks in `variance`."""
    mass: float = 0.0
    """Sum of the allowed mass Z over the masked moves under one expert."""
    masses: int = 0
    """Moves in `mass`."""
    kernels: Counter[str] = field(default_factory=Counter)
    """Moves by each kernel."""
    ended: int = 0
    """Texts that came to their ends."""
    forced: int = 0
    """Those of them that ended because they had `max_tokens` tokens."""
    note: str = ""
    """What the method did there in a way of its own."""

    @property
    def mean_mass(self) -> float:
        """Mean allowed mass of the masked moves, 1 before the first."""
        return self.mass / self.masses if self.masses else 1.0

    def weigh(self, log_weights: Floats) -> None:
        """Take note of the incremental weights of one tick's moves, of which some mass is left."""
        top = float(np.max(log_weights, initial=-np.inf))
        if len(log_weights) > 1 and top > -np.inf:
            weights = np.exp(log_weights - top)
            self.variance += float(np.var(weights) / np.mean(weights) ** 2)
            self.ticks += 1


class Site:
    """How one constraint is enforced in one run, at one place in the program.

    Parameters
    ----------
    plan:
        What the compiler made of the site. Of a masked-diffusion site nothing is enforced but at its end.
    awrs:
        How rejection sampling spends its checks.
    clock:
        Seconds that the run has taken, which the costs of masks and checks are compared with.
    """

    def __init__(
        self, plan: TextPlan | InfillPlan, awrs: AWRS, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.awrs = awrs
        self._clock = clock
        self.tally = Tally()
        self.guesses = Guesses()
        self.shown = str(plan)
        self.reason = f"{plan.kernel}: {plan.reason}" if isinstance(plan, TextPlan) else plan.kernel
        constraint = plan.constraint if isinstance(plan, TextPlan) else None
        flat = constraint.parts if isinstance(constraint, And) else (constraint,)
        pieces = [piece for piece in flat if piece is not None]
        self._starts = [
            piece.matcher(plan.text.lm.vocabulary) for piece in pieces if isinstance(plan, TextPlan)
        ]
        self.parts = [Part.begin(piece, start) for piece, start in zip(pieces, self._starts, strict=True)]
        self._order = list(range(len(pieces)))
        self._verdicts: dict[tuple[bytes, bool], bool] = {}
        self._since = self._clock()
        self.rejected: dict[int, list[int]] | None = None
        """By the id of a text state: candidates for its next token that were refused; None: nobody asks."""

    def matcher(self) -> Matcher | None:
        """Return the matcher of the whole constraint before the first byte."""
        matchers = [PartMatcher(m.fork(), p) for m, p in zip(self._starts, self.parts, strict=True)]
        if not matchers:
            return None
        return matchers[0] if len(matchers) == 1 else Conjunction(tuple(matchers), self._order)

    def verdicts(self, moves: Sequence[tuple[TextState, int]]) -> list[bool]:
        """Return whether each token may come next in its text; each distinct question is asked once."""
        if len(self._verdicts) > _CACHED:
            self._verdicts.clear()
        keys = [_question(state, token) for state, token in moves]
        new: dict[tuple[bytes, bool], tuple[TextState, int]] = {}
        for key, move in zip(keys, moves, strict=True):
            if key not in self._verdicts:
                new.setdefault(key, move)
        for state, token in new.values():
            state.prefetch(token)
        for key, (state, token) in new.items():
            self._verdicts[key] = state.passes(token)
        self.tally.verdicts += len(new)
        self.tally.draws += len(moves)
        verdicts = [self._verdicts[key] for key in keys]
        if self.rejected is not None:
            for (state, token), verdict in zip(moves, verdicts, strict=True):
                if not verdict:
                    self.rejected.setdefault(id(state), []).append(token)
        self.tally.accepted += sum(verdicts)
        return verdicts

    def adapt(self) -> None:
        """Choose between mask and check for each part, and the order of checks, by what they have cost.

        A mask gives way only where masks take a quarter of the time and checks would cost a third of them; with the
        mean allowed mass Z, a token needs about 1 + 1 / Z checks. Likewise back.
        """
        self._order.sort(key=lambda k: self.parts[k].cost_of_rejecting)
        elapsed = self._clock() - self._since
        for part in self.parts:
            if not part.switches or part.spent < max(_WORTHWHILE, 0.25 * elapsed):
                continue
            if part.how == "mask":
                by_check = part.mean_check * (1.0 + 1.0 / max(self.tally.mean_mass, 1e-9))
                cheaper = part.checks > 0 and 3.0 * by_check < part.mean_mask
            else:
                cheaper = 3.0 * part.mean_mask * self.tally.tokens < part.spent
            if cheaper:
                part.how = "check" if part.how == "mask" else "mask"
                part.spent, self._since = 0.0, self._clock()


def _question(state: TextState, token: int) -> tuple[bytes, bool]:
    """Return what a verdict depends on: the text with the token, and whether the token is the end."""
    ends = token == state.vocabulary.end
    return (state.data, True) if ends else (state.data + (state.vocabulary.tokens[token] or b""), False)
