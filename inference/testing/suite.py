"""A small fixed suite: programs that between them reach every construct, and the checks that all must pass.

`check_method(method)` is the gate for a new method; `run_suite()` is what the mutants must fail.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from grammars.choice import Choice
from grammars.regex import Regex
from inference.conditional import CONDITIONAL_SCHEMES
from inference.denoisers.table import TableMDM
from inference.engines.table import TableLM
from inference.engines.warped import WarpedLM
from inference.estimators import AWRS
from inference.learned_twist import learn_twist
from inference.methods import (
    SMC,
    AdaptiveConsistency,
    AdaptiveRejection,
    BeamSearch,
    BestFirst,
    Enumerate,
    FirstFinished,
    Importance,
    ParticleGibbs,
    ParticleIndependentMH,
    PrunedEnriched,
    Rejection,
    ResampleMoveSMC,
    SingleSiteMH,
    SteeringSMC,
    SuffixMCMC,
    TemperedSMC,
    Until,
)
from inference.methods.base import Method
from inference.nesting import nested, normalised
from inference.resampling import SCHEMES
from inference.testing.checks import check_drawing, check_resampling, check_together, check_unbiased
from inference.testing.invariance import check_conditional_resampling, check_invariant
from inference.testing.rejuvenation import check_rejuvenation
from inference.testing.search_checks import check_heaviest, check_reading_order, check_shortest
from inference.testing.variance import check_evidence_variance
from ppl.errors import InvalidArgument
from ppl.potentials import potential
from ppl.primitives import condition, factor, memo, observe, sample
from ppl.program import Model, program
from ppl.targets import Categorical, guide
from ppl.trace import Trace

LM = TableLM.random(["a", "b"], seed=5)
DRAFTING = TableLM.random(["a", "b"], seed=5)
DRAFTING.pass_cost = 16.0
WARPED = WarpedLM(LM, temperature=1.6, top_p=0.9, length=2)
MDM = TableMDM.random("ab", seed=5)
JOINT = TableMDM.of_joint("ab", {"aa": 0.4, "ba": 0.35, "bb": 0.25})


@program
def two_sites() -> tuple[str, str]:
    """A masked text, a factor, then a direct text whose prompt depends on the first."""
    first: str = sample(LM("x", max_tokens=2) & Regex("ab?|b"))
    factor(0.7 * len(first))
    second: str = sample(LM(first, max_tokens=1))
    condition(first != second)
    return first, second


@program
def ragged() -> tuple[str, str]:
    """Runs at different sites in one tick, that end at different ticks and die in different places."""
    kind: str = sample(Categorical(["short", "long", "never"], [2, 3, 1]) & Choice(["short", "long"]))
    if kind == "short":
        text: str = sample(LM("s", max_tokens=1) & Choice(["a", "b"]))
        factor(-0.5)
    else:
        text = sample(LM("l", max_tokens=2, stop="ab"))
        observe(LM(text, max_tokens=2), "b")
    condition(text != "b")
    return kind, memo(str.upper, text)


@program
def dead_ends() -> str:
    """A conjunction whose masks let a prefix through that no text completes within the limit."""
    text: str = sample(LM("d", max_tokens=2) & Regex("a|b{3}|ab") & Regex("[ab]*b|a"))
    factor(0.3 if text == "a" else -0.2)
    return text


@program
def rejected() -> str:
    """A mask and a check together, with a stop: the mask lets through what the check rejects."""
    text: str = sample(LM("r", max_tokens=2, stop="ab") & Regex("[ab]{1,2}") & Regex("b?a?").by_check())
    factor(0.4 if text == "b" else 0.0)
    return text


def _pleasant(text: str) -> float:
    return 0.6 * text.count("a") - 0.1


@program
def corrected() -> str:
    """Guidance with a reward asked early, in which some runs end while others write on."""
    target = guide(LM("p", max_tokens=2, stop="ab"), LM("q", max_tokens=2, stop="ab"), 0.7)
    return sample(target * potential(_pleasant, at="token"))


@program
def forced() -> str:
    """Texts that are partly forced, so that particles run ahead of each other."""
    text: str = sample(DRAFTING("ab", max_tokens=3) & Regex("a(ba|ab)?"))
    factor(0.2 * len(text))
    return text


@program
def repeating() -> str:
    """Texts whose tokens are guessed from those before."""
    return sample(DRAFTING("ab", max_tokens=3))


@program
def pooled() -> str:
    """A product of a flattened and a plain expert, with a reward at the end."""
    return sample(LM("p", max_tokens=1) ** 0.5 * LM("r", max_tokens=1) * potential(_pleasant))


@program
def warped() -> str:
    """A warped model that writes under a check and is observed, beside the one that it warps."""
    text: str = sample(WARPED("w", max_tokens=2) & Regex("a?b?|ba"))
    observe(WARPED("o", max_tokens=2), text)
    return text + sample(LM("w", max_tokens=1))


@program
def filled() -> str:
    """A sharpened masked-diffusion text whose order follows what is visible."""
    return sample(MDM(length=2, order="confident") ** 2 * potential(_pleasant, at="token"))


def _short(text: str) -> float:
    return 0.3 if len(text) <= 1 else -math.inf


def _only_b(text: str) -> float:
    return -math.inf if "a" in text else 0.4


@program
def foreseen() -> str:
    """A reward that is asked of continuations, which it all rules out, though the text has weight."""
    return sample(LM("f", max_tokens=1) * potential(_short, at="token", lookahead=2))


@program
def guessed() -> str:
    """A reward that rules out what a denoiser guesses on the way."""
    return sample(JOINT(length=2, order="left_to_right") * potential(_only_b, at="token"))


@program
def uneven() -> tuple[str, str]:
    """Runs of different weights before the first token, and of different lengths."""
    kind: str = sample(Categorical(["x", "y"], [2, 1]))
    factor(1.0 if kind == "x" else -0.7)
    return kind, sample(LM(kind, max_tokens=2) & Regex("a|ba?"))


@program
def relearned() -> str:
    """A text of one token that is checked, of which one is worth less."""
    text: str = sample(LM("r", max_tokens=1) & Regex("a?").by_check())
    factor(-0.4 * len(text))
    return text


@program
def relabelled() -> tuple[str, str, tuple[str, ...]]:
    """A label that later sites depend on: how many there are, what they may be, and a prompt."""
    label: str = sample(Categorical(["x", "y"], [2, 1]), name="label")
    text: str = sample(LM(label, max_tokens=1) & Choice(["a", "b"]), name="text")
    marks = tuple(
        sample(Categorical("pq" if label == "x" else "qr", [1, 3])) for _ in range(1 + (label == "y"))
    )
    factor(0.6 if text == "a" else -0.3 * len(marks))
    return label, text, marks


@program
def labelled(label: str) -> str:
    """A text after a given label."""
    return sample(LM(label, max_tokens=1))


@program
def checked_after() -> tuple[str, str]:
    """A text that is checked, after a choice that changes its target."""
    label: str = sample(Categorical(["x", "y"], [2, 1]))
    text: str = sample(LM(label, max_tokens=1) & Regex("a?").by_check())
    factor(0.4 * len(text))
    return label, text


@program
def tossed() -> str:
    """Coins that are tossed one run after the other before any text begins."""
    coin: str = sample(Categorical(["x", "y", "z"], [1, 2, 3]))
    condition(coin != "z")
    return coin


@program
def interleaved() -> str:
    """Runs that have drawn unequal numbers of values by the same tick."""
    text: str = sample(LM("i", max_tokens=1) & Regex("[ab]"))
    if text == "a":
        text += sample(Categorical(["x", "y"], [1, 3]))
        factor(0.6 if text == "ax" else -0.4)
    return text + sample(LM(text[-1], max_tokens=1) & Regex("a?"))


SPELLING = TableLM.random(["a", "b", "ab"], seed=8)


@program
def respelled() -> tuple[str, str, str]:
    """A text that is spelled in two ways, a value that is no text, and another text."""
    text: str = sample(SPELLING("s", max_tokens=2) & Choice(["ab", "b"]))
    coin: int = sample(Categorical([1, 2], [1, 3]))
    factor(0.2 * coin)
    return text, "x" * coin, sample(SPELLING(text * coin, max_tokens=1) & Choice(["a", "ab"]))


def _flipped(trace: Trace) -> Categorical[str]:
    """Propose the label that a run does not have, mostly."""
    return Categorical(["x", "y"], [1, 4] if trace["label"].outcome == "x" else [3, 1])


MODELS: tuple[Model[Any], ...] = (two_sites(), ragged(), dead_ends())

AWRS_SETTINGS = (
    AWRS(),
    AWRS(max_accepts=1),
    AWRS(max_rejects=1),
    AWRS(2, 2, "counts"),
    AWRS(3, None, "counts"),
)


def check_method(method: Method) -> None:
    """Check that a method is unbiased on the suite's programs; give it few particles."""
    for model in MODELS:
        check_unbiased(model, method)


