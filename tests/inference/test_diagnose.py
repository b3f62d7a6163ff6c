"""Diagnoses: good runs are called good, and each bad situation, constructed here, is named with what to do."""

import math

import numpy as np
import pytest

from grammars import Regex
from inference import (
    SMC,
    AdaptiveRejection,
    BeamSearch,
    BestOfN,
    Diagnosis,
    Enumerate,
    Finding,
    Importance,
    LocallyConstrained,
    ParticleGibbs,
    Posterior,
    Rejection,
    Sample,
    SuffixMCMC,
    TableLM,
    TemperedSMC,
    Until,
    infer,
)
from inference.diagnostics import Cost, Step
from inference.testing.programs import uneven
from ppl import Categorical, condition, factor, program, sample
from ppl.trace import Trace

LM = TableLM(["a", "b"], lambda prompt, tokens: [0.5, 0.3, 0.2])


@program
def easy():
    return sample(LM("", max_tokens=20))


@program
def late(weight):
    """A reward that weighs at the end only, and lies far from the proposal for large weights."""
    text = sample(LM("", max_tokens=20))
    factor(weight * text.count("b"))
    return text


@program
def rare():
    """A value that is seldom drawn and has nearly all of the mass."""
    k = sample(Categorical(list(range(100))))
    factor(8.0 if k == 0 else 0.0)
    return k


@program
def needle():
    text = sample(LM("", max_tokens=20))
    condition(text.startswith("bbbbbbbbbb"))
    return text


@program
def steered():
    return sample(LM("", max_tokens=20) & Regex("b{10}[ab]*"))


@program
def short():
    return sample(LM("", max_tokens=2) & Regex("[ab]{4}"))


def findings(posterior, severity=None):
    diagnosis = posterior.diagnose()
    return [f for f in diagnosis.findings if severity in (None, f.severity)]


GOOD = [
    (easy(), SMC(32)),
    (easy(), Importance(200)),
    (late(0.1), SMC(64)),
    (late(0.1), TemperedSMC(64)),
    (steered(), SMC(16)),
    (easy(), Rejection(64)),
    (easy(), AdaptiveRejection(32)),
    (uneven(), Enumerate()),
    (late(0.1), Until(SMC(32), runs=6)),
    (easy(), SuffixMCMC(chains=4, sweeps=300)),
    (uneven(), ParticleGibbs(particles=8, sweeps=150)),
]


@pytest.mark.parametrize(("model", "method"), GOOD, ids=lambda x: repr(x)[:24])
def test_good_runs_are_called_good(model, method):
    """For several seeds; notes are allowed."""
    for seed in range(1 if isinstance(method, ParticleGibbs) else 3):
        diagnosis = infer(model, method, seed=seed).diagnose()
        assert diagnosis.trusted, str(diagnosis)
        assert diagnosis.verdict == "nothing speaks against this run"


def test_weights_that_rest_on_few():
    posterior = infer(late(4.0), Importance(50), seed=0)
    (finding,) = findings(posterior, "severe")
    assert finding.number == pytest.approx(posterior.genealogy.effective[0])
    assert "of the weight descends from one" in finding.what
    assert "at least" in finding.advice
    assert "SMC" in finding.advice
    assert "potential" in finding.advice
    rough = infer(uneven(), SMC(16, 1.0, "multinomial"), seed=0).diagnose()
    (warning,) = rough.findings[:1]
    assert (warning.severity, rough.verdict) == ("warning", "use this run with care")
    assert "systematic" in warning.advice


def test_the_number_of_particles_that_is_advised_is_enough():
    """It is in the order of what makes the alarm go away; of a run that is only rough."""
    posteriors = [infer(late(0.8), Importance(64), seed=s) for s in range(20)]
    rough = next(p for p in posteriors if findings(p, "warning") and not findings(p, "severe"))
    advised = int(findings(rough, "warning")[0].advice.split()[1])
    families = [infer(late(0.8), Importance(advised), seed=s).genealogy.effective[0] for s in range(5)]
    assert 5.0 < np.median(families) < 50.0


def test_a_common_ancestor():
    steps = [Step(1, 4, 4.0, 0.0), Step(2, 4, 1.0, 0.0, (2, 2, 2, 2)), Step(3, 4, 4.0, 0.0)]
    samples = [Sample(v, 0.0, Trace([]), place) for place, v in enumerate("abcd")]
    method = "SMC(particles=4, ess_threshold=0.5, resampling='systematic')"
    posterior = Posterior(samples, 0.0, method, 0, steps, Cost(8, 2, 8, 0.1), particles=4)
    (finding,) = findings(posterior, "severe")
    assert "up to tick 1 of 3 all have the same ancestor" in finding.what
    assert "or more" in posterior.diagnose().measures


def test_weights_with_a_heavy_tail():
    shapes = []
    for seed in range(4):
        posterior = infer(late(0.7), Importance(1000), seed=seed)
        shapes += [f.number for f in posterior.diagnose().findings if "Pareto" in f.what]
    assert shapes
    assert min(shapes) > 0.66


def test_one_particle():
    (finding,) = findings(infer(easy(), SMC(1)), "warning")
    assert "single particle" in finding.what


