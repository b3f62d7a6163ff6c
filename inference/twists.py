"""Twists: the weights of potentials, asked at their boundaries while texts are written.

With ψ_t = exp f(the text up to the last boundary of the first t tokens), and ψ = exp f(x) at the end, a text's weights
are ψ_t / ψ_{t-1}; they multiply to exp f(x), whatever was asked on the way. ψ_0 = 1.

Reference: Whiteley and Lee (2014), *Twisted particle filters*; Zhao et al. (2024), *Probabilistic inference in language
models via twisted sequential Monte Carlo*.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from inference.text import TextState, Twist, decode_text
from inference.weights import Floats
from ppl.potentials import Potential

_KEPT = 1 << 16
"""Answers of a potential that are kept; all are forgotten when there are more."""


class Twists:
    """What a run has asked of its potentials: each distinct text once, all texts of a tick together."""

    def __init__(self) -> None:
        self._known: defaultdict[Potential, dict[str, float]] = defaultdict(dict)

    def weigh(self, states: Sequence[TextState]) -> Floats:
        """Return the (n,) log-weights that the last tokens of n states add, and note them in the states."""
        questions: defaultdict[Potential, list[tuple[int, int, str]]] = defaultdict(list)
        for i, state in enumerate(states):
            for k, potential in enumerate(state.plan.potentials):
                text = _asked(state, potential, state.twists[k].characters)
                if text is not None:
                    questions[potential].append((i, k, text))
        log_weights = np.zeros(len(states))
        for potential, asked in questions.items():
            values = self.ask(potential, [text for _, _, text in asked])
            for (i, k, text), value in zip(asked, values, strict=True):
                twists = list(states[i].twists)
                log_weights[i] += value - twists[k].value
                twists[k] = Twist(len(text), value)
                states[i].twists = tuple(twists)
        return log_weights

    def ask(self, potential: Potential, texts: Sequence[str]) -> list[float]:
        """Return the values of a potential, which is asked of the texts that are new."""
        known = self._known[potential]
        if len(known) > _KEPT:
            known.clear()
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, potential.ask(new), strict=True))
        return [known[text] for text in texts]


def _asked(state: TextState, potential: Potential, after: int) -> str | None:
    """Return the text that a potential is to be asked of now, None if nothing new."""
    if state.finished:
        return decode_text(state.content)
    if potential.at == "end":
        return None
    text = state.content.decode("utf-8", "ignore")  # a character may be half written
    boundary = potential.boundary(text, after)
    return None if boundary is None else text[:boundary]