@program
def stepwise() -> str:
    """A text whose steps, which end at a "b", multiply in their rewards."""
    return sample(LM("s", max_tokens=3) * potential(_pleasant, at="b", each=True))


@program
def hurried() -> str:
    """Runs of different lengths and weights, some of which die."""
    kind: str = sample(Categorical(["x", "y"], [2, 1]))
    factor(0.5 if kind == "x" else -0.5)
    text: str = sample(LM(kind, max_tokens=1))
    condition(text != "b")
    return kind + text


@program
def late() -> str:
    """A run that begins badly, and gains at its end."""
    kind: str = sample(Categorical(["x", "y"], [9, 1]))
    text: str = sample(LM(kind, max_tokens=1))
    factor(4.0 if kind == "y" else 0.0)
    return kind + text


def run_search() -> None:
    """Check what search and early stopping claim."""
    for model in (uneven(), two_sites(), late()):
        check_heaviest(model, BestFirst(samples=3, log_bound=4.0))
        check_heaviest(model, BestFirst(batch=1, log_bound=4.0))
        check_unbiased(model, BestFirst(samples=100))
    check_shortest(hurried(), FirstFinished(2, 1))
    check_shortest(hurried(), FirstFinished(3, 2))
    check_reading_order(hurried(), AdaptiveConsistency(3, confidence=0.8, batch=3))


