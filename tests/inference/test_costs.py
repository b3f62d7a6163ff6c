"""What runs cost: samples, tokens, verifier calls, and what each solved task takes."""

import math

import numpy as np
import pytest

from inference import (
    SMC,
    AdaptiveConsistency,
    AdaptiveRejection,
    BeamSearch,
    BestFirst,
    BestOfN,
    Cost,
    Enumerate,
    FirstFinished,
    Importance,
    LocallyConstrained,
    ParticleGibbs,
    ParticleIndependentMH,
    Posterior,
    PrunedEnriched,
    Rejection,
    ResampleMoveSMC,
    SingleSiteMH,
    SteeringSMC,
    SuffixMCMC,
    TableLM,
    TemperedSMC,
    Until,
    cost_per_solved,
    infer,
    methods,
)
from ppl import InvalidArgument, condition, potential, program, sample

LM = TableLM.random(["a", "b"], seed=8)
FULL = TableLM(["a", "b"], lambda prompt, generated: [0.5, 0.5, 0.0])


@program
def rated(at="token", **options):
    return sample(LM("x", max_tokens=2) * potential(lambda text: 0.1 * len(text), at, **options))


@program
def plain():
    return sample(LM("x", max_tokens=2))


def test_runs_that_end_are_counted():
    assert infer(plain(), Importance(7)).cost.runs == 7
    assert infer(plain(), Enumerate()).cost.runs == 7
    assert infer(plain(), BestOfN(5)).cost.runs == 5
    assert infer(plain(), Until(Importance(3), runs=4)).cost.runs == 12
    assert infer(plain(), Rejection(9, batch=2)).cost.runs == 9

    @program
    def often_dead():
        text = sample(LM("x", max_tokens=2))
        condition(text != "")
        return text

    posterior = infer(often_dead(), Importance(40))
    assert posterior.cost.runs == len(posterior) < 40


METHODS = (
    SMC(4),
    Importance(4),
    TemperedSMC(4),
    SteeringSMC(2),
    ResampleMoveSMC(4),
    PrunedEnriched(4),
    Rejection(8, log_bound=1.0),
    AdaptiveRejection(4, log_bound=1.0),
    Enumerate(),
    ParticleGibbs(2, 3),
    ParticleIndependentMH(2, 3),
    SuffixMCMC(1, 3),
    SingleSiteMH(1, 3),
    BeamSearch(3),
    BestFirst(),
    BestOfN(4),
    FirstFinished(4, 2),
    AdaptiveConsistency(4),
    Until(SMC(2), runs=2),
    LocallyConstrained(4),
)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_every_method_reports_what_it_spent(method):
    cost = infer(rated(), method, seed=0).cost
    assert cost.runs > 0
    assert cost.tokens > 0
    assert cost.lm_tokens > 0
    assert cost.lm_calls > 0
    assert cost.verifier_calls > 0


def test_the_methods_above_are_all():
    assert {type(method).__name__ for method in METHODS} == {
        name for name in methods.__all__ if name != "Method"
    }


def test_texts_that_potentials_are_asked_of_are_counted_once():
    assert infer(plain(), Importance(5)).cost.verifier_calls == 0
    asked = []

    @program
    def counted(at):
        return sample(LM("x", max_tokens=2) * potential(lambda text: asked.append(text) or 0.0, at))

    for at in ("end", "token"):
        asked.clear()
        posterior = infer(counted(at), SMC(20), seed=1)
        assert posterior.cost.verifier_calls == len(asked) == len(set(asked))
        assert "verifier calls" in str(posterior.cost)
    asked.clear()
    ahead = infer(rated(lookahead=1, rollouts=2), Importance(4))
    assert ahead.cost.verifier_calls > 0


def test_the_values_that_best_of_n_ranks_are_counted():
    assert infer(plain(), BestOfN(6, by=len)).cost.verifier_calls == 6
    assert infer(plain(), BestOfN(6)).cost.verifier_calls == 0


def test_costs_survive_json_and_old_posteriors_are_read():
    posterior = infer(rated(), SMC(4))
    again = Posterior.from_json(posterior.to_json())
    assert again.cost == posterior.cost
    data = posterior.to_dict()
    del data["cost"]["runs"], data["cost"]["verifier_calls"]
    assert Posterior.from_dict(data).cost.runs == 0


def test_the_best_of_n_may_abstain():
    sure = infer(plain(), BestOfN(6, by=len, least=0.0), seed=1)
    assert len(sure) == 1
    abstains = infer(plain(), BestOfN(6, by=len, least=3.0), seed=1)
    assert len(abstains) == 0
    assert "abstained" in abstains.no_survivors
    assert "below least=3" in repr(abstains)
    assert abstains.log_evidence == sure.log_evidence
    with pytest.raises(InvalidArgument, match="least=nan"):
        BestOfN(2, least=math.nan)


def cost(lm_tokens, **others):
    return Cost(tokens=lm_tokens, lm_calls=1, lm_tokens=lm_tokens, seconds=0.5, **others)


def test_cost_per_solved_counts_what_failed():
    costs = [cost(100, runs=4, verifier_calls=4), cost(300, runs=8, verifier_calls=2), cost(200, runs=8)]
    shown = cost_per_solved(costs, [True, False, True])
    assert (shown.tasks, shown.solved) == (3, 2)
    assert (shown.lm_tokens, shown.runs, shown.verifier_calls, shown.seconds) == (300, 10, 3, 0.75)
    assert shown.total == Cost.total(costs)
    assert shown.total.lm_tokens == 600
    assert "2 of 3 tasks" in str(shown)
    none = cost_per_solved(costs, [False] * 3)
    assert none.lm_tokens == math.inf
    assert none.standard_error is None
    assert cost_per_solved(costs[:1], [True]).standard_error is None


def test_the_standard_error_is_that_of_the_ratio():
    rng = np.random.default_rng(0)

    def drawn():
        solved = rng.random(200) < 0.4
        tokens = np.where(solved, 50, 120) + rng.integers(0, 40, 200)
        return cost_per_solved([cost(int(t)) for t in tokens], solved.tolist())

    repeated = [drawn() for _ in range(150)]
    spread = np.std([r.lm_tokens for r in repeated], ddof=1)
    assert np.mean([r.standard_error for r in repeated]) == pytest.approx(spread, rel=0.2)


def test_refusals():
    with pytest.raises(InvalidArgument, match="0 costs"):
        cost_per_solved([], [])
    with pytest.raises(InvalidArgument, match="1 costs and 2 verdicts"):
        cost_per_solved([cost(1)], [True, False])
    with pytest.raises(InvalidArgument, match="the verdict 'yes'"):
        cost_per_solved([cost(1)], ["yes"])
