"""A tick of SMC waits for the device twice at most for each kernel in use, whatever the number of
particles.

A draft that comes true saves a pass and its waits, and adds those of a draw: they are left out here.
"""

from collections import Counter

import pytest
import torch
from torch.overrides import TorchFunctionMode

from grammars import Regex
from inference import SMC, Importance
from inference.diagnostics import Step
from inference.progress import Progress
from inference.runtime import Runtime
from ppl import program, sample
from ppl.rng import Rng
from tests.engines.conftest import tiny

LM = tiny("llama")
WAITS = {
    "cpu",
    "item",
    "tolist",
    "__bool__",
    "__int__",
    "__float__",
    "__index__",
    "nonzero",
    "unique",
    "equal",
}


class Waits(TorchFunctionMode):
    """Counts what makes a program wait for its device: values that are fetched, and shapes that depend on them."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counter[str]()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        by_mask = name == "__getitem__" and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for index in (args[1] if isinstance(args[1], tuple) else (args[1],))
        )
        if name in WAITS or by_mask:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


class Ticks(Progress):
    """Takes note of the waits of each tick."""

    def __init__(self, waits: Waits) -> None:
        self.waits, self.ticks, self.resampled = waits, [], 0

    def update(self, step: Step, drawn: int) -> None:
        self.ticks.append(dict(self.waits.counts))
        self.resampled += step.resampled
        self.waits.counts.clear()


@program
def direct():
    return sample(LM("once", max_tokens=8))


@program
def masked():
    return sample(LM("once", max_tokens=8) & Regex("[a-z ]+"))


@program
def corrected():
    return sample(LM("once", max_tokens=8) ** 2 & Regex("[a-z ]+"))


@pytest.mark.parametrize("particles", [8, 64])
@pytest.mark.parametrize("model", [direct(), masked(), corrected()], ids=repr)
def test_two_waits_a_tick(model, particles):
    with Runtime(drafts=False) as runtime, Waits() as waits:
        ticks = Ticks(waits)
        SMC(particles, 1.0).run(model, Rng(0), runtime, ticks)
    assert ticks.resampled > 0 or model.program is direct
    steady = ticks.ticks[1:]  # the first reads the prompt
    assert steady
    assert max(sum(tick.values()) for tick in steady) <= 2, steady


def test_importance_sampling_waits_as_little():
    with Runtime(drafts=False) as runtime, Waits() as waits:
        ticks = Ticks(waits)
        Importance(8).run(direct(), Rng(0), runtime, ticks)
    assert max(sum(tick.values()) for tick in ticks.ticks[1:-1]) <= 1
