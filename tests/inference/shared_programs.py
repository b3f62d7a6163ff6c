"""Programs that several test files run."""

from grammars import Regex, prefix_predicate
from inference import TableLM, TableMDM
from ppl import Categorical, condition, factor, potential, program, sample

LM = TableLM.random(["a", "b", "c"], seed=4)


@program
def two_texts():
    """A masked text, a coin, and a text with a stop whose prompt depends on both."""
    first = sample(LM("x", max_tokens=2) & Regex("[ab]*c?"))
    factor(0.7 * len(first))
    coin = sample(Categorical("uv", [1, 2]))
    second = sample(LM(first + coin, max_tokens=2, stop="c"))
    condition(first != second)
    return first, coin, second


@program
def looking_ahead():
    """A text whose weight is random: its reward is asked of a continuation that is drawn."""
    return sample(LM("f", max_tokens=1) * potential(lambda text: -len(text), at="token", lookahead=2))


@program
def scattered():
    """A masked-diffusion text that is filled in a random order."""
    return sample(TableMDM.random("ab", seed=5)(length=2, order="random"))


@program
def masked(lm):
    """A text of which some tokens are forced."""
    return sample(lm("ab", max_tokens=3) & Regex("a(ba|ab)?"))


@program
def free(lm):
    """A text without a constraint, the longer the better."""
    text = sample(lm("abab", max_tokens=3))
    factor(0.3 * len(text))
    return text


@prefix_predicate
def no_bb(text: str) -> bool:
    return "bb" not in text


@program
def checked(lm):
    """A text under a mask and a check."""
    return sample(lm("ab", max_tokens=3) & no_bb & Regex("[ab]+"))
