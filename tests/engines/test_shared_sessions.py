"""Many programs on a real engine: no context is evaluated twice, whatever the programs do between their ticks."""

from __future__ import annotations

import itertools
from unittest.mock import patch

import pytest

from inference import SMC, Posterior, infer, infer_many, program_seed
from inference.engines.transformers import TransformersEngine
from inference.engines.transformers_session import TransformersSession
from ppl import Model, factor, observe, potential, program, sample, score
from tests.engines.conftest import tiny

A, B = tiny("llama", seed=1), tiny("gemma3", seed=2)


@program
def plain(prompt: str, length: int) -> str:
    return sample(A(prompt, max_tokens=length))


@program
def in_between(prompt: str) -> str:
    """Asks for densities between its ticks, of another model and of the same."""
    text = sample(A(prompt, max_tokens=6) * score(B("b", max_tokens=12), at="token"))
    observe(A("c", max_tokens=12), "abc")
    return sample(A(text, max_tokens=3))


@program
def joint(prompt: str) -> str:
    """Asks two models in each tick, then one."""
    text = sample((A(prompt, max_tokens=5) * A("other", max_tokens=5)) ** 0.5)
    factor(0.1 * len(text))
    return text + sample(B("then", max_tokens=6))


@program
def ahead(prompt: str) -> str:
    return sample(A(prompt, max_tokens=4) * potential(lambda t: 0.1 * len(t), at="token", lookahead=2))


def _models():
    """Prompts of their own, so that no two programs share a row."""
    yield plain("a longer prompt than the others", 14)
    for i in itertools.count():
        yield plain(f"plain {i}", 3 + i % 7)
        yield in_between(f"between {i}")
        yield joint(f"joint {i}")


class Sessions:
    """The sessions that are opened while it is in place."""

    def __init__(self) -> None:
        self.opened: list[TransformersSession] = []

    def __call__(self, engine: TransformersEngine) -> TransformersSession:
        self.opened.append(TransformersSession(engine))
        return self.opened[-1]

    @property
    def steps(self) -> int:
        return sum(session.usage.tokens for session in self.opened)


def by_itself(model: Model[str], method: SMC, index: int) -> Posterior[str]:
    """Run one program as if it were the first."""
    for engine in (A, B):
        engine.prompts.clear()
    return infer(model, method, seed=program_seed(0, index), drafts=False)


def agree(together: list[Posterior[str]], alone: list[Posterior[str]]) -> None:
    """The same draws, with weights up to rounding."""
    for a, b in zip(together, alone, strict=True):
        assert [s.value for s in a.samples] == [s.value for s in b.samples]
        assert [s.log_weight for s in a.samples] == pytest.approx([s.log_weight for s in b.samples], abs=1e-3)


def test_each_context_is_evaluated_once():
    sessions, along = Sessions(), []
    original = TransformersSession.along

    def counted(session, requests):
        along.append(sum(len(continuation) for _, continuation in set(requests)))
        return original(session, requests)

    with (
        patch.object(TransformersEngine, "session", lambda engine: sessions(engine)),
        patch.object(TransformersSession, "along", counted),
    ):
        models = list(itertools.islice(_models(), 12))
        alone = [by_itself(model, SMC(4), i) for i, model in enumerate(models)]
        stepped, scored = sessions.steps, sum(along)
        sessions.opened, along[:] = [], []
        together = list(infer_many(models, SMC(4), concurrency=5))
    agree(together, alone)
    assert len(sessions.opened) == 2
    assert sessions.steps - sum(along) == stepped - scored
    for model, a, b in zip(models, together, alone, strict=True):
        if (
            model.program is not in_between
        ):  # whose texts scored twice cost twice, and count once among others
            assert a.cost.lm_tokens == b.cost.lm_tokens


def test_lookaheads_do_not_displace_the_population():
    sessions = Sessions()
    with patch.object(TransformersEngine, "session", lambda engine: sessions(engine)):
        models = [ahead("one"), ahead("two"), plain("three", 9)]
        alone = [by_itself(model, SMC(3), i) for i, model in enumerate(models)]
        stepped, sessions.opened = sessions.steps, []
        together = list(infer_many(models, SMC(3)))
    agree(together, alone)
    assert len(sessions.opened) == 2
    assert sessions.steps <= stepped
