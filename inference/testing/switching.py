"""A check that sites which change between masks and checks, by what these cost, change no law.

Elsewhere the clock of enumerated runs keeps sites as they are. Here masks take long after some texts, by a clock that
only they move, so that sites change in some runs and not in others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self
from unittest.mock import patch

import numpy as np

from grammars.constraint import Constraint, Matcher
from grammars.vocabulary import Mask, Vocabulary
from inference import parts
from inference.engines.table import TableLM
from inference.estimators import AWRS
from inference.methods import Importance
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing.checks import compare
from inference.testing.enum_rng import expectation
from inference.testing.oracle import measure
from ppl import program, sample
from ppl.rng import Rng


class _Slow(Matcher):
    """A matcher that allows everything, and whose mask takes long after some texts."""

    seconds = 0.0

    def __init__(self, vocabulary: Vocabulary, data: bytes = b"") -> None:
        super().__init__(vocabulary)
        self.data = data

    def consume(self, data: bytes) -> bool:
        self.data += data
        return True

    def is_accepting(self) -> bool:
        return True

    def fork(self) -> Self:
        return type(self)(self.vocabulary, self.data)

    def mask(self) -> Mask:
        if len(self.data) == 3 and self.data.endswith(b"b"):
            _Slow.seconds += 100.0
        return self.vocabulary.text_mask.copy()


@dataclass(frozen=True)
class _Anything(Constraint):
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return _Slow(vocabulary)


class _Clock:
    """In place of the module `time` of the parts of sites."""

    @staticmethod
    def perf_counter() -> float:
        return _Slow.seconds


def check_switching(*, rough: bool) -> None:
    """Check the law of a run whose site changes at times, with drafts from a rough model or without.

    Raises
    ------
    AssertionError
        If a mass is not what it should be, or the site never changed.
    """
    lm = TableLM.random(["a", "b"], seed=7)
    if rough:
        lm.rough, lm.pass_cost, lm.rough_cost = TableLM.random(["a", "b"], seed=9), 64.0, 1.0

    @program
    def anything() -> str:
        return sample(lm("ab", max_tokens=4) & _Anything())

    seen = set[str]()

    def run(rng: Rng) -> dict[Any, float]:
        with Runtime(AWRS(), clock=lambda: 0.0) as runtime:
            result = Importance(1).run(anything(), rng, runtime, Progress())
            seen.update(part.how for s in runtime.sites.values() for part in s.parts)
        weights = zip(result.particles, np.exp(result.log_weights).tolist(), strict=True)
        return {p.value: w for p, w in weights if p.finished}

    with patch.object(parts, "time", _Clock):
        actual = expectation(run, max_paths=1_000_000)
    assert seen == {"mask", "check"}, f"the site was only ever {seen}"
    compare(actual, measure(anything()), "a site that changes between masks and checks", 1e-10)
