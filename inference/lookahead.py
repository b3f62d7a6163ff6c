"""Lookahead: twists from short drawn continuations.

At a boundary the twist of a potential f with lookahead is (1/R) Σ_r exp f(x_{1:t} y_r), y_r drawn from the language
model, at most k tokens. The value drawn is noted with the particle and divided out at the next boundary, so that
what it was does not matter to the target, as long as it is not 0: it is at least exp(-10).

Reference: Lin, Chen and Liu (2013), *Lookahead strategies for sequential Monte Carlo*.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from inference.sessions import Sessions
from inference.text import TextState, decode_text
from inference.weights import log_mean_exp
from ppl.lm import LM
from ppl.potentials import FunctionPotential
from ppl.rng import Rng

_LEAST = -10.0


def look_ahead(
    potential: FunctionPotential,
    states: Sequence[TextState],
    sessions: Sessions,
    rng: Rng,
    ask: Callable[[Sequence[str]], list[float]],
) -> list[float]:
    """Return the drawn log-twist of a potential at each of n states, in nats; `ask` gives its values at texts."""
    texts = _continuations(states, potential, sessions, rng)
    distinct = list(dict.fromkeys(texts))
    values = dict(zip(distinct, ask(distinct), strict=True))
    scores = np.array([values[text] for text in texts]).reshape(len(states), potential.rollouts)
    return [max(log_mean_exp(row), _LEAST) for row in scores]


def _continuations(
    states: Sequence[TextState], potential: FunctionPotential, sessions: Sessions, rng: Rng
) -> list[str]:
    """Return `rollouts` texts for each state: the text so far with a continuation, up to a stop string."""
    owners = [state for state in states for _ in range(potential.rollouts)]
    contexts, data = [state.contexts[0] for state in owners], [state.data for state in owners]
    by_lm: defaultdict[LM, list[int]] = defaultdict(list)
    for r, state in enumerate(owners):
        by_lm[state.lms[0]].append(r)
    for lm, going in by_lm.items():
        for _ in range(potential.lookahead):
            following = sessions[lm].next_tokens([contexts[r] for r in going])
            drawn = dict(
                zip(going, rng.categorical(following.logprobs, following.rows).tolist(), strict=True)
            )
            for r, token in drawn.items():
                contexts[r] = contexts[r].extend(token)
                data[r] += lm.vocabulary.tokens[token] or b""
            going = [r for r, token in drawn.items() if token != lm.vocabulary.end]
            if not going:
                break
    return [_cut(decode_text(text), state.plan.text.stop) for text, state in zip(data, owners, strict=True)]


def _cut(text: str, stops: Sequence[str]) -> str:
    return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]
