"""Ctrl-C in the middle of a run: it goes on to the caller, and leaves nothing behind that a later run would notice."""

import pytest

from grammars import Regex
from inference import SMC, ResampleMoveSMC, SteeringSMC, TableLM, infer, infer_many, nested
from inference.engines.table_session import TableSession
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


def interrupt(monkeypatch, at):
    """Interrupt the question `at` to a language model, once; return a list that tells of sessions closed."""
    asked, closed = [], []
    next_tokens, close = TableSession.next_tokens, TableSession.close

    def counted(self, contexts, drafts=()):
        asked.append(len(contexts))
        if len(asked) == at:
            raise KeyboardInterrupt
        return next_tokens(self, contexts, drafts)

    monkeypatch.setattr(TableSession, "next_tokens", counted)
    monkeypatch.setattr(TableSession, "close", lambda self: closed.append(0) or close(self))
    return closed


def values(posterior):
    return [(sample.value, sample.log_weight) for sample in posterior.samples], posterior.log_evidence


@pytest.mark.parametrize("method", [SMC(4, 1.0), SteeringSMC(4), ResampleMoveSMC(4, every=1)], ids=repr)
@pytest.mark.parametrize("model", [word("p"), around()], ids=repr)
def test_a_run_after_an_interrupt_is_as_one_before(model, method, monkeypatch):
    before = infer(model, method, seed=1)
    ended.clear()
    closed = interrupt(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        infer(model, method, seed=1)
    assert closed
    assert ended  # the program's own `finally` blocks were executed
    assert values(infer(model, method, seed=1)) == values(before)


def test_results_taken_before_an_interrupt_stay(monkeypatch):
    models = [word("p"), word("q"), word("r")]
    expected = [values(posterior) for posterior in infer_many(models, SMC(2), concurrency=1)]
    closed, taken = interrupt(monkeypatch, 8), []
    with pytest.raises(KeyboardInterrupt):
        taken.extend(infer_many(models, SMC(2), concurrency=1))
    assert 1 <= len(taken) < 3
    assert [values(posterior) for posterior in taken] == expected[: len(taken)]
    assert closed
