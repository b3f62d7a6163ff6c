"""Rewards of steps: the last one counts, or all of them do; exactly, once for each step, and together for all runs."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import SMC, Enumerate, Importance, TableLM, classifier, infer
from inference.testing import check_unbiased, measure, target_measure
from inference.testing.strategies import toy_lms
from ppl import InvalidArgument, factor, observe, potential, program, sample
from tests.inference.test_rewards import saved

LM = TableLM.random(["a", "b\n", "\n"], seed=3)
P = LM("x", max_tokens=3)


def reward(text):
    return 0.4 * text.count("a") - 0.3 * text.count("b") + 0.1 * len(text)


def steps(text):
    """Return the text up to each line break, and all of it, once each."""
    return [text[: i + 1] for i, c in enumerate(text) if c == "\n" or i == len(text) - 1] or [text]


@program
def reasoned(target):
    return sample(target)


def expected(total, lm=LM):
    return {
        text: mass * math.exp(total(text)) for text, mass in target_measure(lm("x", max_tokens=3)).items()
    }


def test_the_last_reward_counts_or_all_of_them_do():
    last, each = P * potential(reward, at="line"), P * potential(reward, at="line", each=True)
    sums = {text: sum(map(reward, steps(text))) for text in target_measure(P)}
    assert measure(reasoned(last)) == pytest.approx(expected(reward), abs=1e-12)
    assert measure(reasoned(each)) == pytest.approx(expected(sums.get), abs=1e-12)
    for target in (last, each):
        for method in (Importance(1), SMC(1, 1.0), Enumerate()):
            check_unbiased(reasoned(target), method)


@settings(max_examples=15)
@given(toy_lms(("a", "\n")), st.booleans())
def test_resampling_at_the_steps_is_unbiased(lm, each):
    target = lm("x", max_tokens=2) * potential(reward, at="line", each=each)
    check_unbiased(reasoned(target), SMC(2, 1.0))


def test_runs_are_compared_where_a_step_ends():
    """Particles that have done badly at a line break are dropped there, before the next line is written."""
    lm = TableLM(
        ["good", "bad", "\n"],
        lambda prompt, generated: (
            [0, 0, 0, 1.0] if len(generated) == 8 else [[0.2, 0.8, 0, 0], [0, 0, 1.0, 0]][len(generated) % 2]
        ),
    )

    def prm(text):
        return 0.0 if text.endswith("good\n") else -6.0

    for each in (True, False):
        target = lm("", max_tokens=8) * potential(prm, at="line", each=each)
        posterior = infer(reasoned(target), SMC(200), seed=0)
        resampled = [step.tick for step in posterior.steps if step.resampled]
        assert resampled
        assert all(tick % 2 == 1 for tick in resampled)  # before the first token of a line
        lines = [value.split("\n")[:-1] for value in posterior.sample(200)]
        assert sum(line[-1] == "good" for line in lines) > 0.9 * len(lines)
        all_good = sum(set(line) == {"good"} for line in lines) / len(lines)
        assert (all_good > 0.8) == each


def test_powers_products_and_observations():
    rewarded = P * potential(reward, at="line", each=True)
    check_unbiased(reasoned(rewarded**2), Importance(1))
    check_unbiased(reasoned(rewarded * P), Importance(1))

    @program
    def observed():
        observe(rewarded, "a\n")
        factor(0.5)

    mass = target_measure(P)["a\n"] * math.exp(reward("a\n") + 0.5)
    assert infer(observed(), Importance(1)).log_evidence == pytest.approx(math.log(mass), abs=1e-10)
    assert "Σ" in str(rewarded)
    assert potential(reward, "line", each=True) != potential(reward, "line")


def test_each_step_is_asked_once_and_all_of_a_tick_together():
    batches = []

    def prm(texts):
        batches.append(list(texts))
        return [reward(text) for text in texts]

    target = LM("x", max_tokens=12) * potential(prm, at="line", batched=True, each=True)
    posterior = infer(reasoned(target), SMC(16), seed=1)
    asked = [text for batch in batches for text in batch]
    assert len(asked) == len(set(asked)) == posterior.cost.verifier_calls
    assert len(batches) <= len(posterior.steps)
    assert max(map(len, batches)) > 1
    values = [sample.value for sample in posterior.samples]
    assert {step for value in values for step in steps(value)} <= set(asked)


@pytest.mark.parametrize("each", [False, True])
def test_a_process_reward_model_of_transformers(tmp_path, each):
    prm, calls = classifier(saved(tmp_path, ["BAD", "GOOD"]), "GOOD"), []
    lm = TableLM(["good ", "bad ", "\n"], lambda prompt, generated: [0.3, 0.3, 0.3, 0.1])

    def judged(texts):
        calls.append(len(texts))
        return prm([f"so {text}" for text in texts])

    target = lm("x", max_tokens=3) * potential(judged, at="line", batched=True, each=each)
    exact = infer(reasoned(target), Enumerate())
    assert len(calls) <= 4  # one for each tick
    texts = list(target_measure(lm("x", max_tokens=3)).items())
    alone = {s: prm([f"so {s}"])[0] for text, _ in texts for s in [*steps(text), text]}
    masses = {t: m * math.exp(sum(alone[s] for s in (steps(t) if each else [t]))) for t, m in texts}
    assert math.exp(exact.log_evidence) == pytest.approx(sum(masses.values()), rel=1e-4)
    assert infer(reasoned(target), SMC(64), seed=0).log_evidence == pytest.approx(exact.log_evidence, abs=0.5)


def test_refusals():
    for arguments in ({"at": "end"}, {"at": "token"}, {"at": "line", "lookahead": 2}):
        with pytest.raises(InvalidArgument, match="each=True"):
            potential(reward, each=True, **arguments)
    with pytest.raises(InvalidArgument, match="each=3"):
        potential(reward, "line", each=3)
