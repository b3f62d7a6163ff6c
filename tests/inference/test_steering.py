"""SMC without replacement against brute force: optimal resampling, distinct runs, the evidence."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from grammars import Choice, JsonSchema, Regex, text_predicate
from inference import AWRS, SMC, Enumerate, SteeringSMC, TableLM, TableMDM, infer
from inference.branching import Move
from inference.optimal_resampling import Rest, optimal
from inference.testing import TooManyPaths, check_together, check_unbiased, expectation, paths
from inference.testing.programs import (
    corrected,
    filled,
    foreseen,
    interleaved,
    pooled,
    relearned,
    respelled,
    uneven,
)
from inference.testing.strategies import programs
from inference.testing.suite import check_method
from ppl import Categorical, InvalidArgument, condition, factor, memo, observe, program, sample
from tests.inference.shared_programs import LM, two_texts


def outcomes(weights):
    """Listed outcomes of one particle, and what is left of it."""
    return [Move(0, k, math.log(w), math.log(w)) for k, w in enumerate(weights)]


@settings(max_examples=60)
@example([1.0], [[1.0, 1.0], [1.0, 1.0, 1.0]], 2)  # two models with different vocabularies
@given(
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6),
    st.lists(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=4), max_size=2),
    st.integers(1, 4),
)
def test_resampling_is_unbiased_and_keeps_what_is_large(listed, rows, size):
    """Rests hold the weights below those that are listed, as they do in a row of which the largest are listed."""
    smallest = min(listed)
    while len(listed) < size and rows:
        listed = [*listed, smallest]
    weights = {(0, k): w for k, w in enumerate(listed)}
    rests = []
    for i, row in enumerate(rows, 1):
        masses = [smallest * w for w in row]
        weights |= {(i, v): w for v, w in enumerate(masses)}
        rests.append(Rest(i, torch.tensor(masses, dtype=torch.float64).log(), math.log(sum(masses))))

    def kept(rng):
        moves = optimal(outcomes(listed), rests, size, rng)
        assert len(moves) <= size
        keys = [(move.particle, move.outcome) for move in moves]
        assert len(set(keys)) == len(keys)
        if len(weights) > size:
            threshold = max(min(math.exp(move.log_weight) for move in moves), 0.0)
            for key, w in weights.items():
                assert key in keys or w <= threshold * (1 + 1e-9)
        return {key: math.exp(move.log_weight) for key, move in zip(keys, moves, strict=True)}

    mean = expectation(kept)
    assert mean == pytest.approx(weights, rel=1e-9)


def test_the_threshold_is_that_of_the_paper():
    weights = [8.0, 3.0, 1.0, 0.5, 0.5]

    def kept(rng):
        return {move.outcome: math.exp(move.log_weight) for move in optimal(outcomes(weights), (), 3, rng)}

    for _, found in paths(kept):  # 8 and 3 are kept, the others share one place
        assert found[0] == pytest.approx(8.0)
        assert found[1] == pytest.approx(3.0)
        assert [w for k, w in found.items() if k > 1] == pytest.approx([2.0])


def test_suite():
    for size in (1, 2, 3):
        check_method(SteeringSMC(size))


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize(
    "model",
    [corrected(), pooled(), filled(), foreseen(), uneven(), interleaved(), respelled(), relearned()],
    ids=repr,
)
def test_it_is_unbiased_on_all_kinds_of_sites(model, size):
    check_unbiased(model, SteeringSMC(size))


MDM = TableMDM.random("ab", seed=6)


@text_predicate
def no_b(text: str) -> bool:
    return "b" not in text


@program
def checked():
    text = sample(LM("c", max_tokens=1) & no_b)
    factor(0.4 * len(text))
    return text


@pytest.mark.parametrize("awrs", [AWRS(), AWRS(max_accepts=1), AWRS(max_rejects=1)], ids=repr)
def test_checks_are_drawn(awrs):
    check_unbiased(checked(), SteeringSMC(1, draws=1), awrs=awrs)
    check_unbiased(checked(), SteeringSMC(2, draws=1), awrs=awrs)


def test_several_draws_are_unbiased():
    check_unbiased(checked(), SteeringSMC(1, draws=2), awrs=AWRS(max_accepts=1))


@program
def shuffled():
    return sample(MDM(length=2, order="random") ** 2)


def test_positions_in_random_order_are_drawn():
    for size in (1, 2, 3):
        check_unbiased(shuffled(), SteeringSMC(size))


@settings(max_examples=40)
@given(programs(max_statements=3), st.integers(1, 3))
def test_random_programs(random, size):
    try:
        check_unbiased(random.model(), SteeringSMC(size, draws=1), max_paths=1500)
    except TooManyPaths:
        reject()


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(0, 1000))
def test_runs_are_distinct_and_at_most_n(size, seed):
    posterior = infer(two_texts(), SteeringSMC(size), seed=seed)
    assert len(posterior) <= size
    assert all(n == 1 for n in Counter(sample.value for sample in posterior.samples).values())


def test_with_room_for_all_it_is_enumeration():
    exact, posterior = infer(two_texts(), Enumerate()), infer(two_texts(), SteeringSMC(1000))
    assert dict(posterior.top(1000)) == pytest.approx(dict(exact.top(1000)), abs=1e-12)
    assert posterior.log_evidence == pytest.approx(exact.log_evidence, abs=1e-12)


def test_its_evidence_varies_less_than_that_of_smc():
    exact = infer(two_texts(), Enumerate()).log_evidence

    def error(method):
        ratios = [math.exp(infer(two_texts(), method, seed=s).log_evidence - exact) for s in range(60)]
        assert np.mean(ratios) == pytest.approx(1.0, abs=0.15)
        return np.std(ratios)

    assert error(SteeringSMC(8)) < error(SMC(8))


def test_explain_tells_what_it_does_where_tokens_are_only_checked():
    @program
    def both():
        first = sample(LM("x", max_tokens=2) & Regex("[ab]*"))
        return first, sample(LM("y", max_tokens=2) & Regex("[ab]*").by_check())

    posterior = infer(both(), SteeringSMC(4, draws=3))
    masked, checked = posterior.sites
    assert "SteeringSMC saw 3 draws of each particle" in checked.note
    assert checked.note in str(checked)
    assert not masked.note
    assert posterior.explain().count("SteeringSMC saw") == 1
    assert type(posterior).from_json(posterior.to_json()).explain() == posterior.explain()
    assert "SteeringSMC" not in infer(both(), SMC(4)).explain()


def test_texts_that_are_spelled_differently_are_merged():
    spelling = TableLM.random(["a", "b", "ab"], seed=2)

    @program
    def spelled():
        text = sample(spelling("s", max_tokens=2) & Choice(["ab"]))
        return text, sample(spelling(text, max_tokens=1) & Choice(["a", "b"]))

    assert len(infer(spelled(), Enumerate())) == 4
    posterior = infer(spelled(), SteeringSMC(100))
    assert len(posterior) == 2
    assert posterior.log_evidence == pytest.approx(infer(spelled(), Enumerate()).log_evidence, abs=1e-12)


def test_runs_with_different_memos_are_not_merged():
    spelling = TableLM.random(["a", "b", "ab"], seed=2)
    calls = []

    @program
    def counted():
        text = sample(spelling("s", max_tokens=2) & Choice(["ab"]))
        return text, memo(lambda: calls.append(0) or [len(calls)])[0]

    assert len(infer(counted(), SteeringSMC(100))) == 2


def test_a_record_adds_up():
    @program
    def model():
        kind = sample(Categorical("xyz", [1, 2, 3]))
        factor(0.3 if kind == "x" else 0.0)
        text = sample(LM(kind, max_tokens=2) & Regex("[abc]+"))
        observe(LM(text, max_tokens=1), "a")
        return kind, text

    posterior = infer(model(), SteeringSMC(3), record=True)
    assert len(posterior.record.dropped) > 0
    for i, kept in enumerate(posterior.samples):
        moves = posterior.record.moves(i)
        assert math.fsum(move.log_weight for move in moves) == pytest.approx(kept.log_weight, abs=1e-10)
    assert posterior.sites[0].tokens > 0
    assert math.fsum(s.log_increment for s in posterior.steps) == pytest.approx(posterior.log_evidence)


def test_together():
    check_together([two_texts(), uneven(), respelled(), interleaved()], SteeringSMC(3))


def test_a_schema():
    lm = TableLM.random(list('{}":ab1,'), seed=3)

    @program
    def record():
        return sample(lm("", max_tokens=20) & JsonSchema({"enum": [{"a": 1}, {"b": 1}, {"a": "b"}]}))

    posterior, exact = infer(record(), SteeringSMC(50)), infer(record(), Enumerate())
    assert posterior.log_evidence == pytest.approx(exact.log_evidence, abs=1e-9)


@program
def never():
    condition(sample(LM("p", max_tokens=2)) == "q")


def test_all_dead_is_an_evidence_of_zero():
    assert infer(never(), SteeringSMC(2)).log_evidence == -math.inf


def test_a_mass_that_vanishes_is_no_error():
    peaked = TableLM(["a", "b"], lambda prompt, generated: [1 - 2e-300, 1e-300, 1e-300])

    @program
    def sure():
        return sample(peaked("", max_tokens=3))

    assert infer(sure(), SteeringSMC(1)).mode() == "aaa"


@pytest.mark.parametrize("options", [{"particles": 0}, {"draws": 0}])
def test_refusals(options):
    with pytest.raises(InvalidArgument):
        SteeringSMC(**options)