def test_nobody_survives():
    for model, advice in ((needle(), "in the target"), (short(), "max_tokens")):
        posterior = infer(model, SMC(4), seed=0)
        diagnosis = posterior.diagnose()
        (finding,) = diagnosis.severe
        assert posterior.no_survivors in finding.what
        assert advice in finding.advice
        assert not diagnosis.trusted
    rejected = infer(late(-9.0), Rejection(4, log_bound=10.0), seed=1)
    assert "attempts" in str(rejected.diagnose())


def test_deaths_and_forced_ends_are_noted():
    @program
    def often_dead():
        text = sample(LM("", max_tokens=3))
        condition(text.startswith("b"))
        return text

    said = str(infer(often_dead(), SMC(64), seed=0).diagnose())
    assert "particles died" in said
    assert "ended because they had max_tokens" in said
    posterior = infer(often_dead(), SMC(64), seed=0)
    (site,) = posterior.sites
    assert 0 < site.forced < site.ended <= 64
    assert Posterior.from_json(posterior.to_json()).sites == posterior.sites


def test_checks_in_vain():
    lm = TableLM([str(k) for k in range(300)], lambda prompt, ids: [1 / 301] * 301)

    @program
    def checked():
        return sample(lm("", max_tokens=1) & Regex("7").by_check())

    (finding,) = [f for f in findings(infer(checked(), Importance(8), seed=0)) if "checked passed" in f.what]
    assert finding.number < 0.02
    assert "mask" in finding.advice


def test_chains_that_do_not_move():
    posterior = infer(rare(), SuffixMCMC(chains=2, sweeps=60, start_particles=400), seed=3)
    (finding,) = [finding for finding in findings(posterior, "severe") if "moved" in finding.what]
    assert finding.number < 0.02


def test_chains_that_disagree_or_are_short():
    values = ["a"] * 20 + ["bb"] * 20
    samples = [Sample(v, 0.0, Trace([]), k) for k, v in enumerate(values)]
    steps = [Step(1, 2, 2.0, 0.0), *(Step(k, 2, 2.0, 0.0, moved=0.5) for k in range(2, 22))]
    method = "SuffixMCMC(chains=2, sweeps=20, burn_in=0, cut='uniform', start_particles=16)"
    posterior = Posterior(samples, 0.0, method, 0, steps, Cost(8, 2, 8, 0.1), particles=40, chains=2)
    assert any("disagree: R̂ inf" in f.what for f in posterior.diagnose().severe)
    few = infer(uneven(), SuffixMCMC(chains=2, sweeps=5), seed=0)
    assert "too few" in str(few.diagnose())


def test_few_independent_draws():
    posterior = infer(late(-0.5), Rejection(8), seed=0)
    (finding,) = [f for f in findings(posterior) if "only" in f.what]
    assert int(finding.advice.split("=")[1].split()[0]) == math.ceil(80 / len(posterior))
    reached = infer(steered(), AdaptiveRejection(50, max_attempts=20), seed=0)
    assert not reached.samples or "max_attempts=20 was reached" in str(reached.diagnose())


def test_runs_that_differ():
    posterior = infer(late(3.0), Until(Importance(4), runs=12), seed=0)
    assert "the evidence differs between runs" in str(posterior.diagnose())
    assert not posterior.diagnose().trusted
    assert "too few" in str(infer(easy(), Until(SMC(16), runs=2)).diagnose())


@pytest.mark.parametrize(
    "method", [LocallyConstrained(8), BestOfN(8), BeamSearch(8)], ids=lambda m: type(m).__name__
)
def test_heuristics_say_so(method):
    (finding,) = findings(infer(uneven(), method), "warning")
    assert "another target" in finding.what


def test_a_method_that_is_not_known():
    samples = [Sample(k, w, Trace([]), k) for k, w in enumerate([0.0, -9.0, -9.0])]
    posterior = Posterior(samples, 0.0, "Mine()", 0, (), Cost(0, 0, 0, 0.0), particles=3)
    assert "of Mine only the weights" in str(posterior.diagnose())
    assert posterior.diagnose().severe


def test_a_population_without_places():
    posterior = infer(easy(), SMC(16), seed=0)
    data = posterior.to_dict()
    for kept in data["samples"]:
        del kept["place"]
    again = Posterior.from_dict(data).diagnose()
    assert again.trusted
    assert "only the weights" in str(again)


def test_findings_are_in_order_and_are_not_markup():
    diagnosis = Diagnosis(
        "2 samples",
        (Finding("note", "n"), Finding("severe", "<b>\x1b", 1.0, "do & so"), Finding("warning", "w")),
    )
    assert [f.severity for f in diagnosis.findings] == ["severe", "warning", "note"]
    assert diagnosis.severe == diagnosis.findings[:1]
    assert "&lt;b&gt;\\x1b" in diagnosis._repr_html_()
    assert "do &amp; so" in diagnosis._repr_html_()
    assert str(diagnosis).splitlines()[0] == "do not trust this run: 2 samples"


def test_values_that_do_not_compare_to_numbers():
    @program
    def arrays():
        return np.arange(sample(Categorical([2, 2])))

    assert infer(arrays(), SMC(8)).diagnose().trusted
