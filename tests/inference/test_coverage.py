"""pass@k is unbiased, with perfect and with noisy verdicts, by enumeration of all of them."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inference import Verifier, coverage, pass_at_k
from inference.testing import expectation
from ppl import InvalidArgument


def expected(f, p, n, verifier):
    """E[f(accepted)] over all truths and all verdicts on n samples."""

    def flip(rng, probability):
        logits = torch.tensor([[1 - probability, probability]], dtype=torch.float64).log()
        return int(rng.categorical(logits, np.zeros(1, dtype=np.int64))[0])

    def run(rng):
        c = 0
        for _ in range(n):
            right = flip(rng, p)
            c += flip(rng, verifier.sensitivity if right else 1 - verifier.specificity)
        return {"": f(c)}

    return expectation(run)[""]


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 1), (3, 2), (4, 4), (5, 3)])
@pytest.mark.parametrize(
    "verifier", [Verifier(), Verifier(0.9, 0.7), Verifier(1.0, 0.6), Verifier(0.5, 1.0)], ids=repr
)
def test_the_estimate_is_unbiased(p, n, k, verifier):
    mean = expected(lambda c: pass_at_k(n, c, k, verifier), p, n, verifier)
    assert mean == pytest.approx(1 - (1 - p) ** k, abs=1e-10)


def test_the_plug_in_estimate_and_uncorrected_verdicts_are_biased():
    p, n, k, noisy = 0.3, 4, 2, Verifier(0.9, 0.7)
    truth = 1 - (1 - p) ** k
    assert expected(lambda c: 1 - (1 - c / n) ** k, p, n, Verifier()) < truth - 0.01
    assert expected(lambda c: pass_at_k(n, c, k), p, n, noisy) > truth + 0.1


@given(st.integers(1, 7), st.data())
def test_it_is_the_share_of_the_subsets_with_a_right_sample(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(itertools.combinations([i < c for i in range(n)], k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


def test_large_numbers_neither_overflow_nor_cancel():
    n, c, k = 10_000, 37, 1_000
    product = math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))  # the formula of Chen et al.
    assert pass_at_k(n, c, k) == pytest.approx(1.0 - product, rel=1e-9)
    assert pass_at_k(300, 3, 100, Verifier(1.0, 1.0 - 1e-12)) == pytest.approx(
        pass_at_k(300, 3, 100), abs=1e-8
    )
    noisy = Verifier(0.95, 0.9)
    by_scores = np.mean(
        [  # the U-statistic from its definition, for k = 2
            (1 - float(noisy.scores[a]) * float(noisy.scores[b]))
            for a, b in itertools.combinations([1] * 20 + [0] * 30, 2)
        ]
    )
    assert pass_at_k(50, 20, 2, noisy) == pytest.approx(by_scores, abs=1e-12)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.9])
def test_uncorrected_coverage_is_the_bound_that_it_is_said_to_be(p):
    truth = 1 - (1 - p) ** 2
    assert expected(lambda c: pass_at_k(3, c, 2), p, 3, Verifier(1.0, 0.7)) >= truth - 1e-12
    assert expected(lambda c: pass_at_k(3, c, 2), p, 3, Verifier(0.7, 1.0)) <= truth + 1e-12


def test_the_curve_is_the_mean_over_tasks():
    verdicts = [[True, False, False], [False] * 4, np.array([True, True, False]), [1, 0, 1, 1, 0]]
    curve = coverage(verdicts, range(1, 4))
    assert [point.k for point in curve] == [1, 2, 3]
    singles = [pass_at_k(n, c, 2) for n, c in ((3, 1), (4, 0), (3, 2), (5, 3))]
    assert curve[1].coverage == pytest.approx(np.mean(singles))
    assert curve[1].accepted == curve[1].coverage
    assert curve[1].standard_error == pytest.approx(np.std(singles, ddof=1) / 2)
    assert curve[0].coverage < curve[1].coverage < curve[2].coverage
    (point,) = coverage([[True, False]], [1], Verifier(1.0, 0.8))
    assert point.standard_error is None
    assert point.accepted == 0.5
    assert point.coverage == pytest.approx((0.5 - 0.2) / 0.8)


def test_bad_input_is_told():
    for arguments, shown in [
        ((3, 4, 1), "c=4 of n=3"),
        ((3, 1, 4), "k=4 with n=3"),
        ((3, 1, 0), "k=0"),
        ((3, True, 1), "c=True"),
        ((3.0, 1, 1), r"n=3\.0"),
    ]:
        with pytest.raises(InvalidArgument, match=shown):
            pass_at_k(*arguments)
    with pytest.raises(InvalidArgument, match="task 1 has 1 samples"):
        coverage([[True, False], [True]], [2])
    with pytest.raises(InvalidArgument, match="task 0 has the verdict 'yes'"):
        coverage([["yes"]], [1])
    with pytest.raises(InvalidArgument, match="no tasks"):
        coverage([], [1])
    with pytest.raises(InvalidArgument, match="no more often"):
        Verifier(0.5, 0.5)
    with pytest.raises(InvalidArgument, match="specificity=2"):
        Verifier(0.5, 2)
    with pytest.raises(InvalidArgument, match="beyond 1e308"):
        pass_at_k(2000, 0, 1000, Verifier(0.6, 0.6))
