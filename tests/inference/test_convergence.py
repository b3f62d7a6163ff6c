"""Chain diagnostics against definitions and chains whose autocorrelation is known."""

import math

import numpy as np
import pytest

from inference import SuffixMCMC, autocorrelation, chain_ess, infer, rank_rhat, split_rhat
from inference.diagnosis.convergence import _autocovariances
from inference.testing import flux
from inference.testing.programs import uneven
from ppl import InvalidArgument


def _autoregressive(rho, chains, n, seed=0):
    rng = np.random.default_rng(seed)
    draws = [rng.normal(size=chains)]
    for _ in range(n - 1):
        draws.append(rho * draws[-1] + math.sqrt(1.0 - rho**2) * rng.normal(size=chains))
    return np.array(draws).T


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.6, 0.9])
def test_the_ess_of_an_autoregressive_chain_is_known(rho):
    draws = _autoregressive(rho, 4, 5000)
    assert chain_ess(draws) == pytest.approx(20_000 * (1 - rho) / (1 + rho), rel=0.15)
    assert split_rhat(draws) == pytest.approx(1.0, abs=0.01)


def test_rhat_is_its_formula():
    draws = np.array(
        [[0.0, 1.0, 0.0, 2.0, 1.0, 3.0, 1.0, 1.0, 2.0], [1.0, 1.0, 0.0, 0.0, 9.0, 0.0, 2.0, 1.0, 3.0]]
    )
    halves = [draws[0, :4], draws[0, 5:], draws[1, :4], draws[1, 5:]]
    within = sum(np.sum((h - h.mean()) ** 2) / 3 for h in halves) / 4
    grand = sum(h.mean() for h in halves) / 4
    between = 4 * sum((h.mean() - grand) ** 2 for h in halves) / 3
    assert split_rhat(draws) == pytest.approx(math.sqrt((0.75 * within + between / 4) / within))


def test_autocovariances_are_sums_of_products():
    chain = np.random.default_rng(1).normal(size=9)
    centred = chain - chain.mean()
    expected = [float(centred[: 9 - t] @ centred[t:]) / 9 for t in range(9)]
    np.testing.assert_allclose(_autocovariances(chain[None])[0], expected, atol=1e-12)


def test_chains_that_disagree_or_drift_are_seen():
    draws = _autoregressive(0.0, 2, 200)
    assert split_rhat(draws + np.array([[0.0], [3.0]])) > 1.5
    assert chain_ess(draws + np.array([[0.0], [3.0]])) < 20
    assert split_rhat(draws[0] + np.linspace(0.0, 4.0, 200)) > 1.3
    stuck = np.array([[1.0] * 10, [2.0] * 10])
    assert split_rhat(stuck) == math.inf
    assert math.isnan(split_rhat(np.ones(10)))
    assert math.isnan(chain_ess(np.ones(10)))


def test_the_ess_of_a_chain_over_runs_is_that_of_its_kernel():
    """The kernel's matrix, by enumeration, gives the autocorrelation time exactly (values are states here)."""
    moved = flux(uneven(), SuffixMCMC(1, 1, start_particles=1))
    values = sorted({x for x, _ in moved})
    masses = np.array([[moved.get((x, y), 0.0) for y in values] for x in values])
    stationary = masses.sum(axis=1) / masses.sum()
    kernel = masses / masses.sum(axis=1, keepdims=True)
    f = np.array([float(len(text)) for _, text in values])
    centred = f - stationary @ f
    series = np.linalg.solve(np.eye(len(f)) - kernel + stationary, centred)  # Σ_t K^t of what is centred
    time = (2.0 * (stationary * centred) @ series) / (stationary @ centred**2) - 1.0
    posterior = infer(uneven(), SuffixMCMC(chains=32, sweeps=500, burn_in=50), seed=0)
    chains = np.reshape([float(len(text)) for (_, text), _, _ in posterior], (32, -1))
    assert chain_ess(chains) == pytest.approx(chains.size / time, rel=0.15)
    assert split_rhat(chains) < 1.01


def test_draws_that_say_nothing_are_refused():
    for draws in (np.zeros(7), np.zeros((2, 2, 9)), [math.nan] * 9):
        with pytest.raises(InvalidArgument):
            split_rhat(draws)


@pytest.mark.filterwarnings("ignore:.*ArviZ is undergoing:FutureWarning")
@pytest.mark.parametrize("n", [21, 400])
def test_the_numbers_are_those_of_arviz(n):
    """But for the last term of the sum in the effective sample size, where ArviZ has one of Stan's."""
    arviz = pytest.importorskip("arviz")
    rng = np.random.default_rng(0)
    draws = {
        "smooth": _autoregressive(0.7, 4, n),
        "counts": rng.poisson(2.0, size=(3, n)).astype(float),  # with ties
        "scales": rng.normal(size=(4, n)) * np.array([[1.0], [1.0], [1.0], [5.0]]),
        "heavy": rng.standard_cauchy(size=(4, n)),
    }
    for name, x in draws.items():
        assert split_rhat(x) == pytest.approx(float(arviz.rhat(x, method="split")), rel=1e-9), name
        assert rank_rhat(x) == pytest.approx(float(arviz.rhat(x, method="rank")), rel=1e-9), name
        if n == 400:
            assert chain_ess(x) == pytest.approx(float(arviz.ess(x, method="mean")), rel=0.05), name
        np.testing.assert_allclose(autocorrelation(x), arviz.autocorr(x), atol=1e-9)
    assert rank_rhat(draws["scales"]) > 1.1 > split_rhat(draws["scales"])


def test_autocorrelations():
    chain = np.tile([0.0, 1.0], 10)
    np.testing.assert_allclose(autocorrelation(chain, 3), [1.0, -0.95, 0.9])
    assert autocorrelation(np.stack([chain, chain]), 5).shape == (2, 5)
    assert np.isnan(autocorrelation(np.ones(9))).all()
    for lags in (0, 21, 1.5):
        with pytest.raises(InvalidArgument):
            autocorrelation(chain, lags)


def test_ranks_of_equal_draws():
    assert math.isnan(rank_rhat(np.ones((2, 8))))
    assert rank_rhat(np.repeat([[0.0], [1.0]], 8, axis=1)) == math.inf
