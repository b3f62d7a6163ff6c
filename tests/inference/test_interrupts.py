"""Ctrl-C in the middle of a run: it goes on to the caller, and leaves nothing behind that a later run would notice."""

import pytest

from grammars import Regex
from inference import SMC, ResampleMoveSMC, SteeringSMC, TableLM, infer, infer_many, nested
from inference.engines.table import TableSession
from ppl import factor, program, sample

LM = TableLM.random(["a", "b"], seed=3)
ended = []


@program
def word(prompt: str) -> str:
    try:
        text = sample(LM(prompt, max_tokens=4) & Regex("[ab]{2,}"))
        factor(0.8 * text.count("a"))
        return text
    finally:
        ended.append(prompt)


@program
def around() -> str:
    return sample(nested(word("x"), SMC(2)))


@pytest.fixture
def interrupted(monkeypatch):
    """Interrupts the third question to a language model, once."""
    asked, closed = [], []
    next_tokens, close = TableSession.next_tokens, TableSession.close

    def counted(self, contexts, drafts=()):
        asked.append(len(contexts))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return next_tokens(self, contexts, drafts)

    monkeypatch.setattr(TableSession, "next_tokens", counted)
    monkeypatch.setattr(TableSession, "close", lambda self: closed.append(0) or close(self))
    return closed


@pytest.mark.parametrize("method", [SMC(4, 1.0), SteeringSMC(4), ResampleMoveSMC(4, every=1)], ids=repr)
@pytest.mark.parametrize("model", [word("p"), around()], ids=repr)
def test_a_run_after_an_interrupt_is_as_one_before(model, method, interrupted):
    ended.clear()
    with pytest.raises(KeyboardInterrupt):
        infer(model, method, seed=1)
    assert interrupted  # sessions were closed
    assert ended  # and the programs' own `finally` blocks run
    first, second = infer(model, method, seed=1), infer(model, method, seed=1)
    assert first.samples == second.samples
    assert first.log_evidence == second.log_evidence


def test_results_taken_before_an_interrupt_stay(interrupted):
    taken = []
    stream = infer_many([word("p"), word("q"), word("r")], SMC(2), concurrency=1)
    with pytest.raises(KeyboardInterrupt):
        taken.extend(stream)
    (posterior,) = infer_many([word("p")], SMC(2))
    assert posterior.log_evidence > -100
