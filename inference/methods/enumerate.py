"""Exact enumeration: every run of the program, with its mass.

Each move branches into all of its outcomes: every token of positive mass, every value of a finite site. The sum
of the masses is the evidence, without error. For toy models, and for real ones where constraints leave few
texts: labels, short choices. Texts that are spelled by several token sequences are several runs; the posterior
adds their masses up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from inference.branching import Branching, Move
from inference.diagnostics import Step
from inference.errors import BudgetExceeded
from inference.kernels import Proposal
from inference.methods.base import Method, Result, require_positive
from inference.population import Todo
from inference.progress import Progress
from inference.runtime import Runtime
from inference.text import TextState
from inference.twists import State
from inference.weights import effective_sample_size, log_sum_exp
from ppl.compiler.normal_form import FiniteForm
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class Enumerate(Method):
    """Exact enumeration.

    Parameters
    ----------
    max_paths:
        Raise `BudgetExceeded` rather than follow more runs than this at once, finished ones included.
    """

    max_paths: int = 10_000

    def __post_init__(self) -> None:
        require_positive("max_paths", self.max_paths)

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Follow every path to its end."""
        scheduler = _Branching(model, rng, runtime, self.max_paths)
        try:
            scheduler.start()
            steps: list[Step] = []
            log_evidence = 0.0
            while live := scheduler.live:
                scheduler.branch()
                before, log_evidence = log_evidence, log_sum_exp(scheduler.log_weights)
                increment = log_evidence - before
                ess = effective_sample_size(scheduler.log_weights)
                steps.append(Step(len(steps) + 1, len(live), ess, increment))
                progress.update(steps[-1], scheduler.drawn)
        finally:
            scheduler.close()
        return Result(
            scheduler.particles,
            scheduler.log_weights,
            log_sum_exp(scheduler.log_weights),
            steps,
            scheduler.drawn,
            scheduler.last_death,
        )


class _Branching(Branching):
    """A scheduler that follows all outcomes of a move."""

    def __init__(self, model: Model[Any], rng: Rng, runtime: Runtime, max_paths: int) -> None:
        super().__init__(model, rng, runtime)
        self._max_paths = max_paths

    def branch(self) -> None:
        """Replace each live particle by one copy for each token that may come next."""
        self.propose()
        outcomes = {
            i: self._outcomes(group.proposal, k)
            for group in self._groups
            for k, i in enumerate(group.particles)
        }
        live, moves = self.live, self._stay()
        self._require_room(len(moves) + sum(len(outcomes[i]) for i in live))
        for i in live:
            base = float(self.log_weights[i])
            moves += [Move(i, token, log_p, base + log_p) for token, log_p in outcomes[i]]
        self.write(moves)

    def _outcomes(self, proposal: Proposal, k: int) -> list[tuple[int, float]]:
        """Return the tokens that the k-th particle of a proposal may draw, with their log-probabilities."""
        log_probabilities = torch.log_softmax(proposal.numerators[int(proposal.rows[k])].double(), dim=-1)
        tokens = torch.nonzero(torch.isfinite(log_probabilities))[:, 0]
        self._require_room(len(tokens))
        return list(zip(tokens.tolist(), log_probabilities[tokens].tolist(), strict=True))

    def _write(self, i: int, token: int) -> list[tuple[int, State]]:
        state = self._text(i)
        if isinstance(state, TextState) and state.kernel == "awrs" and not state.passes(token):
            self._add_weight(i, -np.inf, "the token failed the constraint's check")
            return []
        return super()._write(i, token)

    def _choose(self, i: int, form: FiniteForm) -> Todo:
        values = [k for k, log_mass in enumerate(form.log_masses) if log_mass > -np.inf]
        if not values:
            self._add_weight(i, -np.inf, f"no value left of {form}")
            return []
        self._require_room(len(self.particles) + len(values) - 1)
        parent, base = self.particles[i], self.log_weights[i]
        copies = [(len(self.particles) + k, parent.fork()) for k in range(len(values) - 1)]
        self.particles += [copy for _, copy in copies]
        self.log_weights = np.append(self.log_weights, np.zeros(len(copies)))
        todo = []
        for (j, particle), k in zip([(i, parent), *copies], values, strict=True):
            self.log_weights[j] = base + form.log_masses[k]
            self.runtime.recorder.chosen(self.particles, j, form, k, float(base))
            todo.append((j, self._guard(j, partial(particle.fiber.answer, form.values[k]))))
        return todo

    def _require_room(self, paths: int) -> None:
        if paths > self._max_paths:
            raise BudgetExceeded(
                f"enumeration would follow {paths} runs at once, max_paths={self._max_paths}",
                hint="constrain the texts, lower max_tokens, raise max_paths, or use SMC",
            )
