"""Adaptive consistency: independent runs vote on an answer until the leader's majority is stable. A heuristic.

Runs are read one after the other, each with its weight and its answer f(x). After each, let v_1 >= v_2 be the votes of
the two leading answers, in units of runs: an answer's share of the weight times the effective sample size, which for
equal weights is the number of runs. With a uniform prior on the probability p that a run that votes for one of the two
votes for the leader, p is Beta(v_1 + 1, v_2 + 1), and reading ends when

    P(p > 1/2) = 1 - I_{1/2}(v_1 + 1, v_2 + 1) >= confidence,

or when the budget of runs is spent: easy questions cost few runs, hard ones many. The runs that were read are properly
weighted draws, but how many are read depends on what they say. So shares lean towards agreement, and the mean weight is
consistent as the confidence goes to 1, where it is importance sampling, and not unbiased.

Runs are written in batches, several in each call of the language model, but *read* in the order in which they were
begun, not as they end: else short texts would decide. When reading ends, what is still being written is dropped. So
the law of what is read does not depend on the batch; larger ones are faster, and waste more tokens.

Reference: Aggarwal, Madaan, Yang and Mausam (2023), *Let's sample step by step: adaptive-consistency for efficient
reasoning and coding with LLMs*, the criterion "Beta".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inference.diagnostics import Step
from inference.methods.base import Method, Result, require_positive
from inference.particle import Death, Particle
from inference.progress import Progress
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.voting import majority_probability, vote
from inference.weights import effective_sample_size, log_mean_exp, normalise
from ppl.errors import InvalidArgument, ProgramError
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class AdaptiveConsistency(Method):
    """Independent runs until one answer leads for sure: a heuristic, which stops by what it sees.

    The samples are the runs that were read, with their weights; `posterior.vote(project)` gives the answer.

    Parameters
    ----------
    particles:
        The budget of runs, at least 1.
    confidence:
        The probability that the leader is ahead of the next at which reading ends; above 0.5, and at most 1, which
        is never reached.
    batch:
        How many runs write together.
    project:
        From a value to its answer, None where it has none; by default the value itself.
    """

    particles: int = 40
    confidence: float = 0.95
    batch: int = 8
    project: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        require_positive("particles", self.particles)
        require_positive("batch", self.batch)
        if not isinstance(self.confidence, int | float) or not 0.5 < self.confidence <= 1.0:
            raise InvalidArgument(
                f"confidence={self.confidence!r}", hint="a probability above 0.5, at most 1"
            )
        if self.project is not None and not callable(self.project):
            raise InvalidArgument(
                f"project={self.project!r}", hint="a function of the program's value, or None"
            )

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Write in batches and read in order until the leader is stable."""
        reading = _Reading(self)
        while not reading.enough:
            scheduler = Scheduler(model, min(self.batch, self.particles - len(reading.runs)), rng, runtime)
            before, first = reading.drawn, len(reading.runs)
            try:
                scheduler.start()
                reading.read(scheduler.particles, scheduler.log_weights.tolist(), first)
                while not reading.enough and scheduler.live:
                    scheduler.propose()
                    scheduler.draw()
                    reading.read(scheduler.particles, scheduler.log_weights.tolist(), first)
            finally:
                scheduler.close()
            reading.drawn = before + scheduler.drawn
            reading.last_death = scheduler.last_death or reading.last_death
            reading.note(len(scheduler.particles))
            if reading.steps:
                progress.update(reading.steps[-1], reading.drawn)
        weights = np.array(reading.log_weights)
        return Result(
            reading.runs, weights, log_mean_exp(weights), reading.steps, reading.drawn, reading.last_death
        )


@dataclass
class _Reading:
    """The runs that were read, and whether they agree."""

    method: AdaptiveConsistency
    runs: list[Particle] = field(default_factory=list)
    log_weights: list[float] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    drawn: int = 0
    last_death: Death | None = None
    agreed: bool = False
    _answers: list[Any] = field(default_factory=list)
    _log_evidence: float = 0.0

    @property
    def enough(self) -> bool:
        return self.agreed or len(self.runs) >= self.method.particles

    def read(self, particles: list[Particle], log_weights: list[float], first: int) -> None:
        """Read the next runs of a batch, as far as they have ended; `first` were read before it."""
        while not self.enough and (k := len(self.runs) - first) < len(particles):
            particle = particles[k]
            if particle.live:
                return
            self.runs.append(particle)
            self.log_weights.append(log_weights[k])
            self._answers.append(self._answer(particle) if log_weights[k] > -np.inf else None)
            self.agreed = self._agree()

    def note(self, size: int) -> None:
        """Take note of a batch; those before the first that has weight count with it."""
        log_weights = np.array(self.log_weights)
        log_evidence = log_mean_exp(log_weights)
        if log_evidence > -np.inf:
            ess = effective_sample_size(log_weights)
            self.steps.append(Step(len(self.steps) + 1, size, ess, log_evidence - self._log_evidence))
            self._log_evidence = log_evidence

    def _agree(self) -> bool:
        log_weights = np.array(self.log_weights)
        ess = effective_sample_size(log_weights)
        if ess == 0.0:
            return False
        shares = vote(self._answers, normalise(log_weights).tolist(), 0.0).shares
        votes = [ess * share.probability for share in shares[:2]]
        return bool(votes) and majority_probability(*votes) >= self.method.confidence

    def _answer(self, particle: Particle) -> Any:
        project = self.method.project
        if project is None:
            return particle.value
        try:
            return project(particle.value)
        except Exception as error:
            raise ProgramError(
                f"project={project!r} raised {type(error).__name__} at the value {particle.value!r}: {error}",
                hint="it is asked of the value of each run that has weight; return None where there is no answer",
            ) from error
