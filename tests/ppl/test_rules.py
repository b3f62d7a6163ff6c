"""Each rewrite rule leaves the measure as it is, and is applied where its law says so."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import AnyText, Choice, ContradictionError, Fused, Regex, prefix_predicate
from inference import TableLM
from inference.testing import target_measure
from inference.testing.strategies import constraints, text_targets, toy_lms
from ppl import Categorical
from ppl.compiler.normal_form import normal_form
from ppl.compiler.plan import plan_text
from ppl.compiler.rules import RULES, rewrite
from ppl.targets import Constrained, Target

LM = TableLM.random(["a", "b"], seed=2)


@prefix_predicate
def few(text: str) -> bool:
    return text.count("b") <= 1


@st.composite
def targets(draw: st.DrawFn) -> Target[str]:
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


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_rule_keeps_the_measure(rule, data):
    target = data.draw(targets())
    try:
        rewritten = rule.apply(target)
    except ContradictionError:
        assert target_measure(target) == {}
        return
    if rewritten is not None:
        assert target_measure(rewritten) == pytest.approx(target_measure(target), abs=1e-12)


EXAMPLES = {
    "conjoin": Constrained(Constrained(LM("x"), Regex("a+")), Regex("[ab]+")),
    "drop-any-text": Constrained(LM("x"), AnyText()),
    "filter-choice": Constrained(LM("x"), Choice(["a", "bb"]) & Regex("a+") & few),
    "fuse-regular": Constrained(LM("x"), few & Regex("a+") & ~Regex("aa")),
    "checks-last": Constrained(LM("x"), few & Regex("a+")),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_applies_somewhere_and_comes_to_rest(rule):
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
