"""Rejuvenation: runs that are still being written are moved, each by itself, without leaving the law that they have.

After t ticks a population stands for γ_t(y) = q_t(y) w_t(y): a partial run y is a sequence of draws, values of finite
sites and tokens with the random weights that come with them, q_t(y) the probability by which the kernels draw it, and
w_t(y) all that it has earned, the weight of its next token that is known before the draw included. A cut c is drawn
from κ(c | y), uniform on the last L draws of y (all of them, where there are fewer, T_y), the draws before it are kept,
and the program is run on from there *to the same tick*, not to its end: y'. It takes the place of y with probability

    min(1, w_t(y') κ(c | y') / (w_t(y) κ(c | y))),        κ(c | y) = 1[T_y - L <= c < T_y] / min(L, T_y),

since what q gives to the two endings cancels against q in γ_t. So γ_t stays as it is. T_y differs between runs of one
tick, for a program draws finite values between its tokens, and a run that has finished draws no more. It may have any
other ending up to the tick; one that dies is rejected.

A run that has moved brings the proposal of its next token along.

References: Gilks and Berzuini (2001), *Following a moving target: Monte Carlo inference for dynamic Bayesian models*;
Chopin (2002), *A sequential particle filter method for static models*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from inference.methods.chain import accepted
from inference.path_storage import Moment, PathStorage
from inference.runtime import Runtime
from ppl.program import Model
from ppl.rng import Rng


class Rejuvenated(PathStorage):
    """A population whose runs are moved after each resampling.

    Parameters
    ----------
    moves:
        How often each run is moved.
    lag:
        L, the number of draws that a cut may be among; None: all.

    Attributes
    ----------
    shares:
        For each resampling the share of the runs that moved at least once.
    """

    def __init__(
        self, model: Model[Any], size: int, rng: Rng, runtime: Runtime, moves: int = 1, lag: int | None = None
    ) -> None:
        super().__init__(model, size, rng, runtime)
        self.shares: list[float] = []
        self._model, self._moves, self._lag = model, moves, lag
        self._tick = 0
        self._open = ExitStack()
        self._elsewhere = self._open.enter_context(runtime.apart())

    @override
    def draw(self) -> None:
        super().draw()
        self._tick += 1

    @override
    def select(self, ancestors: NDArray[np.int64]) -> None:
        super().select(ancestors)
        moved = set[int]()
        for _ in range(self._moves):
            moved.update(self.move())
        self.shares.append(len(moved) / len(self.particles))

    @override
    def close(self) -> None:
        super().close()
        self._open.close()

    def move(self) -> list[int]:
        """Propose another ending of what it has written to each run; return those that took it."""
        paths = [path_of(self, i) for i in range(len(self.particles))]
        going = [i for i, path in enumerate(paths) if path]
        cuts = [self._cut(len(paths[i])) for i in going]
        moments = [paths[i][cut] for i, cut in zip(going, cuts, strict=True)]
        lefts = [self._tick - _ticks(paths[i][:cut]) for i, cut in zip(going, cuts, strict=True)]
        endings = Endings(self._model, self.rng, self._elsewhere, moments, lefts)
        moved: dict[int, int] = {}
        try:
            endings.run()
            for k, (i, cut) in enumerate(zip(going, cuts, strict=True)):
                ratio = endings.earned(k) - self.earned(i)
                ratio += self._log_cut(cut, len(path_of(endings, k))) - self._log_cut(cut, len(paths[i]))
                if endings.particles[k].death is None and accepted(ratio, self.rng):
                    self._take_over(i, endings, k)
                    moved[k] = i
        finally:
            endings.close()
        self._take_proposals(endings, moved)
        self.drawn += endings.drawn
        return list(moved.values())

    def _cut(self, draws: int) -> int:
        """Draw a cut of a path of so many draws."""
        choices = draws if self._lag is None else min(self._lag, draws)
        return draws - choices + int(choices * self.rng.uniform(np.arange(1, choices) / choices))

    def _log_cut(self, cut: int, draws: int) -> float:
        """Return log κ of a cut of a path of so many draws."""
        choices = draws if self._lag is None else min(self._lag, draws)
        return -math.log(choices) if draws - choices <= cut < draws else -math.inf

    def _take_over(self, i: int, endings: Endings, k: int) -> None:
        """Put the k-th new run in the place of run i, whose weight in the population stays."""
        self.particles[i], endings.particles[k] = endings.particles[k], self.particles[i]
        self.moments[i] = endings.moments[k]
        self._offsets[i] = endings.earned(k) - self.log_weights[i]

    def _take_proposals(self, endings: Endings, moved: dict[int, int]) -> None:
        """Replace the proposals of runs that have moved by those of what they have become."""
        for group in self._groups:
            kept = np.flatnonzero(~np.isin(group.particles, list(moved.values())))
            group.particles, group.proposal = group.particles[kept], group.proposal.take(kept)
        for group in endings._groups:
            taken = np.flatnonzero(np.isin(group.particles, list(moved)))
            particles = np.array([moved[k] for k in group.particles[taken].tolist()], dtype=np.int64)
            self._groups.append(replace(group, particles=particles, proposal=group.proposal.take(taken)))


class Endings(PathStorage):
    """Runs that go on from moments of others for given numbers of ticks, and wait before the next one."""

    def __init__(
        self, model: Model[Any], rng: Rng, runtime: Runtime, moments: Sequence[Moment], ticks: Sequence[int]
    ) -> None:
        super().__init__(model, len(moments), rng, runtime)
        self._begins, self._left = moments, list(ticks)

    def run(self) -> None:
        """Write the endings, and propose what comes next."""
        self.resume(self._begins)
        while any(self._left[i] > 0 for i in self.live):
            moving = self.live
            self.propose()
            self.draw()
            for i in moving:
                self._left[i] -= 1
        self.propose()

    @property
    @override
    def live(self) -> list[int]:
        """Those that are furthest behind: the others wait for them, so that all arrive in one batch."""
        live = super().live
        most = max((self._left[i] for i in live), default=0)
        return [i for i in live if self._left[i] == most]


def path_of(population: PathStorage, i: int) -> list[Moment]:
    """Return the moments before the draws that run i has made; it waits before its next one, or has finished."""
    moment = population.moments[i]
    if population.particles[i].live and moment is not None:
        moment = moment.parent
    path = list[Moment]()
    while moment is not None:
        path.append(moment)
        moment = moment.parent
    return path[::-1]


def _ticks(path: Sequence[Moment]) -> int:
    """Return how many ticks the draws of a path took: a tick for each token, none for a finite value."""
    return sum(moment.particle.live for moment in path)
