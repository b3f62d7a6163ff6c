"""Posteriors as ArviZ has them."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from pydantic import BaseModel

from inference import SMC, Enumerate, NoSurvivors, Rejection, SuffixMCMC, infer
from inference.testing.programs import LM, uneven
from ppl import InvalidArgument, condition, program, sample

arviz = pytest.importorskip("arviz")
pytestmark = pytest.mark.filterwarnings("ignore:.*ArviZ is undergoing:FutureWarning")


class Counted(BaseModel):
    text: str
    length: int


@dataclass(frozen=True)
class Measured:
    length: int
    text: str


def returning(make):
    @program
    def made():
        return make(sample(LM("x", max_tokens=3)))

    return made()


def length(value):
    return len(value[1])


def test_chains_are_chains():
    posterior = infer(uneven(), SuffixMCMC(chains=3, sweeps=10), seed=1)
    data = posterior.to_arviz({"length": length, "both": lambda v: [len(v[0]), len(v[1])]})
    expected = np.reshape([length(s.value) for s in posterior.samples], (3, 10))
    np.testing.assert_array_equal(data.posterior["length"], expected)
    assert data.posterior["both"].shape == (3, 10, 2)
    assert data.posterior.attrs["weights"] == "equal"
    assert data.posterior.attrs["log_evidence"] == posterior.log_evidence


def test_independent_draws_stay_as_they_are():
    posterior = infer(uneven(), Rejection(200, batch=200), seed=0)
    data = posterior.to_arviz({"length": length})
    np.testing.assert_array_equal(data.posterior["length"][0], [length(s.value) for s in posterior.samples])


@pytest.mark.parametrize("method", [SMC(400), Enumerate()])
def test_weighted_samples_are_resampled(method):
    posterior = infer(uneven(), method, seed=0)
    data = posterior.to_arviz({"length": length})
    drawn = data.posterior["length"].to_numpy()
    assert drawn.shape == (1, len(posterior))
    assert abs(drawn.mean() - posterior.expectation(length)) < 1.0 / len(posterior) * 3
    assert data.posterior.attrs["weights"] == "resampled"
    assert data.posterior.attrs["effective_sample_size"] == posterior.ess


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (len, {"value"}),
        (lambda t: Counted(text=t, length=len(t)), {"length"}),
        (lambda t: Measured(len(t), t), {"length"}),
        (lambda t: {"n": len(t), "t": t, "half": len(t) / 2}, {"n", "half"}),
    ],
)
def test_numbers_are_found(make, names):
    data = infer(returning(make), SMC(8), seed=0).to_arviz()
    assert set(data.posterior.data_vars) == names


def test_what_are_no_numbers():
    posterior = infer(returning(str), SMC(8), seed=0)
    with pytest.raises(InvalidArgument, match="no numbers"):
        posterior.to_arviz()
    with pytest.raises(InvalidArgument, match="'text'"):
        posterior.to_arviz({"text": str})
    with pytest.raises(InvalidArgument, match="'ragged'"):
        posterior.to_arviz({"ragged": lambda text: [0.0] * len(text)})


def test_nobody():
    @program
    def never():
        condition(False)

    with pytest.raises(NoSurvivors):
        infer(never(), SMC(2)).to_arviz({"x": lambda v: math.nan})
