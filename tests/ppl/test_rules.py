"""Each rewrite rule leaves the measure as it is, and is applied where its law says so."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import AnyText, Choice, ContradictionError, Fused, Regex, prefix_predicate
from inference import TableLM
from inference.testing import target_measure
from inference.testing.strategies import constraints, text_targets, toy_lms
from ppl import Categorical, InvalidArgument, potential, power_mean
from ppl.compiler.normal_form import normal_form
from ppl.compiler.plan import plan_text
from ppl.compiler.rules import RULES, rewrite
from ppl.targets import Constrained, Power, Product, Target, Twisted

LM = TableLM.random(["a", "b"], seed=2)


@prefix_predicate
def few(text: str) -> bool:
    return text.count("b") <= 1


def longer(text: str) -> float:
    return 0.3 * len(text)


@st.composite
def constrained(draw: st.DrawFn) -> Target[str]:
    """Draw a nest of constraints in any order, over a text or a finite distribution."""
    target: Target[str] = draw(
        st.one_of(text_targets(draw(toy_lms())), st.just(Categorical(["a", "b", "ab", ""], [1, 2, 3, 4])))
    )
    pieces = st.one_of(constraints(), st.sampled_from([AnyText(), few, Regex("[ab]+").by_check()]))
    for piece in draw(st.lists(st.lists(pieces, min_size=1, max_size=3), max_size=3)):
        conjunction = piece[0]
        for other in piece[1:]:
            conjunction = conjunction & other
        target = Constrained(target, conjunction)
    return target


def algebraic(base: list[Target[str]]) -> st.SearchStrategy[Target[str]]:
    """Draw powers, products and ensembles, with constraints and potentials anywhere outside of ensembles."""
    leaves = st.sampled_from(base)
    exponents = st.sampled_from([0.0, 0.5, 1.0, 2.0, -0.5])
    means = st.builds(
        power_mean, st.lists(leaves, min_size=1, max_size=2), st.sampled_from([0.0, 1.0, -1.0, 2.0])
    )

    def extend(inner: st.SearchStrategy[Target[str]]) -> st.SearchStrategy[Target[str]]:
        return st.one_of(
            st.builds(Power, inner, exponents),
            st.builds(Product, inner, inner),
            st.builds(Constrained, inner, st.sampled_from([Regex("a*b?"), few])),
            st.builds(Twisted, inner, st.just(potential(longer))),
        )

    return st.recursive(st.one_of(leaves, means), extend, max_leaves=4)


targets = st.one_of(constrained(), algebraic([LM("x", max_tokens=2), LM("y", max_tokens=2)]))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_rule_keeps_the_measure(rule, data):
    target = data.draw(targets)
    try:
        rewritten = rule.apply(target)
    except ContradictionError:
        assert target_measure(target) == {}
        return
    except InvalidArgument:
        assert isinstance(target, Power)
        assert isinstance(target.target, Constrained)
        assert target.exponent <= 0.0
        return
    if rewritten is not None:
        expected = target_measure(target)
        if all(map(math.isfinite, expected.values())):
            assert target_measure(rewritten) == pytest.approx(expected, abs=1e-12, rel=1e-9)


P, Q = LM("x"), LM("y")

EXAMPLES = {
    "power-one": P**1.0,
    "power-of-power": (P**2) ** 0.5,
    "power-of-product": (P * Q) ** 0.5,
    "power-of-constrained": (P & Regex("a+")) ** 2,
    "power-of-twisted": (P * potential(longer)) ** 2,
    "constraint-out-of-product": P * (Q & Regex("a+")),
    "potential-out": (P * potential(longer)) & Regex("a+"),
    "geometric-mean": power_mean([P, Q], 0),
    "mean-of-one": power_mean([P], -1),
    "merge-experts": P**0.5 * Q * P,
    "drop-zero": P * Q**0,
    "conjoin": Constrained(Constrained(LM("x"), Regex("a+")), Regex("[ab]+")),
    "drop-any-text": Constrained(LM("x"), AnyText()),
    "filter-choice": Constrained(LM("x"), Choice(["a", "bb"]) & Regex("a+") & few),
    "fuse-regular": Constrained(LM("x"), few & Regex("a+") & ~Regex("aa")),
    "checks-last": Constrained(LM("x"), few & Regex("a+")),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_applies_somewhere_and_comes_to_rest(rule):
    assert isinstance(EXAMPLES[rule.name], rule.roots)
    rewritten = rule.apply(EXAMPLES[rule.name])
    assert rewritten is not None
    assert rewritten != EXAMPLES[rule.name]
    final, applied = rewrite(EXAMPLES[rule.name])
    assert rule.name in applied
    assert rewrite(final) == (final, ())


def test_options_are_filtered_by_masks_and_left_to_checks():
    final, _ = rewrite(EXAMPLES["filter-choice"])
    assert isinstance(final, Constrained)
    assert final.constraint == Choice(["a"]) & few


@prefix_predicate(workers=1)
def expensive(text: str) -> bool:
    return text.count("b") <= 1


def test_options_are_not_filtered_by_slow_checks():
    target = Constrained(LM("x"), Choice(["a", "bb"]) & ~expensive)
    assert rewrite(target) == (target, ())
    assert expensive.calls == 0


def test_regular_parts_become_one_and_pinned_parts_stay():
    final, applied = rewrite(
        Constrained(LM("x"), Regex("a+").by_check() & Regex("[ab]+") & few & ~Regex("b"))
    )
    assert isinstance(final, Constrained)
    assert final.constraint == Fused(Regex("[ab]+") & ~Regex("b")) & Regex("a+").by_check() & few
    assert applied == ("fuse-regular", "checks-last")


def test_a_choice_without_options_left_is_a_contradiction():
    with pytest.raises(ContradictionError, match="no text satisfies"):
        rewrite(Constrained(LM("x"), Choice(["a", "bb"]) & Regex("c")))


def test_the_plan_tells_its_rules_and_is_made_once_for_each_structure(monkeypatch):
    target = LM("x") & few & Regex("[ab]+") & str
    plan = plan_text(normal_form(target))
    assert {"conjoin", "checks-last"} <= set(plan.rules)
    assert plan.kernel == "awrs"
    calls: list[object] = []
    monkeypatch.setattr("ppl.compiler.plan.rewrite", lambda *a: calls.append(a) or rewrite(*a))
    again = plan_text(normal_form(LM("another prompt") & few & Regex("[ab]+")))
    assert again.constraint == plan.constraint
    assert not calls
