"""Mutants of resample-move SMC: moves that change what a population stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

from numpy.typing import NDArray

from inference import rejuvenation
from inference.path_storage import Moment, PathStorage
from inference.rejuvenation import Endings, Rejuvenated
from inference.testing.mutant import mutant
from inference.testing.suite import run_moves


@mutant("partial runs are moved whatever they weigh", run_moves)
def moves_always_accepted() -> Iterator[None]:
    with patch.object(rejuvenation, "accepted", lambda log_ratio, rng: True):
        yield


@mutant("a partial run is moved without the probabilities of the cut", run_moves)
def partial_cut_forgotten() -> Iterator[None]:
    def log_ratio(
        self: Rejuvenated, i: int, path: Sequence[Moment], cut: int, endings: Endings, k: int
    ) -> float:
        return endings.earned(k) - self.earned(i)

    with patch.object(Rejuvenated, "_log_ratio", log_ratio):
        yield


@mutant("a move may be undone from further back than the lag allows", run_moves)
def lag_of_one_direction() -> Iterator[None]:
    original = Rejuvenated._log_cut

    def log_cut(self: Any, cut: int, draws: int) -> float:
        return original(self, max(cut, draws - (self._lag or draws)), draws)

    with patch.object(Rejuvenated, "_log_cut", log_cut):
        yield


@mutant(
    "a partial run is accepted without the weight of its next token, which the old one was given", run_moves
)
def next_weight_forgotten() -> Iterator[None]:
    original = Endings.write

    def write(self: Any) -> None:
        original(self)
        for group in self._groups:
            self.log_weights[group.particles] -= group.proposal.log_weights

    with patch.object(Endings, "write", write):
        yield


@mutant("endings are a tick short", run_moves)
def endings_too_short() -> Iterator[None]:
    original = rejuvenation._ticks
    with patch.object(rejuvenation, "_ticks", lambda path: original(path) + 1):
        yield


@mutant("a run that moves brings its own weight along, as if it had not been resampled", run_moves)
def weights_not_reset() -> Iterator[None]:
    original = Rejuvenated._take_over

    def take_over(self: Any, i: int, endings: Endings, k: int) -> None:
        original(self, i, endings, k)
        self.log_weights[i] = endings.earned(k)

    with patch.object(Rejuvenated, "_take_over", take_over):
        yield


@mutant("a run that has moved draws its next token from the law of the old one", run_moves)
def stale_proposals() -> Iterator[None]:
    with patch.object(Rejuvenated, "_take_proposals", lambda self, endings, moved: None):
        yield


@mutant("runs are moved when, and only when, the weights made the population be resampled", run_moves)
def moved_where_resampled() -> Iterator[None]:
    def select(self: Any, ancestors: NDArray[Any]) -> None:
        PathStorage.select(self, ancestors)
        self.move()

    def draw(self: Any) -> None:
        PathStorage.draw(self)
        self._tick += 1

    with patch.object(Rejuvenated, "select", select), patch.object(Rejuvenated, "draw", draw):
        yield


@mutant("a move may end a run before the others, from where no move comes back", run_moves)
def moved_to_an_end() -> Iterator[None]:
    original = Rejuvenated._log_ratio

    def log_ratio(
        self: Rejuvenated, i: int, path: Sequence[Moment], cut: int, endings: Endings, k: int
    ) -> float:
        if not endings.particles[k].finished:
            return original(self, i, path, cut, endings, k)
        return endings.earned(k) - self.earned(i)

    with patch.object(Rejuvenated, "_log_ratio", log_ratio):
        yield
