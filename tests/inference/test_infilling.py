"""Masked diffusion against brute force over all paths, to 1e-10."""

import math

import pytest

from grammars import Regex
from inference import SMC, Enumerate, Importance, TableLM, TableMDM, infer
from inference.testing import check_replay, check_unbiased, target_measure
from ppl import InvalidArgument, condition, guide, observe, potential, power_mean, program, sample, score
from ppl.rng import Rng

MODEL = TableMDM.random("ab", seed=1)
OTHER = TableMDM.random("ab", seed=2)
JOINT = TableMDM.of_joint("ab", {"aa": 0.1, "ab": 0.2, "ba": 0.4, "bb": 0.3})


def many_a(text: str) -> float:
    return 0.7 * text.count("a")


def fills(order, per_step=1):
    p = MODEL(length=2, order=order, per_step=per_step)
    q = MODEL("b", length=2, order=order, per_step=per_step)
    r = OTHER(length=2, order=order, per_step=per_step)
    return {
        "plain": p,
        "sharpened": p**2,
        "uniform": p**0,
        "product": p * q,
        "models": p**0.5 * r,
        "guided": guide(p, q, 0.8),
        "ensemble": power_mean([p, q], 1) * r,
        "harmonic": power_mean([p, q], -1),
        "constrained": (p * q) & Regex("a*b"),
        "rewarded": p**2 * potential(many_a),
        "rewarded early": guide(p, r, 0.5) * potential(many_a, at="token"),
        "all": (p**1.5 & Regex("[ab]*a")) * potential(many_a, at="token"),
    }


NAMES = list(fills("random"))
ORDERS = [("random", 1), ("left_to_right", 1), ("confident", 1), ("random", 2), ("confident", 2)]


@program
def drawn(target):
    return sample(target)


@program
def mixed(target):
    first = sample(target)
    second = sample(MODEL.infill(f"{first[0]}___", order="left_to_right") * potential(many_a))
    condition(second != "ab")
    return first, second


@pytest.mark.parametrize(("order", "per_step"), ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_the_law_of_every_target(name, order, per_step):
    target = fills(order, per_step)[name]
    assert sum(target_measure(target).values()) > 0.0
    check_unbiased(drawn(target), Importance(1))
    if order != "random":
        check_unbiased(drawn(target), Enumerate())


@pytest.mark.parametrize("name", ["guided", "rewarded early", "constrained"])
@pytest.mark.parametrize(("order", "per_step"), [("left_to_right", 1), ("confident", 2)])
def test_two_particles_that_are_resampled(name, order, per_step):
    check_unbiased(drawn(fills(order, per_step)[name]), SMC(2, 1.0), max_paths=1_000_000)


def test_random_order_with_two_particles():
    p = MODEL(length=2)
    check_unbiased(drawn(p**2 * potential(many_a, at="token")), SMC(2, 1.0), max_paths=1_000_000)


def test_a_guess_that_is_ruled_out_does_not_rule_out_what_comes():
    """The best guess has no weight, but the text may get some."""

    def only_bb(text: str) -> float:
        return 0.5 if text == "bb" else -math.inf

    for order in ("left_to_right", "confident"):
        target = JOINT(length=2, order=order) * potential(only_bb, at="token")
        assert target_measure(target) == pytest.approx({"bb": 0.3 * math.exp(0.5)})
        check_unbiased(drawn(target), Enumerate())
        check_unbiased(drawn(target), SMC(1))


def test_several_sites_and_kinds_in_one_program():
    check_unbiased(mixed(fills("confident")["guided"]), Importance(1))
    check_replay(mixed(fills("confident")["guided"]), Rng(0))

    lm = TableLM.random(["a", "b"], seed=3)

    @program
    def with_a_language_model():
        text = sample(lm("x", max_tokens=1) ** 2)
        return text, sample(MODEL(text, length=1) ** 2)

    check_unbiased(with_a_language_model(), SMC(2, 1.0), max_paths=1_000_000)


def test_a_joint_distribution_is_drawn_in_any_order():
    for order, per_step in ORDERS:
        measure = target_measure(JOINT(length=2, order=order, per_step=per_step))
        if per_step == 1:
            assert measure == pytest.approx({"aa": 0.1, "ab": 0.2, "ba": 0.4, "bb": 0.3})
        else:  # positions that are drawn at once are independent
            assert measure["aa"] == pytest.approx(0.3 * 0.5)


def test_infilling_keeps_what_is_there():
    posterior = infer(drawn(MODEL.infill("a___b___", order="confident")), Enumerate())
    assert {value[0] + value[2] for value, _ in posterior.top(9)} == {"ab"}
    assert math.exp(posterior.log_evidence) == pytest.approx(1.0)
    assert {len(v) for v, _ in infer(drawn(MODEL("ab", length=3)), SMC(4)).top(9)} == {3}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (lambda p, q: p * p, lambda p, q: p**2),
        (lambda p, q: guide(p, q, 0), lambda p, q: p),
        (lambda p, q: p**1, lambda p, q: p),
        (lambda p, q: p * potential(lambda text: 0.0, at="token"), lambda p, q: p),
    ],
)
def test_reductions(left, right):
    p, q = MODEL(length=3), OTHER(length=3)
    assert target_measure(left(p, q)) == pytest.approx(target_measure(right(p, q)), abs=1e-12)
    a, b = (infer(drawn(make(p, q)), Importance(8), seed=2) for make in (left, right))
    assert a.log_evidence == pytest.approx(b.log_evidence, abs=1e-12)


def test_a_denoiser_is_asked_once_a_step():
    cost = infer(drawn(MODEL(length=6, per_step=3)), SMC(8), seed=0).cost
    assert cost.lm_calls == 2
    assert cost.tokens == 48


def test_what_has_no_meaning_is_refused():
    p = MODEL(length=2)
    for make, message in [
        (lambda: MODEL(length=0), "at least 1"),
        (lambda: MODEL(length=2, order="likely"), "one of random"),
        (lambda: MODEL(length=2, per_step=0), "per_step"),
        (lambda: MODEL.infill("ab"), "no blank"),
        (lambda: MODEL("xyz", length=2), "no tokens"),
    ]:
        with pytest.raises(InvalidArgument, match=message):
            make()
    for target, message in [
        (p * MODEL(length=3), "different numbers"),
        (p * MODEL(length=2, order="confident"), "different orders"),
        (p * TableMDM.random("abc", seed=1)(length=2), "different tokens"),
        (p * TableLM.random(["a"], seed=1)("x"), "parts of"),
        (p * potential(many_a, at="word"), "masked-diffusion"),
        (p * potential(many_a, at="token", lookahead=2), "masked-diffusion"),
        (p * score(TableLM.random(["a"], seed=1)("x")), "masked-diffusion"),
    ]:
        with pytest.raises(Exception, match=message):
            infer(drawn(target), SMC(2))
    with pytest.raises(InvalidArgument, match="random order"):
        infer(drawn(p), Enumerate())

    @program
    def seen():
        observe(p, "ab")

    with pytest.raises(Exception, match="sum over all orders"):
        infer(seen(), SMC(2))
    with pytest.raises(InvalidArgument, match="sum over all orders"):
        infer(drawn(TableLM.random(["a"], seed=1)("x", max_tokens=2) * score(p)), SMC(2))


def test_explain():
    shown = str(drawn(fills("confident")["all"]).explain())
    assert "confident" in shown
    assert "corrector" in shown
    assert "checked on the complete text" in shown
    assert "random-mdm-1('', 2 masked, order='confident')^1.5" in shown
