"""The exactness suite passes, and fails under each seeded bug."""

import pytest

from grammars import PPLError
from inference.testing.mutants import MUTANTS
from inference.testing.suite import run_suite


def test_the_suite_passes():
    run_suite()


def test_there_are_enough_mutants():
    assert len(MUTANTS) >= 30


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_kills(mutant):
    with mutant.planted(), pytest.raises((AssertionError, PPLError)):
        (mutant.part or run_suite)()
    assert mutant.description
