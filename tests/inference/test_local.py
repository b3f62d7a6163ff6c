"""Locally constrained decoding draws from the product of the locally renormalised conditionals, to 1e-10."""

import math
from collections import defaultdict
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import Regex
from inference import AWRS, SMC, Enumerate, LocallyConstrained, TableLM, infer
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing import check_unbiased, expectation
from inference.testing.strategies import constraints, toy_lms
from ppl import Categorical, InvalidArgument, condition, factor, observe, program, sample

LM = TableLM.random(["a", "b"], seed=3)
SUFFIXES = ["".join(letters) for n in range(5) for letters in product("ab", repeat=n)]


def local_law(lm, prompt, constraint, max_tokens):
    """The law from its definition: a character may follow if some short text then satisfies the constraint."""
    law, pending, end = defaultdict(float), [("", (), 1.0)], lm.vocabulary.end
    while pending:
        text, ids, mass = pending.pop()
        options = {}
        for token, p in enumerate(lm.logprobs(lm.encode_prompt(prompt), ids).exp().tolist()):
            if token == end:
                allowed = constraint.matches(text)
            else:
                extended = text + lm.vocabulary.tokens[token].decode()
                allowed = len(ids) < max_tokens and any(constraint.matches(extended + s) for s in SUFFIXES)
            if allowed and p > 0.0:
                options[token] = p
        for token, p in options.items():
            share = mass * p / sum(options.values())
            if token == end:
                law[text] += share
            else:
                pending.append((text + lm.vocabulary.tokens[token].decode(), (*ids, token), share))
    return dict(law)


def drawn_law(model, particles):
    """The expected share of the runs that finished with each value; and of all that finished."""

    def run(rng):
        with Runtime() as runtime:
            result = LocallyConstrained(particles).run(model, rng, runtime, Progress())
        finished = [p.value for p, w in zip(result.particles, result.log_weights, strict=True) if w == 0.0]
        shares = {value: finished.count(value) / particles for value in set(finished)}
        assert sum(shares.values()) == pytest.approx(math.exp(result.log_evidence))
        assert sum(step.log_increment for step in result.steps) == pytest.approx(result.log_evidence)
        return shares

    return expectation(run)


@program
def text_of(lm, constraint, max_tokens):
    return sample(lm("x", max_tokens=max_tokens) & constraint)


@settings(max_examples=30)
@given(toy_lms(), constraints(), st.booleans(), st.sampled_from([1, 2]))
def test_the_law_is_the_product_of_renormalised_conditionals(lm, constraint, checked, particles):
    law = local_law(lm, "x", constraint, 2)
    model = text_of(lm, constraint.by_check() if checked else constraint, 2)
    assert drawn_law(model, particles) == pytest.approx(law, abs=1e-10)


def test_masks_and_checks_together():
    law = local_law(LM, "x", Regex("[ab]{1,2}b?") & Regex("b?a?b"), 3)
    model = text_of(LM, Regex("[ab]{1,2}b?") & Regex("b?a?b").by_check(), 3)
    assert len(law) > 1
    assert drawn_law(model, 1) == pytest.approx(law, abs=1e-10)


def test_programs_with_several_sites():
    @program
    def two_texts():
        kind = sample(Categorical(["x", "y", "z"], [1, 2, 3]) & Regex("x|y"))
        first = sample(LM(kind, max_tokens=2) & Regex("ab?|b"))
        factor(5.0 * len(first))
        observe(LM("o", max_tokens=2), "a")
        second = sample(LM(first, max_tokens=1) & Regex("a?"))
        condition(first != second)
        return kind, first, second

    law = {
        (kind, first, second): share * p * q
        for kind, share in (("x", 1 / 3), ("y", 2 / 3))
        for first, p in local_law(LM, kind, Regex("ab?|b"), 2).items()
        for second, q in local_law(LM, first, Regex("a?"), 1).items()
        if first != second
    }
    assert 0.0 < sum(law.values()) < 1.0
    assert drawn_law(two_texts(), 1) == pytest.approx(law, abs=1e-10)


def test_it_is_not_the_posterior():
    with pytest.raises(AssertionError, match="expected"):
        check_unbiased(text_of(LM, Regex("ab?|b"), 2), LocallyConstrained(1))


def test_all_samples_have_equal_weights_and_the_first_acceptance_ends_the_checks():
    model = text_of(LM, Regex("[ab]*").by_check(), 3)
    local, smc = infer(model, LocallyConstrained(8)), infer(model, SMC(8))
    assert local.weights.tolist() == pytest.approx([1 / 8] * 8)
    assert local.ess == pytest.approx(8)
    assert all(site.accepted == site.draws for site in local.sites)
    assert local.cost.checks <= local.cost.tokens
    assert sum(s.draws for s in smc.sites) > sum(s.tokens for s in smc.sites)


def test_dead_ends_remove_runs_and_are_told():
    model = text_of(LM, Regex("bbb"), 2)
    posterior = infer(model, LocallyConstrained(4))
    assert posterior.log_evidence == -math.inf
    assert "max_tokens=2" in repr(posterior)
    assert infer(model, Enumerate()).log_evidence == -math.inf


def test_settings_without_effect_are_refused():
    with pytest.raises(InvalidArgument, match="no effect"):
        infer(text_of(LM, Regex("a"), 2), LocallyConstrained(2), awrs=AWRS(max_rejects=3))
    with pytest.raises(InvalidArgument, match="particles=0"):
        LocallyConstrained(0)
