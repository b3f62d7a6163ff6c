"""Methods: seven ways from a case to weighted answers, with N particles each.

================  ==========================================  ===============================================
method            the model's tokens are                      weights
================  ==========================================  ===============================================
base              drawn freely                                of the model
masked            drawn from masks, where there are masks     thrown away: a heuristic
rejection_local   checked and rejected, one by one            thrown away: a heuristic
rerank            drawn freely                                0 for a text that violates the constraint
twisted           drawn freely, then checked                  0 from the first violation on; resampling
masked_twisted    drawn from masks, the rest then checked     of the masks, 0 from the first violation on;
                                                              resampling
awrs              drawn from masks, the rest checked and      of the masks, and unbiased estimates of what
                  rejected, one by one                        passes the checks; resampling
================  ==========================================  ===============================================

The last four have the same target, the model conditioned on the constraint; `base` is the model. The target of `masked`
and `rejection_local` is distorted. `masked` leaves out what the constraint can only check, as libraries for constrained
decoding do, so that its texts may be invalid. Where a constraint is all mask, `masked_twisted` and `awrs` are the same.

Reference: Lipkin et al. (2025), *Fast controlled generation from language models with adaptive weighted rejection
sampling*: its baselines are `base`, `rejection_local` (LCD), `rerank` and `twisted`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.domains.case import Case
from grammars import And, Constraint, Vocabulary
from inference import AWRS, SMC, Importance, LocallyConstrained, Posterior, infer
from inference.methods import Method
from ppl import condition, program, sample
from ppl.targets import Text


@program
def free(text: Text) -> str:
    return sample(text)


@program
def constrained(text: Text, constraint: Constraint) -> str:
    return sample(text & constraint)


@program
def filtered(text: Text, constraint: Constraint) -> str:
    answer = sample(text)
    condition(constraint.matches(answer))
    return answer


@dataclass(frozen=True)
class Answer:
    """The weighted answers to a case, and the number of times the constraint was asked."""

    posterior: Posterior[str]
    checks: int


ONE_TRY = AWRS(max_accepts=1)
"""The first draw is checked, and that is all: its weight is 1 or 0."""

Run = Callable[[Case, Text, int, int], Answer]


def base(case: Case, text: Text, particles: int, seed: int) -> Answer:
    return _answer(free(text), Importance(particles), seed)


def masked(case: Case, text: Text, particles: int, seed: int) -> Answer:
    grammar = maskable(case.constraint(), text.lm.vocabulary) if case.grammar is None else case.grammar()
    return _answer(constrained(text, grammar), LocallyConstrained(particles), seed)


def rejection_local(case: Case, text: Text, particles: int, seed: int) -> Answer:
    return _answer(constrained(text, case.constraint().by_check()), LocallyConstrained(particles), seed)


def rerank(case: Case, text: Text, particles: int, seed: int) -> Answer:
    posterior = _answer(filtered(text, case.constraint()), Importance(particles), seed).posterior
    return Answer(posterior, particles)  # each particle asks once, of its complete text


def twisted(case: Case, text: Text, particles: int, seed: int) -> Answer:
    return _answer(constrained(text, case.constraint().by_check()), SMC(particles), seed, ONE_TRY)


def masked_twisted(case: Case, text: Text, particles: int, seed: int) -> Answer:
    return _answer(constrained(text, case.constraint()), SMC(particles), seed, ONE_TRY)


def awrs(case: Case, text: Text, particles: int, seed: int) -> Answer:
    return _answer(constrained(text, case.constraint()), SMC(particles), seed)


METHODS: dict[str, Run] = {
    "base": base,
    "masked": masked,
    "rejection_local": rejection_local,
    "rerank": rerank,
    "twisted": twisted,
    "masked_twisted": masked_twisted,
    "awrs": awrs,
}


def maskable(constraint: Constraint, vocabulary: Vocabulary) -> Constraint:
    """Return the part of a constraint that has an exact mask over `vocabulary`; any text if there is none."""
    parts = constraint.parts if isinstance(constraint, And) else (constraint,)
    matchers = [(part, part.matcher(vocabulary)) for part in parts]
    return And.of(*(p for p, m in matchers if m.mask() is not None and m.mask_is_exact))


def _answer(model: Any, method: Method, seed: int, awrs: AWRS | None = None) -> Answer:
    posterior = infer(model, method, seed=seed, awrs=awrs, progress=False)
    return Answer(posterior, posterior.cost.checks)
