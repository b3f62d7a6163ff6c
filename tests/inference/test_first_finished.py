"""The first of several runs to finish have the law of the shortest, and the others cost no more tokens."""

import math

import pytest

from inference import FirstFinished, TableLM, Until, infer
from inference.testing import check_together, check_unbiased, measure
from inference.testing.programs import MODELS, dead_ends, ragged, tossed, uneven
from inference.testing.search_checks import check_shortest
from ppl import InvalidArgument, condition, factor, program, sample

LM = TableLM.random(["a", "b"], seed=8)


@pytest.mark.parametrize(("k", "m"), [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2)])
def test_the_law_is_that_of_the_shortest(k, m):
    for model in (uneven(), dead_ends()) if k < 3 else (dead_ends(), tossed()):
        check_shortest(model, FirstFinished(k, m))


def test_if_all_are_kept_it_is_importance_sampling():
    for model in MODELS:
        check_unbiased(model, FirstFinished(1, 1))
    check_unbiased(uneven(), FirstFinished(2, 2))


def test_it_favours_short_runs_of_the_program():
    @program
    def text():
        return sample(LM("x", max_tokens=8))

    exact = measure(text())
    mean = sum(len(value) * mass for value, mass in exact.items())
    kept = infer(text(), Until(FirstFinished(8, 1), runs=300), seed=0)
    assert kept.expectation(len) < 0.3 * mean
    assert math.exp(kept.log_evidence) < 1.0


def test_the_others_cost_nothing_more():
    @program
    def text():
        return sample(LM("x", max_tokens=30))

    all_, first = infer(text(), FirstFinished(12, 12)), infer(text(), FirstFinished(12, 3))
    lengths = [len(value) + 1 for value, _, _ in first]
    assert lengths == sorted(lengths)
    assert len(first) == 3
    assert first.cost.tokens <= 12 * max(lengths)
    assert first.cost.tokens < 0.7 * all_.cost.tokens
    assert len(first.steps) == max(lengths)
    assert math.fsum(s.log_increment for s in first.steps) == pytest.approx(first.log_evidence)


def test_drafts_do_not_let_long_texts_overtake():
    lm = TableLM.random(["a", "b"], seed=8)
    lm.pass_cost = 16.0

    @program
    def text():
        return sample(lm("ababab", max_tokens=12))

    lengths = [len(value) for value, _, _ in infer(text(), FirstFinished(10, 10), seed=1)]
    assert lengths == sorted(lengths)


def test_runs_without_weight_are_not_counted():
    @program
    def not_empty():
        text = sample(LM("x", max_tokens=4))
        condition(text)
        factor(0.5)
        return text

    posterior = infer(not_empty(), FirstFinished(10, 2), seed=2)
    assert len(posterior) == 2
    assert all(posterior.samples[i].value for i in range(2))

    @program
    def never():
        sample(LM("x", max_tokens=2))
        condition(False)

    dead = infer(never(), FirstFinished(3, 2))
    assert dead.log_evidence == -math.inf
    assert "condition" in dead.no_survivors


def test_votes_that_are_tied_go_to_the_shortest():
    posterior = infer(ragged(), FirstFinished(6, 2), seed=3)
    vote = posterior.vote(lambda value: value[1])
    assert vote.winner == posterior.samples[0].value[1] or len(vote.tied) == 1


def test_among_others_it_is_what_it_is_alone():
    check_together([*MODELS, *MODELS], FirstFinished(3, 2))


def test_refusals():
    for arguments, shown in (
        ({"particles": 0}, "particles=0"),
        ({"keep": 0}, "keep=0"),
        ({"keep": 17}, "keep=17"),
    ):
        with pytest.raises(InvalidArgument, match=shown):
            FirstFinished(**arguments)
