"""Answering: the posterior of a prompt, and the choices that are drawn from it (`inference.drawing`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from inference.diagnostics import Step
from inference.drawing import draw, written
from inference.infer import posterior_of
from inference.particle import Particle
from inference.posterior import Posterior
from inference.progress import Progress
from inference.recording import Recording
from inference.runtime import Runtime
from inference.server.asked import Asked, Prompt
from inference.server.errors import RequestError
from inference.tasks import Task, TaskSessions
from inference.text import TextState
from inference.weights import Floats
from ppl.rng import Rng, drawing_seed

Ids = tuple[int, ...]


class Token(NamedTuple):
    """A token, None for the end of the text, and its log-probability in nats."""

    data: bytes | None
    logprob: float


class Position(NamedTuple):
    """A token of a choice, and the most probable ones at its place."""

    token: Token
    top: tuple[Token, ...]


@dataclass(frozen=True)
class Choice:
    """A sample that was chosen.

    Attributes
    ----------
    text:
        Its value.
    weight:
        The posterior probability of this text.
    tokens:
        How many tokens spell it, those of a stop string included and the end not.
    cut:
        Whether it was over because it had reached its length.
    call:
        Name and arguments of the function that it calls, if it does.
    positions:
        Its tokens with their log-probabilities, if these were asked for.
    """

    text: str
    weight: float
    tokens: int
    cut: bool
    call: tuple[str, str] | None
    positions: tuple[Position, ...] | None


@dataclass(frozen=True)
class Answer:
    """The posterior of a prompt, and the choices."""

    posterior: Posterior[str]
    choices: tuple[Choice, ...]


class Listener(Progress):
    """Who follows a run: told of its ticks and, of a single run, of the bytes that its tokens spell.

    Attributes
    ----------
    tick, live, drawn:
        As of the last tick.
    """

    def __init__(self, spelled: Callable[[bytes], None] | None = None) -> None:
        self.tick = self.live = self.drawn = 0
        self.spelled = spelled

    @override
    def update(self, step: Step, drawn: int) -> None:
        self.tick, self.live, self.drawn = step.tick, step.live, drawn


def answer(asked: Asked, prompt: Prompt, listener: Listener, task: Task[Answer]) -> Answer:
    """Return the answer to a prompt of a request, computed among other tasks.

    Raises
    ------
    RequestError
        With status 422, if the posterior has no samples to choose from.
    PPLError
        As `infer` does.
    """
    recording = Recording() if listener.spelled is None else _Spelling(listener.spelled)
    runtime = Runtime(None, TaskSessions(task), task.clock, drafts=False, recorder=recording)
    posterior = posterior_of(prompt.model, asked.method, prompt.seed, runtime, listener)
    if not posterior.samples:
        raise _no_survivors(posterior, prompt.field)
    chosen = draw(posterior.weights, asked.n, Rng(drawing_seed(prompt.seed)))
    paths = {i: written(posterior, i) for i in set(chosen)}
    tables: dict[Ids, Tensor] = {}
    if asked.logprobs is not None:
        distinct = list(dict.fromkeys(ids for ids, _ in paths.values()))
        requests = [(prompt.text.prompt, ids[:-1]) for ids in distinct]
        along = TaskSessions(task).along({asked.lm: requests})[asked.lm]
        tables = dict(zip(distinct, along, strict=True))
    shares = {text: share for text, _, share in posterior.ranked_groups()}
    choices = []
    for i in chosen:
        text, (ids, ended) = posterior.samples[i].value, paths[i]
        positions = None if asked.logprobs is None else _positions(asked, text, ids, tables[ids])
        cut = asked.cut and ended and len(ids) == prompt.text.max_tokens
        call = None if asked.tools is None else asked.tools.call(text)
        choices.append(Choice(text, shares[text], len(ids), cut, call, positions))
    return Answer(posterior, tuple(choices))


def _no_survivors(posterior: Posterior[str], field: str) -> RequestError:
    """Return the error that tells why no run survived; the place in the program is of no use to a client."""
    place, _, reason = (posterior.no_survivors or "").partition("): ")
    return RequestError(
        f"no run of {posterior.method} survived, seed {posterior.seed}: {reason or place}",
        hint="more particles, a higher max_tokens, a looser constraint, or a prompt that says what is wanted",
        status=422,
        param=field,
        code="no_survivors",
    )


def _positions(asked: Asked, text: str, ids: Ids, table: Tensor) -> tuple[Position, ...]:
    """Return the tokens of a text with their log-probabilities; tokens wholly behind it spell a stop string."""
    tokens, end = asked.lm.vocabulary.tokens, asked.lm.vocabulary.end
    k = min(asked.logprobs or 0, table.shape[-1])
    best = table.topk(k, dim=-1)
    top = zip(best.values.tolist(), best.indices.tolist(), strict=True)
    size, before = len(text.encode()), 0
    positions = []
    for i, (token, (logprobs, ranked)) in enumerate(zip(ids, top, strict=False)):
        if before >= size:
            break
        data = tokens[token] or b""
        before += len(data)
        alternatives = tuple(
            Token(None if v == end else tokens[v], p)
            for p, v in zip(logprobs, ranked, strict=True)
            if p > -np.inf
        )
        positions.append(Position(Token(data, float(table[i, token])), alternatives))
    return tuple(positions)


class _Spelling(Recording):
    """A recording of a single run, that passes on the bytes of each token when it is drawn."""

    def __init__(self, spelled: Callable[[bytes], None]) -> None:
        super().__init__()
        self._spelled = spelled

    @override
    def drawn(
        self,
        particles: Sequence[Particle],
        members: Sequence[int],
        tokens: NDArray[np.int64],
        log_weights: Floats,
    ) -> None:
        super().drawn(particles, members, tokens, log_weights)
        for member, token in zip(members, tokens.tolist(), strict=True):
            state = particles[member].text
            assert isinstance(state, TextState)
            self._spelled(state.vocabulary.tokens[token] or b"")
