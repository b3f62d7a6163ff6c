"""Programs of the suite: small ones that between them reach every construct."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from grammars.choice import Choice
from grammars.regex import Regex
from inference.denoisers.table import TableMDM
from inference.engines.drafted import DraftedLM
from inference.engines.table import TableLM
from inference.engines.warped import WarpedLM
from inference.methods.base import Method
from inference.nesting import nested, normalised
from ppl.potentials import potential
from ppl.primitives import condition, factor, memo, observe, sample
from ppl.program import Model, program
from ppl.targets import Categorical, guide
from ppl.trace import Trace

LM = TableLM.random(["a", "b"], seed=5)
DRAFTING = TableLM.random(["a", "b"], seed=5)
DRAFTING.pass_cost = 16.0
FORESEEING = TableLM.random(["a", "b"], seed=41)
FORESEEING.rough = TableLM.random(["a", "b"], seed=42)
FORESEEING.pass_cost, FORESEEING.rough_cost = 64.0, 1.0
DRAFTED = DraftedLM(FORESEEING, TableLM.random(["a", "b"], seed=42), cost=0.02)
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
def rough() -> str:
    """Texts that are guessed by another model, with the randomness of the draws to come."""
    text: str = sample(FORESEEING("ab", max_tokens=2))
    factor(0.3 * len(text))
    return text


@program
def drafted() -> str:
    """Texts that a draft model guesses."""
    text: str = sample(DRAFTED("ab", max_tokens=2))
    factor(0.3 * len(text))
    return text


def _three(seed: int) -> Callable[[str, tuple[int, ...]], list[float]]:
    """Return the probabilities of texts of three tokens, each of two."""

    def probs(prompt: str, generated: tuple[int, ...]) -> list[float]:
        if len(generated) >= 3:
            return [0.0, 0.0, 1.0]
        first = 0.2 + 0.6 * TableLM.random(["a", "b"], seed=seed).logprobs((), generated).exp()[0].item()
        return [first, 1.0 - first, 0.0]

    return probs


THREE = TableLM(["a", "b"], _three(1), rough=TableLM(["a", "b"], _three(2)), pass_cost=64.0, rough_cost=1.0)


@program
def copied() -> str:
    """Texts that are copied by how they begin, and weigh less the longer they are."""
    begins = potential(lambda text: float(text[:1].count("a")), at="token")
    text: str = sample(THREE("q", max_tokens=4) * begins)
    factor(-0.9 * len(text))
    return text


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


def flipped(trace: Trace) -> Categorical[str]:
    """Propose the label that a run does not have, mostly."""
    return Categorical(["x", "y"], [1, 4] if trace["label"].outcome == "x" else [3, 1])


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


MODELS: tuple[Model[Any], ...] = (two_sites(), ragged(), dead_ends())