def run_chains() -> None:
    """Check that the kernels of Markov chains leave posteriors invariant."""
    gibbs = ParticleGibbs(2, 1, start_particles=1, ess_threshold=1.0)
    suffix = SuffixMCMC(1, 1, start_particles=1)
    for chain in (gibbs, suffix, replace(suffix, cut="entropy"), ParticleIndependentMH(1, 1)):
        check_invariant(uneven(), chain)
    single = SingleSiteMH(1, 1, start_particles=1)
    check_invariant(relabelled(), single)
    check_invariant(checked_after(), single)
    check_unbiased(uneven(), replace(single, sweeps=2))
    check_invariant(
        relabelled(), replace(single, proposals={"label": _flipped, "text": LM("z", max_tokens=2)})
    )
    check_unbiased(filled(), gibbs)
    for scheme in CONDITIONAL_SCHEMES:
        check_conditional_resampling(scheme, np.array([0.45, 0.2, 0.35]))


def run_moves() -> None:
    """Check that moves on the way leave intermediate targets invariant, and resample-move SMC unbiased."""
    for ticks, lag in ((1, None), (2, None), (2, 2)):
        check_rejuvenation(interleaved(), ticks, lag=lag)
    check_rejuvenation(uneven(), 1)
    check_rejuvenation(uneven(), 2, lag=2)
    check_unbiased(dead_ends(), ResampleMoveSMC(2, every=2, lag=1, ess_threshold=1.0))


