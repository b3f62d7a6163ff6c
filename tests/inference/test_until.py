"""Repeated runs: pooled without bias for a fixed number, stopped by the first limit, interrupted without loss."""

import math
from dataclasses import dataclass, field

import pytest

from grammars import Regex
from inference import (
    SMC,
    BeamSearch,
    BestFirst,
    BestOfN,
    Enumerate,
    Importance,
    LocallyConstrained,
    ParticleIndependentMH,
    Rejection,
    TableLM,
    TemperedSMC,
    Until,
    infer,
    infer_many,
)
from inference.methods import Method
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing import check_together, check_unbiased
from inference.weights import effective_sample_size, log_mean_exp
from ppl import Categorical, InvalidArgument, condition, factor, program, sample
from ppl.rng import Rng

LM = TableLM.random(["a", "b"], seed=6)


@program
def uneven():
    """Weights that differ between runs, and runs of different lengths, some of which die."""
    text = sample(LM("x", max_tokens=2) & Regex("a?b?"))
    factor(0.9 * len(text))
    condition(text != "b")
    return text


@program
def never():
    sample(LM("x", max_tokens=1))
    condition(False)


@pytest.mark.parametrize("method", [Importance(1), SMC(2, 1.0), Rejection(1, log_bound=1.8)], ids=repr)
def test_two_pooled_runs_are_unbiased(method):
    check_unbiased(uneven(), Until(method, runs=2))


def test_three_pooled_runs_are_unbiased():
    check_unbiased(uneven(), Until(Importance(1), runs=3))


@program
def coin():
    side = sample(Categorical(["heads", "tails"], [1, 3]))
    factor(1.0 if side == "heads" else 0.0)
    return side


@pytest.mark.parametrize("limit", [{"ess": 1.5}, {"tokens": 3}], ids=str)
def test_stopping_by_what_was_seen_is_not_unbiased(limit):
    with pytest.raises(AssertionError, match="expected"):
        check_unbiased(uneven(), Until(Importance(1), runs=3, **limit))


def test_it_is_consistent():
    exact = infer(uneven(), Enumerate())
    for method in (Until(SMC(4), tokens=20_000), Until(SMC(4), ess=3000, seconds=600)):
        pooled = infer(uneven(), method, seed=1)
        assert pooled.log_evidence == pytest.approx(exact.log_evidence, abs=0.05)
        assert pooled.probability("ab") == pytest.approx(exact.probability("ab"), abs=0.03)


def test_runs_are_independent_and_weighed_by_their_evidence():
    rng, results = Rng(5), []
    for _ in range(3):
        with Runtime() as runtime:
            results.append(SMC(2).run(uneven(), rng, runtime, Progress()))
    with Runtime() as runtime:
        pooled = Until(SMC(2), runs=3).run(uneven(), Rng(5), runtime, Progress())
    assert [p.value for p in pooled.particles] == [p.value for r in results for p in r.particles]
    assert len({r.log_evidence for r in results}) > 1
    weights = [w - math.log(2 * 3) for r in results for w in r.log_weights.tolist()]  # log Ẑ_r W_ri / R
    assert pooled.log_weights.tolist() == pytest.approx(weights, abs=1e-12)
    assert pooled.log_evidence == pytest.approx(log_mean_exp(pooled.log_weights) + math.log(6), abs=1e-12)
    assert pooled.drawn == sum(r.drawn for r in results)


def test_a_step_for_each_run():
    posterior = infer(uneven(), Until(SMC(3), runs=5), seed=2)
    assert [step.tick for step in posterior.steps] == [1, 2, 3, 4, 5]
    assert math.fsum(s.log_increment for s in posterior.steps) == pytest.approx(posterior.log_evidence)
    assert posterior.steps[-1].ess == pytest.approx(posterior.ess)
    assert posterior.cost.tokens > 15


