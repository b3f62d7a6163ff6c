"""Votes: the posterior's image under a projection, its ties and its abstentions."""

import numpy as np
import pytest

from inference import SMC, Enumerate, NoSurvivors, Posterior, Sample, TableLM, infer
from inference.diagnostics import Cost
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing import expectation, measure
from inference.weights import normalise
from ppl import InvalidArgument, condition, factor, program, sample
from ppl.trace import Trace

LM = TableLM.random(["a", "b"], seed=9)


@program
def reasoned():
    text = sample(LM("x", max_tokens=3))
    factor(0.4 * len(text))
    return text


def weighted(**masses):
    samples = [Sample(value, float(np.log(mass)), Trace([])) for value, mass in masses.items()]
    return Posterior(samples, 0.0, "by hand", 0, (), Cost(0, 0, 0, 0.0))


def last(text):
    return text[-1:] or None


def test_shares_are_the_image_of_the_exact_posterior():
    masses = measure(reasoned())
    total, image = sum(masses.values()), {}
    for text, mass in masses.items():
        image[last(text)] = image.get(last(text), 0.0) + mass / total
    missing = image.pop(None)
    vote = infer(reasoned(), Enumerate()).vote(last)
    assert dict(vote.shares) == pytest.approx(image, abs=1e-10)
    assert 1.0 - sum(p for _, p in vote.shares) == pytest.approx(missing, abs=1e-10)
    assert vote.winner == max(image, key=image.get)
    assert vote.share == pytest.approx(max(image.values()), abs=1e-10)
    assert vote.tied == (vote.winner,)


def test_evidence_times_share_is_unbiased():
    masses, image = measure(reasoned()), {}
    for text, mass in masses.items():
        image[last(text)] = image.get(last(text), 0.0) + mass

    def estimate(rng):
        with Runtime() as runtime:
            result = SMC(1).run(reasoned(), rng, runtime, Progress())
        weights = normalise(result.log_weights).tolist()
        samples = [
            Sample(p.value, np.log(w), p.trace) for p, w in zip(result.particles, weights, strict=True)
        ]
        vote = Posterior(samples, 0.0, "", 0, (), Cost(0, 0, 0, 0.0)).vote(last)
        return {answer: share * np.exp(result.log_evidence) for answer, share in vote.shares}

    del image[None]
    assert expectation(estimate) == pytest.approx(image, abs=1e-10)


def test_the_answer_of_most_weight_is_not_that_of_the_best_text():
    posterior = weighted(**{"so 1": 0.4, "thus 2": 0.3, "hence 2": 0.3})
    assert posterior.mode() == "so 1"
    assert posterior.vote(lambda text: text[-1]).winner == "2"
    assert posterior.vote().winner == "so 1"


def test_ties_are_told_and_go_to_the_first():
    thirds = weighted(x1=0.1, y2=0.3, y1=0.2, z=0.4)
    vote = thirds.vote(lambda text: text[1:] or None)
    assert vote.winner == "1"
    assert vote.tied == ("1", "2")
    assert vote.share == pytest.approx(0.3)
    assert weighted(p=0.1, q=0.1).vote().tied == ("p", "q")


def test_a_vote_abstains_below_the_least_share():
    posterior = weighted(a=0.5, b=0.3, c=0.2)
    assert posterior.vote(least=0.5).winner == "a"
    abstained = posterior.vote(least=0.51)
    assert abstained.winner is None
    assert abstained.share == pytest.approx(0.5)
    assert abstained.shares[0].value == "a"
    none = posterior.vote(lambda value: None)
    assert (none.winner, none.share, none.tied, none.shares) == (None, 0.0, (), ())


def test_weight_without_an_answer_counts_against_all():
    vote = weighted(a=0.45, b=0.15, lost=0.4).vote(lambda v: v if len(v) == 1 else None, least=0.5)
    assert vote.winner is None
    assert vote.share == pytest.approx(0.45)


def test_answers_that_cannot_be_hashed():
    vote = weighted(ab=0.3, ba=0.3, c=0.4).vote(lambda text: sorted(text))
    assert vote.winner == ["a", "b"]
    assert weighted(ab=0.3, ba=0.3, c=0.4).vote(lambda text: np.array([len(text)])).winner.tolist() == [2]


def test_errors():
    with pytest.raises(InvalidArgument, match=r"least=1\.5"):
        weighted(a=1.0).vote(least=1.5)

    @program
    def never():
        condition(False)

    with pytest.raises(NoSurvivors):
        infer(never(), SMC(2)).vote()