@program
def weighed_inside(method: Method) -> tuple[str, str]:
    """A nested program whose evidence depends on a value before it, and the posterior of another."""
    side: str = sample(Categorical(["x", "y"], [1, 2]))
    text: str = sample(nested(weighed_text(side), method))
    return text, sample(normalised(weighed_text(side)))


@program
def weighed_text(prompt: str) -> str:
    """A text that is worth more after one prompt than after another."""
    text: str = sample(LM(prompt, max_tokens=1) & Regex("a|b"))
    factor(0.9 if text + prompt == "ax" else -0.4)
    return text


def run_steering() -> None:
    """Check that SMC without replacement is unbiased."""
    for size in (1, 2, 4):
        check_unbiased(respelled(), SteeringSMC(size))
    check_unbiased(two_sites(), SteeringSMC(2))
    check_unbiased(ragged(), SteeringSMC(2))
    check_unbiased(relearned(), SteeringSMC(2, draws=2))


def run_nesting() -> None:
    """Check that nested programs have their measures."""
    check_unbiased(weighed_inside(Importance(2)), Importance(1))


def run_twists() -> None:
    """Check that learned twists change neither posterior nor evidence, and are used for their own models only."""
    check_unbiased(uneven(), SMC(2, 1.0, twist=learn_twist(uneven(), 6)))
    check_unbiased(rejected(), SMC(1, twist=learn_twist(rejected(), 6)))
    check_unbiased(relearned(), SMC(1, twist=2))
    for other in (relearned(), labelled("y")):
        try:
            learn_twist(labelled("x"), 1).require(other)
        except InvalidArgument:
            continue
        raise AssertionError(f"a twist that was learned from labelled('x') was taken for {other!r}")


def run_suite() -> None:
    """Run the checks that the mutants must fail."""
    for scheme in SCHEMES:
        check_resampling(scheme, np.array([0.5, 0.15, 0.35]))
    check_drawing(np.array([0.5, 0.15, 0.35]), 3)
    for model in MODELS:
        check_unbiased(model, Enumerate())
        check_unbiased(model, Importance(1))
        check_unbiased(model, BeamSearch(100))
    check_unbiased(dead_ends(), Until(Importance(1), runs=2))
    for awrs in AWRS_SETTINGS:
        check_unbiased(rejected(), Enumerate(), awrs=awrs)
        check_unbiased(rejected(), Importance(1), awrs=awrs)
    check_unbiased(dead_ends(), Rejection(2, log_bound=0.3))
    check_unbiased(relearned(), AdaptiveRejection(2, batch=1))
    check_unbiased(tossed(), AdaptiveRejection(2, batch=2))
    run_twists()
    check_unbiased(dead_ends(), SMC(2, 1.0))
    check_unbiased(two_sites(), SMC(2, 1.0))
    check_unbiased(ragged(), SMC(2, 1.0))
    check_unbiased(corrected(), SMC(1, bridge=2))
    check_unbiased(pooled(), TemperedSMC(1, (0.4, 1.0)))
    check_unbiased(pooled(), TemperedSMC(1, (0.4, 1.0), start=0.5))
    check_unbiased(uneven(), PrunedEnriched(2, 1.0, 1.0))
    check_unbiased(forced(), SMC(2, 1.0))
    check_unbiased(repeating(), Importance(1))
    check_unbiased(stepwise(), Importance(1))
    check_evidence_variance(uneven(), SMC(2, 1.0, "multinomial"))
    check_evidence_variance(uneven(), SMC(2, 1.0, "ssp"))
    check_together([*MODELS, warped(), *MODELS, warped()], SMC(3))
    check_unbiased(warped(), Enumerate())
    check_unbiased(warped(), Importance(1))
    for model in (foreseen(), guessed()):
        check_unbiased(model, Importance(1))
    for model in (corrected(), pooled(), filled()):
        check_unbiased(model, Enumerate())
        check_unbiased(model, Importance(1))
        check_unbiased(model, SMC(2, 1.0))
    run_search()
    run_chains()
    run_steering()
    run_nesting()
    run_moves()