def test_runs_without_evidence_count_and_leave_no_mark_in_the_sums():
    @program
    def rare():
        condition(sample(Categorical("ab", [1, 9])) == "a")
        sample(LM("x", max_tokens=1))

    posterior = infer(rare(), Until(Importance(1), runs=40), seed=0)
    assert posterior.steps[0].tick > 1
    assert len(posterior.steps) < 40
    assert math.fsum(s.log_increment for s in posterior.steps) == pytest.approx(posterior.log_evidence)
    assert 0 < len(posterior) < 15


def test_each_limit_ends_it():
    fewer = infer(uneven(), Until(Importance(2), tokens=30, runs=1000))
    assert 30 <= fewer.cost.tokens < 30 + 2 * 3
    enough = infer(uneven(), Until(Importance(2), ess=20, runs=1000))
    assert enough.ess >= 20
    assert effective_sample_size(infer(uneven(), Until(Importance(2), runs=4)).weights) < 20
    assert len(infer(never(), Until(Importance(2), ess=20, runs=3))) == 0

    @program
    def no_tokens():
        condition(False)

    dead = infer(no_tokens(), Until(Importance(2), tokens=5))  # it ends
    assert dead.log_evidence == -math.inf
    assert dead.no_survivors is not None

    ticks = iter(range(1000))
    with Runtime(clock=lambda: 10.0 * next(ticks)) as runtime:
        result = Until(Importance(1), seconds=25).run(uneven(), Rng(0), runtime, Progress())
    assert 1 <= len(result.particles) <= 3
    with Runtime() as runtime:
        result = Until(Importance(1), seconds=1e-9).run(uneven(), Rng(0), runtime, Progress())
    assert len(result.particles) == 1  # at least one run


@dataclass(frozen=True)
class Interrupted(Method):
    """A method that the user interrupts in its third run."""

    at: int
    count: list[int] = field(default_factory=list)

    def run(self, model, rng, runtime, progress):
        self.count.append(1)
        if len(self.count) == self.at:
            raise KeyboardInterrupt
        return SMC(2).run(model, rng, runtime, progress)


def test_an_interrupt_returns_what_has_ended():
    with pytest.warns(RuntimeWarning, match="the 2 runs"):
        posterior = infer(uneven(), Until(Interrupted(3), runs=100), seed=3)
    assert posterior.top() == infer(uneven(), Until(SMC(2), runs=2), seed=3).top()
    with pytest.raises(KeyboardInterrupt):
        infer(uneven(), Until(Interrupted(1), runs=100))
    with pytest.raises(KeyboardInterrupt):
        list(infer_many([uneven(), uneven()], Until(Interrupted(3), runs=100)))


def test_settings_of_one_run_do_not_reach_the_next():
    posterior = infer(uneven(), Until(LocallyConstrained(2), runs=3))
    assert len(set(posterior.weights.round(12).tolist())) == 1
    infer(uneven(), Until(TemperedSMC(2), runs=2))


def test_together():
    check_together([uneven(), never(), coin()], Until(SMC(3), runs=3))


def test_refusals():
    for method, limits, shown in [
        (Enumerate(), {"runs": 2}, "the same"),
        (BeamSearch(2), {"runs": 2}, "the same"),
        (BestFirst(), {"runs": 2}, "the same"),
        (BestOfN(2), {"runs": 2}, "no weight"),
        (ParticleIndependentMH(2, sweeps=2), {"runs": 2}, "no weight of its samples"),
        (Until(SMC(2), runs=2), {"runs": 2}, "one Until"),
        ("SMC", {"runs": 2}, "'SMC'"),
        (SMC(2), {}, "never end"),
        (SMC(2), {"ess": 10.0}, "never end"),
        (SMC(2), {"runs": 0}, "runs=0"),
        (SMC(2), {"seconds": -1.0}, r"seconds=-1\.0"),
    ]:
        with pytest.raises(InvalidArgument, match=shown):
            Until(method, **limits)
