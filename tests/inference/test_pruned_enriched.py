"""Pruning by roulette and enrichment by copies leave the law as it is, and save tokens where runs are hopeless."""

import math

import pytest
from hypothesis import given, reject, settings

from grammars import Regex
from inference import Enumerate, Importance, PrunedEnriched, TableLM, Until, infer
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing import TooManyPaths, check_together, check_unbiased, paths
from inference.testing.programs import MODELS, corrected, filled, forced, pooled, tossed, uneven
from inference.testing.strategies import programs
from ppl import Categorical, InvalidArgument, condition, factor, program, sample

LM = TableLM.random(["a", "b"], seed=2)

THRESHOLDS = [(0.5, 2.0), (1.0, 1.0), (0.0, 1.0), (1.0, math.inf)]


@pytest.mark.parametrize(("lower", "upper"), THRESHOLDS)
def test_it_is_unbiased(lower, upper):
    for model in (uneven(), tossed(), forced(), pooled()):
        check_unbiased(model, PrunedEnriched(2, lower, upper))


def test_it_is_unbiased_on_the_programs_of_the_suite():
    for model in (*MODELS, corrected(), filled()):
        check_unbiased(model, PrunedEnriched(2))
        check_unbiased(model, PrunedEnriched(1, 1.0, 1.0))


@settings(max_examples=20)
@given(programs(max_statements=3))
def test_it_is_unbiased_on_random_programs(random):
    try:
        check_unbiased(random.model(), PrunedEnriched(2, 0.9, 1.2), max_paths=300)
    except TooManyPaths:
        reject()


def test_pooled_and_among_others_it_is_what_it_is_alone():
    check_unbiased(tossed(), Until(PrunedEnriched(1), runs=2))
    check_together([*MODELS, *MODELS], PrunedEnriched(3, 0.9, 1.1))


def test_runs_are_pruned_and_split():
    def run(rng):
        with Runtime() as runtime:
            return PrunedEnriched(2, 1.0, 1.0).run(uneven(), rng, runtime, Progress())

    results = {len(result.particles): result for _, result in paths(run)}
    assert {0, 1, 2, 3} <= results.keys()
    assert results[0].log_evidence == -math.inf
    assert results[0].last_death == "the roulette left no run"


@program
def graded():
    """A text that is long, for runs of which two in three are worth next to nothing."""
    kind = sample(Categorical("xyz", [1, 1, 1]))
    factor(0.0 if kind == "x" else -9.0)
    return kind, sample(LM(kind, max_tokens=6) & Regex("[ab]{6}"))


def test_hopeless_runs_cost_no_tokens():
    exact = infer(graded(), Enumerate())
    pruned, plain = infer(graded(), PrunedEnriched(300, upper=math.inf)), infer(graded(), Importance(300))
    assert pruned.cost.tokens < 0.6 * plain.cost.tokens
    for posterior in (pruned, plain):
        assert posterior.log_evidence == pytest.approx(exact.log_evidence, abs=0.3)
    enriched = infer(graded(), PrunedEnriched(300))
    assert enriched.ess > 2 * plain.ess
    assert math.fsum(step.log_increment for step in pruned.steps) == pytest.approx(pruned.log_evidence)


def test_without_thresholds_it_is_importance_sampling():
    plain, same = (
        infer(uneven(), Importance(5), seed=1),
        infer(uneven(), PrunedEnriched(5, 0.0, math.inf), seed=1),
    )
    assert [(s.value, s.log_weight) for s in same.samples] == [(s.value, s.log_weight) for s in plain.samples]
    assert same.log_evidence == pytest.approx(plain.log_evidence, abs=1e-12)


def test_all_may_die():
    @program
    def never():
        sample(LM("x", max_tokens=1))
        condition(False)

    posterior = infer(never(), PrunedEnriched(3))
    assert posterior.log_evidence == -math.inf
    assert "condition" in posterior.no_survivors


def test_it_can_be_recorded():
    posterior = infer(uneven(), PrunedEnriched(12, 1.0, 1.0), seed=0, record=True)
    record = posterior.record
    assert len(record.dropped) > 0
    assert set(record.tips) <= set(record.leaves.tolist())
    assert '"aligned":false' in posterior.to_html().replace(" ", "")
    posterior.plot()


def test_refusals():
    for arguments, shown in (
        ({"particles": 0}, "particles=0"),
        ({"lower": 1.5}, "lower=1.5"),
        ({"lower": math.nan}, "lower=nan"),
        ({"upper": 0.5}, "upper=0.5"),
    ):
        with pytest.raises(InvalidArgument, match=shown):
            PrunedEnriched(**arguments)
