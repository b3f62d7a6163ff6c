"""Arithmetic on log-weights: precision over large vocabularies, edges of resampling."""

import math

import numpy as np
import pytest
import torch

from grammars import Regex, Vocabulary
from inference import Rejection, infer, load
from inference.engines.base import TextSoftmax
from inference.resampling import SCHEMES, resample
from inference.weights import log_masses
from ppl import program, sample
from ppl.rng import Rng


def test_float32_rows_over_a_large_vocabulary_are_normalised():
    torch.manual_seed(0)
    logits = 4.0 * torch.randn(8, 49_152)
    vocabulary = Vocabulary((*([b"a"] * 49_151), None), frozenset({49_151}))
    logprobs = TextSoftmax(vocabulary, torch.device("cpu"))(logits)
    assert logprobs.dtype == torch.float32
    assert logprobs.double().logsumexp(-1).abs().max() < 1e-6
    assert log_masses(logprobs).abs().max() < 1e-6


@pytest.mark.parametrize("size", [1, 255, 256, 1000, 49_152])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_masses_are_those_of_float64(size, dtype):
    torch.manual_seed(size)
    rows = (3.0 * torch.randn(4, 3, size, dtype=torch.float64)).to(dtype)
    rows[0, 0, size // 2 :] = -math.inf
    error = log_masses(rows) - rows.double().logsumexp(-1)
    assert error.nan_to_num(0.0).abs().max() < 2e-7
    assert abs(error.nan_to_num(0.0).mean()) < 5e-8
    assert log_masses(rows).dtype == torch.float64


def test_log_masses_of_nothing_and_of_a_part():
    rows = torch.tensor([[-math.inf, -math.inf], [math.log(0.25), -math.inf]])
    assert log_masses(rows).tolist()[0] == -math.inf
    assert abs(log_masses(rows)[1] - math.log(0.25)) < 1e-7


def test_a_uniform_draw_next_to_1_stays_among_the_particles():
    class Last(Rng):
        def uniform(self, edges):
            return 1.0 - 2.0**-53

    weights = np.array([*[1.0 / 15] * 15, 0.0])
    for scheme in SCHEMES:
        assert resample(scheme, weights, Last(0)).max() <= 14


@pytest.mark.model
def test_a_mask_that_removes_nothing_keeps_a_real_models_weights_below_the_bound():
    lm = load("smollm2")

    @program
    def anything():
        return sample(lm.chat("Say only: hi", max_tokens=25) & Regex("(?s).*"))

    infer(anything(), Rejection(8), seed=0)
