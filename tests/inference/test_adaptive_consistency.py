"""Runs are read in order until one answer leads for sure, whatever the batch; what is left is dropped."""

import math

import pytest

from inference import AdaptiveConsistency, Importance, TableLM, infer
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing import check_together, check_unbiased, expectation, paths
from inference.testing.programs import MODELS, uneven
from inference.voting import majority_probability
from inference.weights import effective_sample_size
from ppl import Categorical, InvalidArgument, ProgramError, condition, factor, program, sample

LM = TableLM.random(["a", "b"], seed=8)


def binomial_tail(a, b):
    """Return 1 - I_{1/2}(a + 1, b + 1) for whole numbers: P(Binomial(a + b + 1, 1/2) <= a)."""
    n = a + b + 1
    return sum(math.comb(n, k) for k in range(a + 1)) / 2**n


def test_the_probability_of_the_majority():
    for a in (0, 1, 2, 7, 40, 300):
        for b in range(0, a + 1, max(a // 3, 1)):
            assert majority_probability(a, b) == pytest.approx(binomial_tail(a, b), abs=1e-10)
    assert majority_probability(2.5, 2.5) == pytest.approx(0.5, abs=1e-8)
    assert majority_probability(3.0) < majority_probability(3.5) < majority_probability(4.0)


@program
def coin(bias=0.0):
    side = sample(Categorical(["heads", "tails"], [3, 1]))
    factor(bias if side == "heads" else 0.0)
    return side, sample(LM(side, max_tokens=1))


def side(value):
    return value[0]


def run_by(method, model):
    def run(rng):
        with Runtime() as runtime:
            return method.run(model, rng, runtime, Progress())

    return run


def law_of_reading(model, confidence, most):
    """Return the law of the sequences of values that are read, from the law of a single run and the rule itself."""
    single = {}
    for probability, result in paths(run_by(Importance(1), model)):
        key = (result.particles[0].value, result.log_weights[0])
        single[key] = single.get(key, 0.0) + probability
    law, open_ = {}, {(): 1.0}
    while open_:
        runs, probability = open_.popitem()
        weights = {"heads": 0.0, "tails": 0.0}
        for value, log_weight in runs:
            weights[side(value)] += math.exp(log_weight)
        ess = effective_sample_size([w for _, w in runs]) if runs else 0.0
        total = sum(weights.values())
        votes = sorted((ess * w / total for w in weights.values()), reverse=True) if runs else [0.0, 0.0]
        if len(runs) == most or (runs and majority_probability(*votes) >= confidence):
            key = tuple(value for value, _ in runs)
            law[key] = law.get(key, 0.0) + probability
        else:
            for run, p in single.items():
                open_[(*runs, run)] = probability * p
    return law


@pytest.mark.parametrize("bias", [0.0, 0.8])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_law_of_what_is_read_is_that_of_one_after_the_other(batch, bias):
    confidence, most = 0.85, 3
    method = AdaptiveConsistency(most, confidence, batch, side)

    def read(rng):
        return {tuple(p.value for p in run_by(method, coin(bias))(rng).particles): 1.0}

    law = law_of_reading(coin(bias), confidence, most)
    assert {len(runs) for runs in law} == {2, 3}
    assert expectation(read) == pytest.approx(law, abs=1e-10)


def test_if_it_is_never_sure_it_is_importance_sampling():
    for batch in (1, 2):
        check_unbiased(uneven(), AdaptiveConsistency(2, confidence=1.0, batch=batch))
    for model in MODELS:
        check_unbiased(model, AdaptiveConsistency(1))


def test_easy_questions_cost_fewer_runs():
    @program
    def question(sure):
        return sample(Categorical(["a", "b"], [sure, 1.0 - sure])), sample(LM("x", max_tokens=3))

    easy, hard = (
        infer(question(p), AdaptiveConsistency(40, project=side, batch=4), seed=0) for p in (1.0, 0.5)
    )
    assert len(easy) == 4  # Beta(5, 1): 1 - 1/32 > 0.95
    assert len(hard) > len(easy)
    assert hard.cost.tokens > easy.cost.tokens
    assert easy.vote(side).winner == "a"
    assert math.fsum(s.log_increment for s in hard.steps) == pytest.approx(hard.log_evidence)
    assert 4 <= easy.cost.runs <= 4


def test_what_is_still_being_written_is_dropped():
    @program
    def slow():
        """The fifth run and those after it need not be written to the end."""
        return "yes", sample(LM("x", max_tokens=30))

    stopped = infer(slow(), AdaptiveConsistency(16, project=side, batch=16), seed=4)
    full = infer(slow(), AdaptiveConsistency(16, confidence=1.0, project=side, batch=16), seed=4)
    assert len(stopped) == 4
    assert stopped.cost.tokens < full.cost.tokens
    assert [s.value for s in stopped.samples] == [s.value for s in full.samples][:4]


def test_runs_without_weight_or_answer_do_not_vote():
    @program
    def often_dead():
        kind = sample(Categorical("xyz", [1, 1, 1]))
        condition(kind != "x")
        return kind

    posterior = infer(often_dead(), AdaptiveConsistency(12, project=lambda kind: None), seed=0)
    assert posterior.vote(lambda kind: None).winner is None
    assert posterior.cost.runs == len(posterior) < 12

    @program
    def never():
        sample(LM("x", max_tokens=1))
        condition(False)

    assert infer(never(), AdaptiveConsistency(3, batch=2)).log_evidence == -math.inf


def test_among_others_it_is_what_it_is_alone():
    check_together([*MODELS, *MODELS], AdaptiveConsistency(6, batch=3))


def test_refusals():
    for arguments, shown in (
        ({"particles": 0}, "particles=0"),
        ({"batch": 0}, "batch=0"),
        ({"confidence": 0.5}, "confidence=0.5"),
        ({"confidence": 1.1}, "confidence=1.1"),
        ({"project": 3}, "project=3"),
    ):
        with pytest.raises(InvalidArgument, match=shown):
            AdaptiveConsistency(**arguments)
    with pytest.raises(ProgramError, match="raised KeyError"):
        infer(coin(), AdaptiveConsistency(project=lambda value: {}[value]))
