"""Mutants of powers, products, guidance and potentials: what public implementations do without saying so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from inference import bridging, experts, flattening, infilling, lookahead, scheduler, twists
from inference.engines.base import NextTokens, Usage
from inference.experts import Alphabet, Laws, log_pool
from inference.infilling import InfillState
from inference.kernels import KERNELS, Proposal, corrector
from inference.methods import tempered
from inference.scheduler import Scheduler
from inference.testing.mutant import mutant
from inference.text import TextState, Twist, decode_text
from inference.twists import Question
from inference.weights import Floats
from ppl.compiler.plan import InfillPlan
from ppl.compiler.pool import Expert, Pool
from ppl.potentials import Potential
from ppl.rng import Rng


def _pooled(change: Any) -> AbstractContextManager[Any]:
    return patch.object(experts, "log_pool", change)


@mutant("low temperature, guidance and added logits as everybody samples them: no weights")
def corrector_weight_dropped() -> Iterator[None]:
    def kernel(following: NextTokens, states: Sequence[TextState]) -> Proposal:
        return replace(corrector(following, states), log_weights=np.zeros(len(states)))

    with patch.dict(KERNELS, {"corrector": kernel}):
        yield


@mutant("the corrector's normaliser is summed over the wrong axis")
def corrector_normaliser_over_the_wrong_axis() -> Iterator[None]:
    def kernel(following: NextTokens, states: Sequence[TextState]) -> Proposal:
        over_rows = torch.logsumexp(following.logprobs, dim=0).double().numpy()
        weights = over_rows[following.rows % len(over_rows)]
        return replace(corrector(following, states), log_weights=weights)

    with patch.dict(KERNELS, {"corrector": kernel}):
        yield


@mutant("experts are pooled by raw scores that are off by a constant for each context")
def pooled_raw_scores() -> Iterator[None]:
    def pooled(pool: Pool, tables: Sequence[Tensor], tokens: Alphabet) -> Tensor:
        return log_pool(pool, [table + 0.3 for table in tables], tokens)

    with _pooled(pooled):
        yield


@mutant("the end keeps its own probability, whatever the exponents")
def end_outside_of_the_pool() -> Iterator[None]:
    def pooled(pool: Pool, tables: Sequence[Tensor], tokens: Alphabet) -> Tensor:
        masses = log_pool(pool, tables, tokens).clone()
        masses[:, -1] = tables[0][:, -1]  # of a TableLM the last token is the end
        return masses

    with _pooled(pooled):
        yield


@mutant("guidance leaves the first expert its exponent of 1")
def guidance_without_its_one() -> Iterator[None]:
    def pooled(pool: Pool, tables: Sequence[Tensor], tokens: Alphabet) -> Tensor:
        terms = tuple(
            (m, a - 1.0 if pool.divides and isinstance(m, Expert) and a > 0 else a) for m, a in pool.terms
        )
        return log_pool(Pool(terms), tables, tokens)

    with _pooled(pooled):
        yield


@mutant("what a potential gave at a boundary is not divided out at the next")
def potential_not_divided_out() -> Iterator[None]:
    original = twists.Twists.weigh

    def weigh(self: twists.Twists, states: Sequence[TextState], rng: Rng) -> Floats:
        log_weights = original(self, states, rng)
        for state in states:
            state.twists = tuple(Twist(t.characters, 0.0) for t in state.twists)
        return log_weights

    with patch.object(twists.Twists, "weigh", weigh):
        yield


@mutant("a potential that was asked early is not asked of the complete text")
def potential_not_asked_at_the_end() -> Iterator[None]:
    original = twists._asked

    def asked(state: TextState, potential: Potential, after: int) -> Question | None:
        if state.finished and potential.at != "end":
            return None
        return original(state, potential, after)

    with patch.object(twists, "_asked", asked):
        yield


@mutant("a potential is asked of the text with its stop string")
def potential_of_the_stop() -> Iterator[None]:
    original = twists._asked

    def asked(state: TextState, potential: Potential, after: int) -> Question | None:
        return (
            Question(decode_text(state.data), True) if state.finished else original(state, potential, after)
        )

    with patch.object(twists, "_asked", asked):
        yield


@mutant("weights are discarded after a resampling of those that write on only")
def weights_lost_by_the_finished() -> Iterator[None]:
    original = Scheduler.select

    def select(
        self: Scheduler, ancestors: np.ndarray[Any, np.dtype[np.int64]], log_weights: Floats | None = None
    ) -> None:
        finished = [i for i, particle in enumerate(self.particles) if particle.finished]
        kept = ancestors.copy()
        kept[finished] = finished
        original(self, kept, log_weights)

    with patch.object(Scheduler, "select", select):
        yield


@mutant("masked diffusion fills the position whose drawn token is the most probable")
def order_by_sampled_confidence() -> Iterator[None]:
    original = infilling._choose

    def choose(plan: InfillPlan, states: Sequence[InfillState], rng: Rng) -> None:
        original(plan, states, rng)
        for state in states:
            assert state.ahead is not None
            denoised, rows = state.ahead
            masked = state.masked
            table = denoised.tables[0][rows[0]][masked]
            drawn = rng.categorical(table, np.arange(len(masked)))
            likely = [float(table[i, token]) for i, token in enumerate(drawn.tolist())]
            state.pending = (masked[int(np.argmax(likely))],)

    with patch.object(infilling, "_choose", choose):
        yield


@mutant("masked diffusion raises the rule of the order to the power, too")
def order_weighed() -> Iterator[None]:
    original = infilling.infill_laws

    def laws(states: Sequence[InfillState], rng: Rng, usage: Usage) -> list[Laws]:
        return [
            Laws(law.members, law.following._replace(logprobs=law.following.logprobs - 0.1))
            for law in original(states, rng, usage)
        ]

    with patch.object(scheduler, "infill_laws", laws):
        yield


@mutant("bridged exponents stay where they are when a text ends early")
def bridge_not_completed() -> Iterator[None]:
    def none(states: Sequence[TextState]) -> Tensor:
        return torch.zeros((len(states), states[0].vocabulary.size), dtype=torch.bool)

    with patch.object(bridging, "_terminators", none):
        yield


@mutant("a lookahead that sees nothing of weight rules the text out")
def lookahead_rules_out() -> Iterator[None]:
    with patch.object(lookahead, "_LEAST", -np.inf):
        yield


@mutant("a denoiser's guess without weight rules the text out")
def guess_rules_out() -> Iterator[None]:
    with patch.object(twists, "_DOUBT", -np.inf):
        yield


@mutant("tokens drawn from a power of the masses cost nothing: the sum over the vocabulary is left out")
def flattened_normaliser_dropped() -> Iterator[None]:
    original = flattening.Flattened._flatten

    def flatten(self: Any, following: NextTokens) -> Any:
        law = original(self, following)
        return replace(law, masses=law.masses - torch.from_numpy(law.log_normalisers)[:, None])

    with patch.object(flattening.Flattened, "_flatten", flatten):
        yield


@mutant("rejuvenation takes every fresh run")
def rejuvenation_accepts_all() -> Iterator[None]:
    original = tempered.TemperedSMC._rejuvenate

    def rejuvenate(self: Any, runs: Any, source: Any, exponent: float, rng: Rng) -> None:
        original(self, runs, source, 0.0, rng)

    with patch.object(tempered.TemperedSMC, "_rejuvenate", rejuvenate):
        yield


@mutant("rejuvenation compares the runs at the last temperature")
def rejuvenation_at_the_end() -> Iterator[None]:
    original = tempered.TemperedSMC._rejuvenate

    def rejuvenate(self: Any, runs: Any, source: Any, exponent: float, rng: Rng) -> None:
        original(self, runs, source, 1.0, rng)

    with patch.object(tempered.TemperedSMC, "_rejuvenate", rejuvenate):
        yield
