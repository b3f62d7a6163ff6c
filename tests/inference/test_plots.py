"""Plots: what is drawn is what the posterior says."""

import sys

import numpy as np
import pytest

from grammars import Regex
from inference import SMC, Importance, MissingDependency, TableLM, infer, plots
from ppl import InvalidArgument, condition, program, sample

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

LM = TableLM.random(["a", "b"], seed=1)


@program
def model():
    text = sample(LM("x", max_tokens=6) & Regex("(a|bb)+"))
    condition(len(text) > 1)
    return text


@pytest.fixture(autouse=True)
def _close():
    yield
    matplotlib.pyplot.close("all")


POSTERIOR = infer(model(), SMC(20, 0.9), seed=0)


def test_curves_are_those_of_the_steps():
    curve, marks = plots.ess(POSTERIOR).get_lines()
    assert curve.get_ydata().tolist() == [step.ess for step in POSTERIOR.steps]
    assert list(marks.get_xdata()) == [step.tick for step in POSTERIOR.steps if step.resampled] != []
    (curve,) = plots.evidence(POSTERIOR).get_lines()
    assert curve.get_ydata()[-1] == pytest.approx(POSTERIOR.log_evidence)
    heights = [bar.get_height() for bar in plots.weights(POSTERIOR).patches]
    assert heights == sorted(POSTERIOR.weights, reverse=True)


def test_the_genealogy_has_a_line_from_each_particle_to_its_parent():
    ax = plots.genealogy(POSTERIOR)
    drawn = set()
    for line in ax.get_lines():
        x, y = (np.array(part).reshape(-1, 3) for part in line.get_data())
        drawn |= {
            (int(b[0]), int(b[1]), int(e)) for b, e in zip(np.c_[x[:, 1], y[:, 0]], y[:, 1], strict=True)
        }
    expected = {
        (k, a, j)
        for k, step in enumerate(POSTERIOR.steps, 1)
        for j, a in enumerate(step.ancestors or range(20))
    }
    assert drawn == expected


def test_survivors_are_the_ancestors_of_the_last_population():
    parents = [np.array([0, 0, 2]), np.array([1, 2, 2])]
    kept = plots.survivors(parents, 3)
    assert [k.tolist() for k in kept] == [[True, False, True], [False, True, True], [True, True, True]]


def test_overviews_and_axes():
    assert len(POSTERIOR.plot().axes) == 4
    never_resampled = infer(model(), Importance(8), seed=0)
    assert len(never_resampled.plot().axes) == 4
    with pytest.raises(InvalidArgument, match="never resampled"):
        plots.genealogy(never_resampled)
    ax = matplotlib.pyplot.figure().subplots()
    assert plots.ess(POSTERIOR, ax) is ax


def test_nobody_left_is_a_plot_too():
    @program
    def never():
        condition(sample(LM("x", max_tokens=2)) == "no")

    assert len(infer(never(), SMC(4)).plot().axes) == 4


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingDependency, match=r"pip install 'ppl\[plots\]'"):
        POSTERIOR.plot()
