"""Single-site updates of program traces against brute force: πK = π and detailed balance, whatever becomes of the
other sites."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings

from grammars import Choice, Regex, prefix_predicate
from inference import AWRS, Enumerate, NoSurvivors, SingleSiteMH, TableLM, TableMDM, infer
from inference.retracing import Change, Retracing
from inference.runtime import Runtime
from inference.testing import TooManyPaths, check_invariant, check_together, check_unbiased
from inference.testing.programs import checked_after, corrected, foreseen, ragged, relabelled, uneven
from inference.testing.strategies import programs
from ppl import Categorical, InvalidArgument, condition, factor, guide, observe, potential, program, sample
from ppl.rng import Rng

LM = TableLM.random(["a", "b"], seed=31)
SPARSE = TableLM.random(["a", "b"], seed=12, sparsity=0.3)
SPELLED = TableLM.random(["a", "b", "ab"], seed=3)
MDM = TableMDM.random("ab", seed=6)
SINGLE = SingleSiteMH(1, 1, start_particles=1)


@prefix_predicate
def no_b(text):
    return "b" not in text


@program
def dependent():
    """Each text depends on those before, under masks, with an observation of all."""
    first = sample(LM("x", max_tokens=1) & Choice(["a", "b"]))
    second = sample(LM(first, max_tokens=2) & Regex("a?b?"))
    observe(LM(first + second, max_tokens=1), "a")
    condition(first != second)
    return first, second


@program
def pair():
    """A choice, and a text that depends on it."""
    side = sample(Categorical("xy", [2, 1]))
    factor(0.7 if side == "x" else -0.2)
    return side, sample(LM(side, max_tokens=1) & Choice(["a", "b"]))


@program
def changing():
    """How many sites there are, and what they are, depends on what is drawn."""
    kind = sample(Categorical(["one", "two", "none"], [3, 2, 1]))
    texts = [sample(LM(kind, max_tokens=1)) for _ in range({"one": 1, "two": 2, "none": 0}[kind])]
    factor(0.5 * len("".join(texts)) - 0.3 * len(texts))
    return kind, tuple(texts)


@program
def shifting():
    """Supports that change, so that draws cannot be kept, and some changes have no way back."""
    kind = sample(Categorical(["x", "y"], [1, 2]))
    number = sample(Categorical([1, 2] if kind == "x" else [2, 3, 4], [3, 1] if kind == "x" else None))
    text = sample(LM("s", max_tokens=1) & Choice(["a", ""] if number < 3 else ["b", ""]))
    factor(0.4 * number)
    return kind, number, text


@program
def kinds():
    """A site that is a text in one run and a finite choice in another, and texts of other tokens."""
    kind = sample(Categorical(["text", "finite", "tokens"]))
    targets = {
        "text": LM("k", max_tokens=1),
        "finite": Categorical(["", "a"], [1, 3]),
        "tokens": SPELLED("k", max_tokens=1),
    }
    return kind, sample(targets[kind])


@program
def spelled():
    """A text of several spellings: its tokens are kept, not its string; stop strings and limits differ."""
    kind = sample(Categorical(["x", "y"]))
    target = SPELLED(kind, max_tokens=1, stop="b") if kind == "x" else SPELLED(kind, max_tokens=2)
    text = sample(target & Regex("(a|b)*"))
    factor(0.3 * len(text))
    return kind, text


@program
def checked_before():
    """A text whose weight is random, under a target that does not change."""
    side = sample(Categorical(["x", "y"], [2, 1]))
    text = sample(LM("c", max_tokens=1) & no_b)
    factor(0.5 * len(text) - 0.2 * (side == "x"))
    return side, text


@program
def pooled():
    """Powers, products and rewards after a choice."""
    side = sample(Categorical(["x", "y"]))
    text = sample(guide(LM(side, max_tokens=1), LM("q", max_tokens=1), 0.5) * potential(len, at="token"))
    return side, text


@program
def sparse():
    """Tokens of probability 0 under some prompts."""
    side = sample(Categorical(["a", "b", "ab"]))
    return side, sample(SPARSE(side, max_tokens=2))


@program
def denoised():
    """Masked diffusion after a choice that may change its target."""
    side = sample(Categorical([1.0, 2.0]))
    fixed, moved = sample(MDM(length=1) ** 2), sample(MDM(length=1) ** side)
    return side, fixed, moved


PROGRAMS = (
    dependent(), changing(), shifting(), kinds(), spelled(), checked_before(), checked_after(),
    pooled(), sparse(), denoised(), relabelled(), uneven(), ragged(), corrected(), foreseen(),
)  # fmt: skip


@pytest.mark.parametrize("model", PROGRAMS, ids=repr)
def test_a_sweep_leaves_the_posterior_invariant(model):
    check_invariant(model, SINGLE)


@settings(max_examples=30)
@given(programs(max_statements=4))
def test_sweeps_leave_the_posteriors_of_random_programs_invariant(random):
    try:
        check_invariant(random.model(), SINGLE, max_paths=600)
    except TooManyPaths:
        reject()


@pytest.mark.parametrize("awrs", [AWRS(max_accepts=1), AWRS(2, 1, "counts")], ids=repr)
def test_random_weights_are_part_of_the_state(awrs):
    for model in (checked_before(), checked_after()):
        check_invariant(model, SINGLE, awrs=awrs)


def test_after_several_sweeps_a_chain_has_still_the_weight_of_its_start():
    check_unbiased(pair(), replace(SINGLE, sweeps=2))
    check_unbiased(pair(), replace(SINGLE, start_particles=2))


def test_chains_side_by_side_do_not_disturb_one_another():
    check_invariant(pair(), replace(SINGLE, chains=2))


def test_together_as_alone():
    check_together([pair(), relabelled(), changing()], SingleSiteMH(2, 6, start_particles=4))


# Proposals.


@program
def named():
    """A number and a text, with names."""
    number = sample(Categorical([0, 1, 2, 3], [1, 2, 3, 1]), name="number")
    text = sample(LM("n", max_tokens=1) & Choice(["a", "b", ""]), name="text")
    observe(LM(text * number, max_tokens=1), "a")
    return number, text


def neighbours(trace):
    number = trace["number"].outcome
    return Categorical([n for n in (number - 1, number, number + 1) if 0 <= n <= 3])


def rewritten(trace):
    return LM("n" + trace["text"].outcome, max_tokens=2)


@pytest.mark.parametrize(
    "proposals",
    [
        {"number": Categorical([0, 1, 2, 3, 4], [1, 1, 1, 2, 1])},
        {"number": neighbours},
        {"text": LM("other", max_tokens=2)},
        {"text": rewritten, "number": neighbours},
        {"text": LM("other", max_tokens=1) ** 0.5 & Choice(["a", "", "b"])},
    ],
    ids=repr,
)
def test_proposals_are_corrected_for(proposals):
    check_invariant(named(), replace(SINGLE, proposals=proposals))


def test_a_proposal_by_address_and_for_a_site_that_comes_and_goes():
    @program
    def sometimes():
        if sample(Categorical([True, False])):
            return sample(Categorical("xyz", [1, 2, 3]))
        return sample(Categorical("xy"), name="other")

    model = sometimes()
    address = next(
        s.trace[1].address for s in infer(model, Enumerate()).samples if s.trace[1].address.name is None
    )
    check_invariant(model, replace(SINGLE, proposals={address: Categorical("xyz", [2, 1, 1])}))


def test_a_proposal_that_cannot_draw_everything_leaves_the_rest_where_it_is():
    check_invariant(named(), replace(SINGLE, proposals={"number": Categorical([1, 2])}))


@pytest.mark.parametrize(
    ("proposal", "match"),
    [
        (LM("n", max_tokens=1) & no_b, "the proposal leaves tokens to checks"),
        (Categorical("ab"), "propose a text for a text"),
        (lambda trace: "a", "no target"),
    ],
)
def test_proposals_that_make_no_sense_are_refused(proposal, match):
    with pytest.raises(InvalidArgument, match=match):
        infer(named(), SingleSiteMH(sweeps=20, proposals={"text": proposal}))


def test_a_proposal_for_a_site_that_there_is_not_is_told():
    with pytest.warns(UserWarning, match="no sample has a site nmuber"):
        infer(named(), SingleSiteMH(sweeps=3, proposals={"nmuber": Categorical([1, 2])}))


def test_a_proposal_for_a_site_with_checks_is_refused():
    @program
    def model():
        return sample(LM("n", max_tokens=1) & no_b, name="text")

    with pytest.raises(InvalidArgument, match="its target leaves tokens to checks"):
        infer(model(), SingleSiteMH(proposals={"text": LM("n", max_tokens=1)}))


# What it costs, and what it is for.


def test_later_texts_are_scored_in_one_pass_and_not_drawn():
    long = TableLM.random(["a", "b"], seed=2)

    @program
    def titled():
        side = sample(Categorical(["x", "y"]))
        unchanged = sample(long("p", max_tokens=8) & Regex("[ab]{6}"))
        prompted = sample(long(side, max_tokens=8) & Regex("[ab]{6}"))
        return side, unchanged, prompted

    with Runtime() as runtime:
        method, rng = SingleSiteMH(), Rng(0)
        (run,) = method.start(titled(), rng, runtime).runs
        before = runtime.usage.calls
        retracing = Retracing(titled(), 1, rng, runtime)
        retracing.change([Change(run, run.visits[0])])
        assert retracing.drawn == 0
        assert runtime.usage.calls - before <= 1
        assert retracing.particles[0].value[1:] == run.particle.value[1:]


def test_long_chains_agree_with_the_exact_answer():
    exact = infer(dependent(), Enumerate())
    posterior = infer(dependent(), SingleSiteMH(8, 150, 20), seed=1)
    assert len(posterior) == 8 * 130
    for value, probability in exact.top(3):
        assert posterior.probability(value) == pytest.approx(probability, abs=0.05)
    assert 0.1 < np.mean([step.moved for step in posterior.steps[1:]]) <= 1.0
    assert {(s.trace[0].outcome, s.trace[1].outcome) for s in posterior.samples} == {
        s.value for s in posterior.samples
    }


def test_a_chain_without_a_run_has_no_samples():
    @program
    def never():
        condition(sample(LM("p", max_tokens=1)) == "q")

    posterior = infer(never(), SingleSiteMH(1, 3))
    assert posterior.log_evidence == -math.inf
    with pytest.raises(NoSurvivors, match="the condition was false"):
        posterior.top()


@pytest.mark.parametrize(
    "make",
    [
        lambda: SingleSiteMH(0),
        lambda: SingleSiteMH(sweeps=0),
        lambda: SingleSiteMH(sweeps=3, burn_in=3),
        lambda: SingleSiteMH(start_particles=0),
        lambda: SingleSiteMH(proposals=[1]),
        lambda: SingleSiteMH(proposals={"text": "a"}),
    ],
)
def test_bad_parameters(make):
    with pytest.raises(InvalidArgument):
        make()


def test_it_cannot_be_recorded():
    with pytest.raises(InvalidArgument, match="record=True"):
        infer(uneven(), SingleSiteMH(1, 2), record=True)
