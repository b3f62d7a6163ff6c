"""Best-first search finds the heaviest runs in order if its heuristic is admissible, and counts what it spends."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import Regex
from inference import BeamSearch, BestFirst, Enumerate, TableLM, TableMDM, infer, infer_many, program_seed
from inference.testing import check_together, check_unbiased, target_measure
from inference.testing.programs import MODELS, corrected, filled, pooled, rejected, repeating, tossed
from inference.testing.search_checks import check_heaviest
from inference.testing.strategies import programs, toy_lms
from ppl import Categorical, InvalidArgument, condition, factor, potential, program, sample

LM = TableLM.random(["a", "b", "c"], seed=4)
ALL = {"expansions": 10**4, "samples": 10**4, "log_bound": 9.0}


@program
def text_of(lm, length=3):
    return sample(lm("x", max_tokens=length))


@pytest.mark.parametrize("batch", [1, 3])
def test_to_the_end_it_is_enumeration(batch):
    for model in (*MODELS, rejected(), corrected(), pooled(), filled(), repeating(), tossed()):
        check_unbiased(model, BestFirst(**ALL, batch=batch))


@settings(max_examples=40)
@given(programs(), st.integers(1, 4), st.integers(1, 3))
def test_the_first_runs_of_random_programs_are_the_heaviest(random, batch, samples):
    check_heaviest(random.model(), BestFirst(10**4, batch, samples, log_bound=9.0))


def largest_rest(lm, length):
    """Return the exact heuristic: the log of the largest mass that a text can yet be multiplied by."""
    whole = {}
    for text, mass in target_measure(lm("x", max_tokens=length)).items():
        for n in range(len(text) + 1):
            whole[text[:n]] = max(whole.get(text[:n], 0.0), mass)

    def rest(text):
        ids, prompt = lm.encode(text), lm("x").prompt
        so_far = sum(float(lm.logprobs(prompt, ids[:k])[token]) for k, token in enumerate(ids))
        return math.log(whole[text]) - so_far

    return rest


@settings(max_examples=25)
@given(toy_lms(("a", "b", "c")), st.integers(1, 3), st.floats(0.0, 1.0))
def test_any_admissible_heuristic_gives_the_mode(lm, batch, share):
    rest = largest_rest(lm, 3)
    check_heaviest(text_of(lm), BestFirst(1000, batch, 2, heuristic=lambda text: share * rest(text)))


def test_a_better_heuristic_expands_less():
    rest = largest_rest(LM, 6)
    blind = infer(text_of(LM, 6), BestFirst(batch=1))
    guided = infer(text_of(LM, 6), BestFirst(batch=1, heuristic=rest))
    assert guided.mode() == blind.mode()
    assert len(guided.steps) == len(guided.mode()) + 1  # straight to the mode: each token and the end
    assert len(blind.steps) > 2 * len(guided.steps)
    assert guided.cost.verifier_calls > 0
    assert blind.cost.verifier_calls == 0


def test_a_heuristic_that_is_not_admissible_may_miss_the_mode():
    lm = TableLM(["a", "b"], {(): [0.6, 0.4, 0.0], (0,): [0.0, 0.0, 1.0], (1,): [0.0, 0.0, 1.0]})
    assert infer(text_of(lm, 1), BestFirst()).mode() == "a"
    misled = BestFirst(batch=1, heuristic=lambda text: -5.0 if text == "a" else 0.0)
    assert infer(text_of(lm, 1), misled).mode() == "b"


def test_a_finished_run_waits_for_those_before_it():
    lm = TableLM(["a", "b"], {(): [0.5, 0.1, 0.4], (0,): [0.0, 0.0, 1.0], (1,): [0.0, 0.0, 1.0]})
    for batch in (1, 2, 8):
        posterior = infer(text_of(lm, 1), BestFirst(batch=batch))
        assert posterior.mode() == "a"
        assert posterior.samples[0].log_weight == pytest.approx(math.log(0.5))


def test_gains_that_come_late_need_a_bound():
    @program
    def rewarded():
        kind = sample(Categorical(["plain", "rich"], [0.7, 0.3]))
        text = sample(LM(kind, max_tokens=1))
        factor(3.0 if kind == "rich" else 0.0)
        return kind, text

    assert infer(rewarded(), BestFirst(batch=1)).mode()[0] == "plain"
    assert infer(rewarded(), BestFirst(batch=1, log_bound=3.0)).mode()[0] == "rich"


def test_the_budget_is_kept():
    posterior = infer(text_of(LM, 6), BestFirst(expansions=7, batch=3, samples=100))
    assert next(step.live for step in posterior.steps) == 1
    assert sum(step.live for step in posterior.steps) == 7
    assert posterior.cost.lm_calls == len(posterior.steps)
    assert posterior.log_evidence <= infer(text_of(LM, 6), Enumerate()).log_evidence
    assert math.fsum(s.log_increment for s in posterior.steps) == pytest.approx(posterior.log_evidence)
    nothing = infer(text_of(LM, 6), BestFirst(expansions=1))
    assert nothing.log_evidence == -math.inf
    assert "expansions=1" in nothing.no_survivors


def test_it_needs_fewer_calls_in_batches_and_beats_a_narrow_beam():
    one, four = (infer(text_of(LM, 6), BestFirst(batch=b)) for b in (1, 4))
    assert one.mode() == four.mode()
    assert four.cost.lm_calls < one.cost.lm_calls
    beam = infer(text_of(LM, 6), BeamSearch(1))
    assert beam.samples[0].log_weight <= one.samples[0].log_weight


def test_a_heuristic_may_be_a_batched_potential_asked_at_boundaries():
    asked = []

    def h(texts):
        asked.extend(texts)
        return [-0.1 * len(text) for text in texts]

    heuristic = potential(h, at="b", batched=True)
    posterior = infer(text_of(LM), BestFirst(**ALL, heuristic=heuristic))
    assert len(posterior) == len(infer(text_of(LM), Enumerate()))
    assert asked
    assert all(text.endswith("b") for text in asked)
    assert posterior.cost.verifier_calls == len(asked)


def test_what_a_heuristic_rules_out_is_not_followed():
    ruled_out = BestFirst(**ALL, heuristic=lambda text: -math.inf if text.startswith("a") else 0.0)
    values = [s.value for s in infer(text_of(LM), ruled_out).samples]
    assert values
    assert not any(value.startswith("a") for value in values)


def test_among_others_it_is_what_it_is_alone():
    check_together([*MODELS], BestFirst(batch=2, samples=2))
    first = next(infer_many([text_of(LM)], BestFirst()))
    assert first.seed == program_seed(0, 0)


def test_no_run_has_mass():
    @program
    def never():
        sample(LM("x", max_tokens=1) & Regex("a|b"))
        condition(False)

    posterior = infer(never(), BestFirst())
    assert posterior.log_evidence == -math.inf
    assert "condition" in posterior.no_survivors


def test_refusals():
    for arguments, shown in (
        ({"expansions": 0}, "expansions=0"),
        ({"batch": 0}, "batch=0"),
        ({"samples": 0}, "samples=0"),
        ({"heuristic": 3}, "heuristic=3"),
        ({"log_bound": math.inf}, "log_bound=inf"),
        ({"heuristic": potential(len, at="word", lookahead=2)}, "continuations"),
    ):
        with pytest.raises(InvalidArgument, match=shown):
            BestFirst(**arguments)
    with pytest.raises(InvalidArgument, match="record"):
        infer(text_of(LM), BestFirst(), record=True)

    @program
    def unmasked():
        return sample(TableMDM.random("ab", seed=1)(length=2, order="random"))

    with pytest.raises(InvalidArgument, match="random order"):
        infer(unmasked(), BestFirst())
