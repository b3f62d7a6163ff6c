"""Coupled draws: their law, and that close distributions mostly give the same index."""

import numpy as np
import pytest
import torch

from ppl.coupling import coupled, level_numbers
from ppl.rng import Rng, inverse_cdf


def rows_of(size, count=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, size=(count, size))
    logits[rng.random((count, size)) < 0.5] = -np.inf
    logits[:, rng.integers(size)] = 0.0
    return torch.from_numpy(logits)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 65, 300])
def test_frequencies_follow_the_masses(size):
    logits = rows_of(size)
    n = 200_000
    drawn = coupled(logits, torch.full((n,), 2), np.random.default_rng(1).random(n)).numpy()
    masses = logits[2].softmax(-1).numpy()
    seen = np.bincount(drawn, minlength=size) / n
    assert (seen[masses == 0.0] == 0.0).all()
    positive = masses > 0.0
    chi2 = float((n * (seen - masses)[positive] ** 2 / masses[positive]).sum())
    freedom = int(positive.sum()) - 1
    assert chi2 < freedom + 6.0 * np.sqrt(2.0 * freedom) + 1e-6


def test_the_least_and_the_largest_number_find_an_index_with_mass():
    logits = rows_of(700)
    edges = np.array([0.0, 2.0**-53, 0.5, np.nextafter(1.0, 0.0)])
    for row in range(4):
        drawn = coupled(logits, torch.full((4,), row), edges)
        assert torch.isfinite(logits[row, drawn]).all()


def test_rows_without_mass_and_masses_far_below_the_float_range():
    logits = torch.full((3, 100), -torch.inf)
    logits[1, 7], logits[1, 90] = -300.0, -301.0
    logits[2, 3] = torch.nan
    drawn = coupled(logits, torch.tensor([0, 1, 2]), np.array([0.3, 0.3, 0.3]))
    assert drawn[0] < 0
    assert int(drawn[1]) in (7, 90)
    assert drawn[2] < 0


def test_the_numbers_of_the_levels_are_uncorrelated():
    numbers = level_numbers(np.random.default_rng(0).random(100_000), 8)
    assert abs(numbers.mean(axis=1) - 0.5).max() < 0.005
    assert abs(np.corrcoef(numbers) - np.eye(8)).max() < 0.02
    near = level_numbers(np.arange(100_000) * 2.0**-53, 8)
    assert abs(near.mean(axis=1) - 0.5).max() < 0.005
    assert abs(np.corrcoef(near) - np.eye(8)).max() < 0.02


def test_close_distributions_give_mostly_the_same_index():
    """At a distance of 1 % over a thousand indices, where an inverse cumulative distribution differs in a tenth."""
    rng = np.random.default_rng(3)
    first = rng.dirichlet(np.ones(1000))
    second = first * np.exp(rng.normal(0, 0.025, size=1000))
    second /= second.sum()
    distance = abs(first - second).sum() / 2
    logits = torch.from_numpy(np.log(np.stack([first, second])))
    u = rng.random(50_000)
    zeros, ones = torch.zeros(50_000, dtype=torch.int64), torch.ones(50_000, dtype=torch.int64)
    differ = float((coupled(logits, zeros, u) != coupled(logits, ones, u)).double().mean())
    numbers = torch.from_numpy(u)
    inverted = float(
        (inverse_cdf(logits, zeros, numbers) != inverse_cdf(logits, ones, numbers)).double().mean()
    )
    assert 0.005 < distance < 0.015
    assert differ < 4.0 * distance < inverted


def test_noise_is_the_number_that_a_draw_would_have_taken():
    logits = rows_of(500)
    row = np.zeros(1, dtype=np.int64)
    for seed in range(50):
        rng, other = Rng(seed), Rng(seed)
        noise = rng.noise()
        assert rng.categorical(logits, row, [noise]) == other.categorical(logits, row)
        assert rng.categorical(logits, row) == other.categorical(logits, row)
