"""Beam search: with room for all it is enumeration; else it keeps what a beam search by the definition keeps."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import Regex, text_predicate
from inference import BeamSearch, Enumerate, TableLM, TableMDM, infer
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing import check_unbiased, paths
from inference.testing.strategies import programs
from inference.testing.suite import check_method
from ppl import Categorical, InvalidArgument, condition, factor, observe, program, sample
from tests.inference.shared_programs import LM, two_texts


@settings(max_examples=80)
@given(programs())
def test_with_room_for_all_runs_it_gives_the_measure(random):
    check_unbiased(random.model(), BeamSearch(100_000))


def test_with_room_for_all_it_passes_as_a_method():
    check_method(BeamSearch(1000))
    exact, beam = infer(two_texts(), Enumerate()), infer(two_texts(), BeamSearch(1000))
    assert len(beam) == len(exact) > 50
    assert beam.mode() == exact.mode()
    assert beam.log_evidence == pytest.approx(exact.log_evidence, abs=1e-10)


@settings(max_examples=60)
@given(programs(), st.integers(1, 4))
def test_runs_have_their_true_masses(random, width):
    exact, beam = infer(random.model(), Enumerate()), infer(random.model(), BeamSearch(width))
    assert len(beam) <= width
    assert beam.log_evidence <= exact.log_evidence + 1e-10
    left = {}
    for run in exact.samples:
        left.setdefault(outcomes(run), []).append(run.log_weight)
    for run in beam.samples:  # every run at most once, with the mass of a run of the same choices
        masses = left[outcomes(run)]
        nearest = min(masses, key=lambda w: abs(w - run.log_weight))
        assert run.log_weight == pytest.approx(nearest, abs=1e-10)
        masses.remove(nearest)


def outcomes(run):
    return tuple(choice.outcome for choice in run.trace)


def beam_by_definition(lm, allowed, max_tokens, width):
    """Beam search over one text, spelled out: prefixes with their masses under a predicate on (ids, token)."""
    end, beam = lm.vocabulary.end, [((), 0.0)]
    while not all(ids[-1:] == (end,) for ids, _ in beam):
        grown = []
        for ids, log_mass in beam:
            if ids[-1:] == (end,):
                grown.append((ids, log_mass))
                continue
            logs = lm.logprobs(lm.encode_prompt("x"), ids).tolist()
            grown += [
                ((*ids, token), log_mass + log_p)
                for token, log_p in enumerate(logs)
                if log_p > -math.inf
                and (token == end or len(ids) < max_tokens)
                and allowed(lm.vocabulary.decode(ids).decode(), token)
            ]
        beam = sorted(grown, key=lambda entry: -entry[1])[:width]
    return {lm.vocabulary.decode(ids[:-1]).decode(): log_mass for ids, log_mass in beam}


@text_predicate
def odd_cs(text: str) -> bool:
    return text.count("c") % 2 == 1


@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_it_is_beam_search_by_the_definition(width):
    @program
    def plain():
        return sample(LM("x", max_tokens=3))

    @program
    def checked():  # the end is checked, and refused after most texts, so that it goes down the ranking
        return sample(LM("x", max_tokens=3) & odd_cs)

    def ends_well(text, token):
        return token != LM.vocabulary.end or text.count("c") % 2 == 1

    for model, allowed in ((plain(), lambda text, token: True), (checked(), ends_well)):
        found = {s.value: s.log_weight for s in infer(model, BeamSearch(width)).samples}
        assert found == pytest.approx(beam_by_definition(LM, allowed, 3, width), abs=1e-10)


def test_it_can_miss_the_mode_and_all_mass():
    lm = TableLM(
        ["a", "b", "c"],
        {
            (): [0.6, 0.4, 0.0, 0.0],
            (0,): [0.3, 0.3, 0.4, 0.0],
            (1,): [0.0, 0.0, 1.0, 0.0],
            **{(i, j): [0.0, 0.0, 0.0, 1.0] for i in range(3) for j in range(3)},
        },
    )

    @program
    def trap(least=0.0):
        text = sample(lm("", max_tokens=2))
        condition(text == "bc" or least == 0.0)
        return text

    assert infer(trap(), Enumerate()).mode() == "bc"
    assert infer(trap(), BeamSearch(1)).mode() == "ac"
    assert infer(trap(), BeamSearch(2)).mode() == "bc"
    lost = infer(trap(1.0), BeamSearch(1))
    assert lost.log_evidence == -math.inf
    assert "condition" in lost.no_survivors


def test_finished_runs_compete_by_what_they_weigh_in_the_end():
    lm = TableLM(["a", "b", "c"], lambda prompt, generated: [0.3, 0.3, 0.3, 0.1])

    @program
    def reordered():
        kind = sample(Categorical(["poor", "rich", "long"], [0.4, 0.3, 0.3]))
        if kind == "long":
            return sample(lm("", max_tokens=1))
        factor(-20.0 if kind == "poor" else 3.0)
        return kind

    posterior = infer(reordered(), BeamSearch(3))
    assert posterior.mode() == "rich"
    assert "poor" not in [sample.value for sample in posterior.samples]


def test_nothing_is_random():
    def run(rng):
        with Runtime() as runtime:
            return BeamSearch(3).run(two_texts(), rng, runtime, Progress())

    assert len(list(paths(run))) == 1


def test_rows_of_finite_sites_do_not_multiply_the_runs():
    @program
    def coins():
        return "".join(sample(Categorical("ab", [1, 2 + i % 3])) for i in range(60))

    posterior = infer(coins(), BeamSearch(3))
    assert posterior.mode() == "b" * 60  # 2 ** 60 runs
    assert len(posterior) == 3
    masses = [math.log((2 + i % 3) / (3 + i % 3)) for i in range(60)]
    assert posterior.samples[0].log_weight == pytest.approx(math.fsum(masses), abs=1e-10)


def test_only_the_largest_tokens_of_a_row_are_looked_at(monkeypatch):
    asked, topk = [], torch.topk
    monkeypatch.setattr(torch, "topk", lambda rows, k, dim: asked.append(k) or topk(rows, k, dim=dim))
    monkeypatch.setattr(torch, "sort", None)  # a whole row is sorted only where checks refuse tokens

    posterior = infer(two_texts(), BeamSearch(2))
    assert set(asked) == {2}
    assert posterior.cost.tokens <= 2 * len(posterior.steps)


def test_dropped_runs_are_recorded_with_the_masses_of_the_others():
    @program
    def model():
        kind = sample(Categorical("xyz", [1, 2, 3]))
        factor(0.3 if kind == "x" else 0.0)
        text = sample(LM(kind, max_tokens=2) & Regex("[abc]+"))
        observe(LM(text, max_tokens=1), "a")
        coin = sample(Categorical("uv", [1, 2]))
        return kind, text, coin

    posterior = infer(model(), BeamSearch(3), record=True)
    record = posterior.record
    for i, kept in enumerate(posterior.samples):
        total = math.fsum(move.log_weight for move in record.moves(i))
        assert total == pytest.approx(kept.log_weight, abs=1e-10)
    ended = {*record.dropped.tolist(), *record.deaths, *record.tips}
    assert set(record.tips) <= set(record.leaves.tolist()) <= ended
    assert len(record.dropped) > 0
    assert posterior.sites[0].tokens > 0
    assert math.fsum(s.log_increment for s in posterior.steps) == pytest.approx(posterior.log_evidence)


def test_refusals():
    with pytest.raises(InvalidArgument, match="width=0"):
        BeamSearch(0)

    @program
    def unmasked():
        return sample(TableMDM.random("ab", seed=1)(length=2, order="random"))

    with pytest.raises(InvalidArgument, match="random order"):
        infer(unmasked(), BeamSearch(2))


def test_no_token_passes():
    @program
    def never():
        return sample(LM("x", max_tokens=2) & text_predicate(lambda text: len(text) > 5))

    posterior = infer(never(), BeamSearch(2))
    assert posterior.log_evidence == -math.inf
    assert posterior.no_survivors
