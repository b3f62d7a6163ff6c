"""Adaptive weighted rejection sampling: proper weights for each token, to rounding error, wherever it stops."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import Incremental, Regex, prefix_predicate
from inference import AWRS, SMC, Enumerate, Importance, TableLM, infer
from inference.estimators import log_share_of_first
from inference.kernels import KERNELS, awrs
from inference.progress import Progress
from inference.runtime import Runtime
from inference.site import Site
from inference.testing import EnumRng, check_kernel, check_unbiased, expectation
from inference.text import TextState
from ppl import InvalidArgument, program, sample
from ppl.compiler.normal_form import normal_form
from ppl.compiler.plan import plan_text
from ppl.rng import Rng

LETTERS = ("a", "b", "c", "d")
SETTINGS = [
    AWRS(),
    AWRS(max_accepts=1),
    AWRS(max_accepts=3),
    AWRS(max_rejects=1),
    AWRS(max_rejects=2),
    AWRS(max_accepts=3, max_rejects=2),
    *(AWRS(a, r, "recursive") for a in (2, 3) for r in (None, 1, 2)),
    *(AWRS(a, r, "counts") for a in (2, 3, 4) for r in (None, 1, 2)),
]


def run_estimator(masses: list[float], allowed: set[int], awrs: AWRS, rng: Rng) -> tuple[int | None, float]:
    """Return the token and the weight of one run on a single distribution."""
    with np.errstate(divide="ignore"):
        logits = torch.from_numpy(np.log(np.array(masses)))[None]
    draws = rng.without_replacement(logits, np.zeros(1, dtype=np.int64))
    run = awrs.begin(math.log(max(masses) / math.fsum(masses)))
    while not run.done:
        (draw,) = draws.next([0])
        run.see(draw, draw.token in allowed, rng)
    return run.token, math.exp(run.log_weight) * math.fsum(masses)


def law(masses: list[float], allowed: set[int], awrs: AWRS) -> dict[int, float]:
    def one(rng: Rng) -> dict[int, float]:
        token, weight = run_estimator(masses, allowed, awrs, rng)
        return {} if token is None or weight == 0.0 else {token: weight}

    return expectation(one)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1e-12, 1e-6, 0.01, 0.1, 0.5, 1.0, 3.0]), min_size=1, max_size=4).filter(
        any
    ),
    st.sets(st.integers(0, 3)),
    st.sampled_from(SETTINGS),
)
def test_each_token_has_its_own_mass_in_expectation(masses, allowed, awrs):
    """E[w 1{x}] = p(x) 1[x allowed], to a relative 1e-10: also where all that is allowed has mass 1e-12."""
    actual = law(masses, allowed, awrs)
    for token, mass in enumerate(masses):
        expected = mass if token in allowed else 0.0
        assert actual.get(token, 0.0) == pytest.approx(expected, rel=1e-10, abs=0.0)


def test_one_allowed_token_among_many_is_found_with_its_exact_weight():
    masses = [1.0] * 300 + [1e-12]
    token, weight = run_estimator(masses, {300}, AWRS(estimator="recursive"), Rng(0))
    assert token == 300
    assert weight == pytest.approx(1e-12, rel=1e-9)


def test_an_exhausted_recursion_knows_the_mass():
    token, weight = run_estimator([0.5, 0.3, 0.2], {0, 2}, AWRS(4, None, "recursive"), Rng(3))
    assert token in (0, 2)
    assert weight == pytest.approx(0.7, rel=1e-12)


@pytest.mark.parametrize(
    "events", [[1.0, 0.3, 0.3], [1.0, 1e-13, 1e-13], [1.0, 0.9, 0.5, 0.2, 0.2, 0.1], [1.0] * 3]
)
def test_the_integral_of_repetitions_is_that_of_geometric_counts(events):
    """Against a sum over the counts: G_e repetitions with probability (1 - q_e)^G q_e before event e."""
    accepts, rejects = 1, len(events) - 2
    if min(events) < 0.05:
        q = events[
            -1
        ]  # two equal small ones: E[1/(2 + G + G')] by its own series, Σ (g+1) q² (1-q)^g / (2+g)
        g = np.concatenate([np.arange(1e6), np.logspace(6, 16, 400_001)])
        f = (g + 1) * q * q * np.exp(g * np.log1p(-q)) / (accepts + rejects + g)
        expected = f[: 10**6].sum() + np.trapezoid(f[10**6 :], g[10**6 :])
        assert math.exp(log_share_of_first(accepts, rejects, events)) == pytest.approx(expected, rel=1e-3)
        return
    counts = np.zeros(4000)
    counts[0] = 1.0
    for q in events:
        counts = np.convolve(counts, q * (1 - q) ** np.arange(4000))[:4000]
    expected = float((counts * accepts / (accepts + rejects + np.arange(4000))).sum())
    assert math.exp(log_share_of_first(accepts, rejects, events)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("settings_", [AWRS(), AWRS(max_rejects=2), AWRS(3, None, "counts"), AWRS(1)])
@pytest.mark.parametrize("pattern", ["[ab]d?", "c|ad", "[abcd]+"])
def test_the_kernel_combines_a_mask_and_a_check(settings_, pattern):
    """The mask removes what it can, rejection pays for the rest; the end is checked like any symbol."""
    lm = TableLM.random(LETTERS, seed=4)
    target = lm("x", max_tokens=2) & Regex(pattern) & Regex("[acd]*").by_check()
    plan = plan_text(normal_form(target))
    assert plan.kernel == "awrs"
    state = TextState.begin(plan, Site(plan, settings_))
    while not state.finished:
        expected = {}
        for token, p in enumerate(
            lm.logprobs(state.contexts[0].prompt, state.contexts[0].generated()).exp().tolist()
        ):
            text = state.data + (lm.vocabulary.tokens[token] or b"")
            ends = token == lm.vocabulary.end and all(
                c.matches(state.data) for c in (Regex(pattern), Regex("[acd]*"))
            )
            if ends or (token != lm.vocabulary.end and not state.at_limit and _viable(text, pattern)):
                expected[token] = p
        check_kernel(KERNELS[state.kernel], state, expected)
        if not expected:
            break
        state.advance(min(expected))


def _viable(text: bytes, pattern: str) -> bool:
    both = (Regex(pattern) & Regex("[acd]*")).matcher(TableLM.random(LETTERS, seed=4).vocabulary)
    return both.consume(text)


FEW = [AWRS(), AWRS(max_rejects=1), AWRS(2, 2, "counts"), AWRS(1)]


@pytest.mark.parametrize("settings_", FEW)
@pytest.mark.parametrize("method", [Importance(1), Enumerate()], ids=repr)
def test_programs_are_unbiased(settings_, method):
    lm = TableLM.random(["a", "b"], seed=5)

    @program
    def checked() -> tuple[str, str]:
        first = sample(lm("x", max_tokens=2) & Regex("a?b?").by_check())
        return first, sample(lm(first, max_tokens=1, stop="b") & Regex("a?").by_check())

    check_unbiased(checked(), method, awrs=settings_)


@pytest.mark.parametrize("settings_", FEW)
def test_a_resampled_population_is_unbiased(settings_):
    lm = TableLM.random(["a"], seed=5)

    @program
    def even() -> str:
        return sample(lm("x", max_tokens=2) & Regex("(aa)*").by_check())

    check_unbiased(even(), SMC(2, 1.0), awrs=settings_)


@pytest.mark.parametrize("settings_", FEW)
def test_characters_of_several_tokens_are_unbiased(settings_):
    """Within a character a predicate masks, and only checks elsewhere; particles of one tick are at both places."""
    lm = TableLM.random([b"\xc3", b"\xa9"], seed=7)
    acute = prefix_predicate(lambda text: set(text) <= {"é"}, complete=bool)

    @program
    def spelled() -> str:
        return sample(lm("x", max_tokens=2) & acute)

    check_unbiased(spelled(), SMC(2, 1.0), awrs=settings_)


@pytest.mark.parametrize("how", ["prefix", "automaton"])
def test_a_character_that_nobody_wants_costs_no_search(how):
    """After its first byte only its completions are drawn, not the rest of the vocabulary."""
    others = [chr(c) for c in range(0x4E00, 0x4E00 + 300)]
    lm = TableLM([b"\xc3", b"\xa9", *others], lambda prompt, generated: [0.5, *[0.5 / 302] * 302])
    plain = {
        "prefix": prefix_predicate(lambda text: "é" not in text),
        "automaton": Incremental("", lambda state, c: None if c == "é" else state, lambda state: True),
    }

    @program
    def short() -> str:
        return sample(lm("", max_tokens=3) & plain[how])

    with Runtime() as runtime:
        SMC(8).run(short(), Rng(0), runtime, Progress())
        (site,) = runtime.sites.values()
    assert site.parts[0].masks, "no particle was within a character"
    assert site.tally.draws <= 4 * site.tally.tokens


def test_changing_between_mask_and_check_between_ticks_keeps_the_measure(monkeypatch):
    seen: set[str] = set()

    def flip(self: Site) -> None:
        for part in self.parts:
            part.how = "check" if self.tally.tokens % 2 else "mask"  # changes at each tick of one particle
            seen.add(part.how)

    monkeypatch.setattr(Site, "adapt", flip)
    lm = TableLM.random(["a", "b"], seed=6)

    @program
    def adaptive() -> str:
        return sample(lm("x", max_tokens=2) & Regex("ab?|b"))

    check_unbiased(adaptive(), Importance(1))
    assert seen == {"mask", "check"}


def test_all_particles_share_verdicts(monkeypatch):
    lm = TableLM(["a", "b"], lambda prompt, generated: [0.5, 0.3, 0.2])
    asked: list[tuple[bytes, int]] = []
    original: Callable[[TextState, int], bool] = TextState.passes

    def passes(self: TextState, token: int) -> bool:
        asked.append((self.data, token))
        return original(self, token)

    monkeypatch.setattr(TextState, "passes", passes)

    @program
    def short() -> str:
        return sample(lm("", max_tokens=3) & Regex("a*").by_check())

    infer(short(), SMC(64), seed=1)
    assert asked
    assert len(asked) == len(set(asked))


def test_the_checks_are_counted():
    lm = TableLM(["a", "b"], lambda prompt, generated: [0.5, 0.3, 0.2])
    target = lm("", max_tokens=2) & Regex("a*").by_check()

    @program
    def short() -> str:
        return sample(target)

    with Runtime() as runtime:
        SMC(8).run(short(), Rng(0), runtime, Progress())
        (site,) = runtime.sites.values()
    tally = site.tally
    assert 0 < tally.verdicts <= tally.draws
    assert tally.accepted <= tally.draws
    assert site.parts[0].checks <= tally.verdicts
    assert tally.kernels["awrs"] == tally.tokens


def test_slow_masks_give_way_to_cheap_checks_and_back():
    lm = TableLM(["a", "b"], lambda prompt, generated: [0.5, 0.3, 0.2])
    site = Site(plan_text(normal_form(lm("") & Regex("[ab]+"))), AWRS())
    (part,) = site.parts
    assert part.how == "mask"
    part.masks, part.mask_seconds, part.spent = 100, 1.0, 1.0
    part.checks, part.check_seconds = 100, 1e-3
    site.tally.kernels["masked"], site.tally.mass, site.tally.tokens = 100, 90.0, 100
    site._since -= 2.0
    site.adapt()
    assert part.how == "check"
    part.spent = 10.0
    site._since -= 12.0
    site.adapt()
    assert part.how == "mask"


def test_a_pinned_part_never_changes():
    lm = TableLM(["a", "b"], lambda prompt, generated: [0.5, 0.3, 0.2])
    for constraint, how in ((Regex("[ab]+").by_mask(), "mask"), (Regex("[ab]+").by_check(), "check")):
        site = Site(plan_text(normal_form(lm("") & constraint)), AWRS())
        (part,) = site.parts
        part.masks = part.checks = 100
        part.mask_seconds = part.check_seconds = part.spent = 50.0
        site._since -= 50.0
        site.adapt()
        assert part.how == how


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_accepts": 0},
        {"max_accepts": 1.5},
        {"max_rejects": 0},
        {"estimator": "best"},
        {"max_accepts": 1, "estimator": "counts"},
    ],
)
def test_bad_settings_are_refused(arguments):
    with pytest.raises(InvalidArgument):
        AWRS(**arguments)


def test_same_draws_in_the_plain_generator_and_by_enumeration():
    """The block-wise draws report the masses that the definition gives."""
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(3, 700)) * 4)
    logits[0, :600] = -torch.inf
    draws = Rng(0).without_replacement(logits, np.array([0, 1, 1, 2]))
    left = logits[[0, 1, 1, 2]].clone()
    for k in range(700):
        members = [0, 1, 2, 3] if k < 100 else [1, 2, 3]  # of the first, 100 tokens have mass
        for i, draw in zip(members, draws.next(members), strict=True):
            before = float(torch.logsumexp(left[i], -1))
            assert draw.log_mass == pytest.approx(float(left[i, draw.token]), rel=1e-12)
            assert draw.log_before == pytest.approx(before, rel=1e-12)
            left[i, draw.token] = -torch.inf
            assert draw.log_after == pytest.approx(float(torch.logsumexp(left[i], -1)), rel=1e-12)
    assert bool(torch.isinf(left).all())


def test_draws_list_everything_once_even_where_float32_underflows():
    logits = torch.tensor([[0.0, -200.0, -400.0, -torch.inf, -30.0, -401.0]])
    draws = Rng(0).without_replacement(logits, np.zeros(1, dtype=np.int64))
    made = [draws.next([0])[0] for _ in range(6)]
    assert [d.token for d in made][:2] == [0, 4]
    assert sorted(d.token for d in made[:5]) == [0, 1, 2, 4, 5]
    assert made[4].log_after == -math.inf
    assert made[5].token == -1
    assert made[2].log_before == pytest.approx(-200.0)


def test_the_order_of_draws_has_the_right_law():
    logits = torch.tensor([[0.0, -1.0, -2.0, -0.5]])
    p = logits.double().softmax(-1)[0].numpy()
    n = 40_000
    draws = Rng(1).without_replacement(logits, np.zeros(n, dtype=np.int64))
    first = np.array([d.token for d in draws.next(range(n))])
    second = np.array([d.token for d in draws.next(range(n))])
    statistic = sum(
        (np.sum((first == i) & (second == j)) - n * e) ** 2 / (n * e)
        for i in range(4)
        for j in range(4)
        if i != j
        for e in [p[i] * p[j] / (1 - p[i])]
    )
    assert statistic < 38.0  # chi-square with 11 degrees of freedom: exceeded with probability 1e-4


def test_the_estimate_does_not_depend_on_the_enumeration():
    assert isinstance(
        EnumRng().without_replacement(torch.zeros(1, 2), np.zeros(1, dtype=np.int64)).next([0]), list
    )
    assert awrs is KERNELS["awrs"]
