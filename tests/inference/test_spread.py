"""Runs that are repeated: the mean of their evidence, its error, and the spread of its log."""

import math

import numpy as np
import pytest

from inference import SMC, Enumerate, Importance, evidence_spread, infer, program_seed
from inference.testing.programs import dead_ends, uneven
from ppl import InvalidArgument, condition, program


def test_the_spread_is_that_of_single_runs():
    spread = evidence_spread(uneven(), SMC(4), runs=12, seed=3)
    logs = [infer(uneven(), SMC(4), seed=program_seed(3, r)).log_evidence for r in range(12)]
    np.testing.assert_allclose(spread.log_evidences, logs, atol=1e-12)
    evidences = np.exp(logs)
    assert spread.log_evidence == pytest.approx(math.log(evidences.mean()))
    assert spread.relative_error == pytest.approx(evidences.std(ddof=1) / evidences.mean() / math.sqrt(12))
    assert spread.deviation == pytest.approx(np.std(logs, ddof=1))
    assert spread.empty == 0
    exact = infer(uneven(), Enumerate()).log_evidence
    assert abs(spread.log_evidence - exact) < 4 * spread.relative_error
    assert np.mean(logs) < spread.log_evidence


def test_empty_runs_count_in_the_mean():
    spread = evidence_spread(dead_ends(), Importance(1), runs=40)
    assert 0 < spread.empty < 40
    assert spread.log_evidence == pytest.approx(math.log(np.exp(spread.log_evidences).mean()))
    assert "found no evidence" in str(spread)


@program
def never():
    condition(False)


def test_no_evidence_at_all():
    spread = evidence_spread(never(), Importance(2), runs=2)
    assert spread.log_evidence == -math.inf
    assert math.isnan(spread.relative_error)
    assert math.isnan(spread.deviation)


@pytest.mark.parametrize("runs", [1, True, 2.5])
def test_one_run_has_no_spread(runs):
    with pytest.raises(InvalidArgument, match="at least 2"):
        evidence_spread(uneven(), runs=runs)
