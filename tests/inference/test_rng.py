"""The inverse cumulative distribution against numpy, at its edges, and in law."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ppl.rng import Rng, inverse_cdf


@given(st.data())
def test_inverse_cdf_is_the_quantile(data):
    size = data.draw(st.integers(1, 700))
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 5, size=(3, size))
    logits[rng.random((3, size)) < 0.5] = -np.inf
    logits[:, rng.integers(size)] = 0.0
    rows = rng.integers(0, 3, size=8)
    uniforms = np.concatenate([rng.random(6), [0.0, np.nextafter(1.0, 0.0)]])
    drawn = inverse_cdf(torch.from_numpy(logits), torch.from_numpy(rows), torch.from_numpy(uniforms)).numpy()
    masses = np.exp(logits - logits.max(axis=1, keepdims=True))
    for row, u, index in zip(rows, uniforms, drawn, strict=True):
        assert masses[row, index] > 0.0
        cumulative = np.cumsum(masses[row])
        below = cumulative[index - 1] if index else 0.0
        slack = 1e-9 * cumulative[-1]
        assert below - slack <= u * cumulative[-1] <= cumulative[index] + slack


def test_masses_far_below_the_float_range_are_drawn():
    logits = torch.full((1, 1000), -torch.inf)
    logits[0, 7], logits[0, 900] = -200.0, -201.0
    drawn = Rng(0).categorical(logits, np.zeros(4000, dtype=np.int64))
    assert set(drawn) == {7, 900}
    assert np.mean(drawn == 7) == pytest.approx(1 / (1 + np.exp(-1)), abs=0.03)


def test_frequencies_follow_the_masses():
    masses = np.array([0.1, 0.0, 0.2, 0.7])
    with np.errstate(divide="ignore"):
        logits = torch.from_numpy(np.log(masses)).float()[None]
    drawn = Rng(1).categorical(logits, np.zeros(20000, dtype=np.int64))
    assert np.bincount(drawn, minlength=4) / 20000 == pytest.approx(masses, abs=0.015)


def test_one_seed_one_stream():
    logits = torch.zeros((2, 50))
    rows = np.array([0, 1, 0])
    assert (Rng(5).categorical(logits, rows) == Rng(5).categorical(logits, rows)).all()
