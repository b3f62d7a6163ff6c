"""Twists: the weights of potentials, asked at their boundaries while texts are written.

With ψ_t = exp f(the text up to the last boundary of the first t tokens), and ψ = exp f(x) at the end, a text's weights
are ψ_t / ψ_{t-1}; they multiply to exp f(x), whatever was asked on the way. ψ_0 = 1. For a potential of each step f is
the sum of the rewards of the steps so far, so that a ratio is the reward of the last one.

Reference: Whiteley and Lee (2014), *Twisted particle filters*; Zhao et al. (2024), *Probabilistic inference in language
models via twisted sequential Monte Carlo*.
"""

from __future__ import annotations

import codecs
import math
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from inference.infilling import InfillState
from inference.lookahead import look_ahead
from inference.scoring import log_densities, log_prefixes
from inference.sessions import Sessions
from inference.text import TextState, Twist
from inference.weights import Floats
from ppl.potentials import FunctionPotential, Potential, ScorePotential
from ppl.rng import Rng

State = TextState | InfillState

_KEPT = 1 << 16
"""Answers of a potential that are kept; all are forgotten when there are more."""


_DOUBT = -10.0
"""Nats that a twist of 0 costs where the complete text may yet have weight: a twist must not rule it out."""


class Question(NamedTuple):
    """A text to ask a potential of, and whether it is complete, which only scores need to know."""

    text: str
    complete: bool


class Twists:
    """What a run has asked of its potentials: each distinct text once, all texts of a tick together.

    Attributes
    ----------
    asked:
        Texts that functions were asked of; what a score asks of language models counts there.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.asked = 0
        self._sessions = sessions
        self._rollouts = sessions.apart()  # the population's contexts stay in its cache
        self._known: defaultdict[Potential, dict[Question, float]] = defaultdict(dict)
        self._judged: defaultdict[Potential, dict[str, float]] = defaultdict(dict)

    def weigh(self, states: Sequence[State], rng: Rng) -> Floats:
        """Return the (n,) log-weights that the last tokens of n states add, and note them in the states."""
        questions: defaultdict[Potential, list[tuple[int, int, Question]]] = defaultdict(list)
        for i, state in enumerate(states):
            for k, potential in enumerate(state.plan.potentials):
                question = _asked(state, potential, state.twists[k].characters)
                if question is not None:
                    questions[potential].append((i, k, question))
        log_weights = np.zeros(len(states))
        for potential, asked in questions.items():
            values = self._answers(potential, [(states[i], question) for i, _, question in asked], rng)
            for (i, k, question), value in zip(asked, values, strict=True):
                twists = list(states[i].twists)
                if value == -np.inf and not _final(states[i], potential):
                    value = twists[k].value + _DOUBT
                log_weights[i] += value - twists[k].value
                twists[k] = Twist(len(question.text), value)
                states[i].twists = tuple(twists)
        return log_weights

    def close(self) -> None:
        """Give back the memory of lookaheads."""
        self._rollouts.__exit__(None, None, None)

    def _answers(
        self, potential: Potential, asked: Sequence[tuple[State, Question]], rng: Rng
    ) -> list[float]:
        """Return the values of a potential for states; before the end, those of lookaheads."""
        if not isinstance(potential, FunctionPotential) or not potential.lookahead:
            return self.ask(potential, [question for _, question in asked])
        ahead = [state for state, _ in asked if isinstance(state, TextState) and not state.finished]
        ask = partial(self._evaluate, potential)
        drawn = iter(look_ahead(potential, ahead, self._rollouts, rng, ask) if ahead else ())
        return [
            self.at_end(potential, question.text) if state.finished else next(drawn)
            for state, question in asked
        ]

    def ask(self, potential: Potential, questions: Sequence[Question]) -> list[float]:
        """Return the values of a potential, which is asked of the texts that are new."""
        known = self._known[potential]
        if len(known) > _KEPT:
            known.clear()
        new = [question for question in dict.fromkeys(questions) if question not in known]
        if new:
            known.update(zip(new, self._values(potential, new), strict=True))
        return [known[question] for question in questions]

    def at_end(self, potential: Potential, text: str) -> float:
        """Return the value of a potential at one complete text."""
        return self.ask(potential, [Question(text, complete=True)])[0]

    def _values(self, potential: Potential, questions: Sequence[Question]) -> list[float]:
        texts = [question.text for question in questions]
        if isinstance(potential, FunctionPotential):
            return self._evaluate(potential, texts)
        assert isinstance(potential, ScorePotential)
        target = potential.target
        ends = iter(log_densities([(target, q.text) for q in questions if q.complete], self._sessions, self))
        begun = iter(log_prefixes(target, [q.text for q in questions if not q.complete], self._sessions))
        return potential.weighed(texts, [next(ends if q.complete else begun) for q in questions])

    def _evaluate(self, potential: FunctionPotential, texts: Sequence[str]) -> list[float]:
        """Return the values of a function, which is asked of the steps that are new."""
        if not potential.each:
            self.asked += len(texts)
            return potential.ask(texts)
        judged, steps = self._judged[potential], [potential.steps(text) for text in texts]
        if len(judged) > _KEPT:
            judged.clear()
        new = list(dict.fromkeys(step for text in steps for step in text if step not in judged))
        self.asked += len(new)
        judged.update(zip(new, potential.judge(new), strict=True))
        return [math.fsum(judged[step] for step in text) for text in steps]


def _asked(state: State, potential: Potential, after: int) -> Question | None:
    """Return what a potential is to be asked now, None if nothing new."""
    if state.finished:
        return Question(state.shown, complete=True)
    if potential.at == "end":
        return None
    if isinstance(state, InfillState):
        return Question(state.guess(), complete=True)
    text = certain_text(state)
    boundary = potential.boundary(text, after)
    if boundary is None:
        return None
    return Question(text[:boundary], complete=isinstance(potential, FunctionPotential))


def _final(state: State, potential: Potential) -> bool:
    """Return whether a value of -inf holds for every text that may come of this one.

    So it is with functions of what is written, which say so; not with guesses of what will be, nor with scores, since
    longer texts have other canonical tokens.
    """
    return state.finished or (isinstance(state, TextState) and isinstance(potential, FunctionPotential))


def certain_text(state: TextState) -> str:
    """Return the characters that are part of the text, whatever follows.

    A character may be half written, and what looks like the beginning of a stop string may become one.
    """
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(state.content)
    stops = state.plan.text.stop
    begun = (n for n in range(max(map(len, stops), default=1) - 1, 0, -1) if _begins(text[-n:], n, stops))
    return text[: len(text) - next(begun, 0)]


def _begins(end: str, length: int, stops: Sequence[str]) -> bool:
    return len(end) == length and any(len(stop) > length and stop.startswith(end) for stop in stops)
