"""Pareto shapes of weights, against ArviZ and laws whose shape is known."""

import math

import numpy as np
import pytest

from inference.diagnosis.tails import largest_shape, pareto_shape


@pytest.mark.filterwarnings("ignore:.*ArviZ is undergoing:FutureWarning")
def test_shapes_are_those_of_arviz():
    arviz = pytest.importorskip("arviz")
    rng = np.random.default_rng(1)
    for scale in (0.3, 1.0, 3.0):
        for size in (40, 1000):
            log_weights = rng.normal(scale=scale, size=size)
            expected = float(arviz.psislw(log_weights.copy())[1])
            assert pareto_shape(log_weights) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [0.2, 0.5, 1.0])
def test_shapes_that_are_known(shape):
    log_weights = shape * np.random.default_rng(0).exponential(size=20_000)
    assert pareto_shape(log_weights) == pytest.approx(shape, abs=0.1)


def test_too_few_to_tell():
    assert math.isnan(pareto_shape(np.zeros(1000)))
    assert math.isnan(pareto_shape(np.full(50, -np.inf)))
    assert math.isnan(pareto_shape(np.arange(5.0)))
    assert largest_shape(100) == 0.5
    assert largest_shape(100_000) == 0.7
