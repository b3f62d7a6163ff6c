"""Records: every move as it was, against exact values on toy models, and no change to the run."""

import math
from itertools import pairwise

import numpy as np
import pytest

from grammars import Regex, prefix_predicate
from inference import (
    AWRS,
    SMC,
    Enumerate,
    Flag,
    Importance,
    LocallyConstrained,
    Posterior,
    Record,
    Rejection,
    TableLM,
    TableMDM,
    TemperedSMC,
    infer,
)
from inference.progress import Progress
from inference.recording import Recording
from inference.runtime import Runtime
from inference.testing import measure
from inference.testing.enum_rng import expectation, paths
from inference.weights import log_mean_exp
from ppl import Categorical, InvalidArgument, condition, factor, observe, potential, program, sample
from ppl.rng import Rng

LM = TableLM.random(["a", "b", "ab"], seed=1)
TABLE = TableLM(
    ["a", "b"],
    {(): [0.5, 0.3, 0.2], (0,): [0.25, 0.25, 0.5], (1,): [0.6, 0.1, 0.3], (0, 0): [0.1, 0.2, 0.7],
     (0, 1): [0.3, 0.3, 0.4], (1, 0): [0.2, 0.2, 0.6], (1, 1): [0.9, 0.05, 0.05]},
)  # fmt: skip
MDM = TableMDM.random("ab", seed=5)


@prefix_predicate
def no_aa(text):
    return "aa" not in text


@program
def everything():
    """Choices, masks, checks, a pool, potentials, observations, factors, and deaths at several places."""
    prompt = sample(Categorical(["x", "y"], [1, 2]))
    first = sample(LM(prompt, max_tokens=3) & Regex("(a|b)+"), name="first")
    factor(-0.3 * len(first))
    second = sample((LM(first, max_tokens=2) ** 2 & no_aa) * potential(lambda text: -0.5 * len(text)))
    condition(first != second)
    observe(LM(second, max_tokens=2), "a")
    return first, second


@program
def filled():
    text = sample(MDM("", length=2) ** 2)
    condition(text != "bb")
    return text


METHODS = [
    SMC(8, 0.9),
    SMC(8, 1.0, "multinomial"),
    Importance(8),
    Rejection(1000, batch=400),
    TemperedSMC(6, exponents=(0.5, 1.0)),
    TemperedSMC(6, start=0.5),
    LocallyConstrained(8),
    Enumerate(),
]


@pytest.mark.parametrize(
    ("model", "method"),
    [(everything(), method) for method in METHODS] + [(filled(), SMC(8, 1.0)), (filled(), Rejection(64))],
    ids=repr,
)
def test_recording_changes_nothing_and_can_be_kept(model, method):
    recorded, plain = infer(model, method, seed=2, record=True), infer(model, method, seed=2)
    differing = {"cost": 0, "sites": 0, "record": 0}
    assert recorded.to_dict() | differing == plain.to_dict() | differing
    assert plain.record is None
    again = Posterior.from_json(recorded.to_json())
    assert isinstance(again.record, Record)
    assert again.to_dict() == recorded.to_dict()
    assert len(recorded.record.tips) == len(recorded) > 0
    for i in range(len(recorded)):
        np.testing.assert_equal(again.record.moves(i), recorded.record.moves(i))


def replay(record, steps):
    """Return the log-weights of a population at its end, and its log-evidence, from its record and the ancestors."""
    size = int((record.parents < 0).sum())
    totals = np.zeros(size)
    np.add.at(totals, record.lanes[record.ticks == 0], record.log_weights[record.ticks == 0])
    for k, step in enumerate(steps, 1):
        nodes = np.flatnonzero(record.ticks == k).tolist()
        if step.ancestors is not None:
            masses = np.zeros(size)
            for node in nodes:
                if record.flags[node] & Flag.DROPPED:
                    masses[record.lanes[node]] = record.log_masses[node]
                elif not record.flags[node] & Flag.CHOICE:
                    masses[step.ancestors[record.lanes[node]]] = record.log_masses[node]
            totals[:] = log_mean_exp(totals + masses)
        nodes = [node for node in nodes if not record.flags[node] & Flag.DROPPED]
        for lane in {int(record.lanes[node]) for node in nodes}:
            moves = [node for node in nodes if record.lanes[node] == lane]
            weighed = record.log_masses[moves[0]] if step.ancestors is not None else 0.0
            totals[lane] += sum(record.log_weights[node] for node in moves) - weighed
    return totals, log_mean_exp(totals)


@pytest.mark.parametrize("scheme", ["systematic", "multinomial"])
@pytest.mark.parametrize("seed", range(5))
def test_the_record_and_the_ancestors_give_the_weights_of_smc(scheme, seed):
    posterior = infer(everything(), SMC(12, 1.0, scheme), seed=seed, record=True)
    assert any(step.resampled for step in posterior.steps)
    totals, log_evidence = replay(posterior.record, posterior.steps)
    assert log_evidence == pytest.approx(posterior.log_evidence, abs=1e-10)
    kept = [float(w) for w in totals if w > -math.inf]
    assert kept == pytest.approx([kept.log_weight for kept in posterior.samples], abs=1e-10)


@pytest.mark.parametrize("method", [Importance(16), SMC(16, 0.0), Enumerate()], ids=repr)
@pytest.mark.parametrize("seed", range(5))
def test_increments_along_a_path_add_up_to_the_log_weight(method, seed):
    posterior = infer(everything(), method, seed=seed, record=True)
    for i, kept in enumerate(posterior.samples):
        total = math.fsum(move.log_weight for move in posterior.record.moves(i))
        assert total == pytest.approx(kept.log_weight, abs=1e-10)
    dead = [node for node in posterior.record.leaves.tolist() if node in posterior.record.deaths]
    assert all(posterior.record.log_weights[node] == -math.inf for node in dead)


def test_tokens_masses_and_weights_are_the_exact_ones():
    @program
    def model():
        return sample(TABLE("", max_tokens=2) & Regex("ab?|bb"))

    posterior = infer(model(), SMC(40, 1.0), seed=0, record=True)
    record, seen = posterior.record, set()
    allowed = {b"": ["a", "b"], b"a": ["b", "end"], b"b": ["b"], b"ab": ["end"], b"bb": ["end"]}
    for i, kept in enumerate(posterior.samples):
        start, *moves = record.moves(i)
        assert start.flags == Flag.START
        assert start.symbol is None
        assert b"".join(move.symbol.data for move in moves).decode() == kept.value
        written, ids = b"", ()
        for before, move in pairwise([start, *moves]):
            row = TABLE._probs("", ids)
            names = ["a", "b", "end"]
            mass = math.fsum(row[names.index(name)] for name in allowed[written])
            assert move.log_prob == pytest.approx(math.log(row[move.symbol.token]), abs=1e-12)
            assert move.log_mass == pytest.approx(math.log(mass), abs=1e-12)
            assert move.log_weight == pytest.approx(math.log(mass), abs=1e-12)
            assert (Flag.FORCED in move.flags) == (len(allowed[written]) == 1)
            assert (Flag.ENDS in move.flags) == (move.symbol.token == 2)
            assert (Flag.FIRST in move.flags) == (written == b"")
            assert (move.tick, move.kernel, move.rejected) == (before.tick + 1, "masked", ())
            written, ids = written + move.symbol.data, (*ids, move.symbol.token)
            seen.add(written)
    assert seen == {b"a", b"ab", b"b", b"bb"}


@program
def ragged():
    """Particles of one model under two kernels in a tick, deaths before resamplings, weights between all moves."""
    factor(0.25)
    coin = sample(Categorical(["masked", "direct"], [1, 2]))
    factor(-0.5)
    again = sample(Categorical([1, 2]))
    masked = LM("m", max_tokens=6) & Regex("a+b*")
    text = sample(masked if coin == "masked" else LM("d", max_tokens=2))
    factor(-0.75)
    condition(len(text) != again)
    return text


@pytest.mark.parametrize(
    "method", [SMC(24, 1.0), SMC(24, 0.0), TemperedSMC(8, start=0.5), Enumerate()], ids=repr
)
def test_log_probabilities_are_those_of_the_model_whatever_the_kernels(method):
    record = infer(ragged(), method, seed=0, record=True).record
    kernels = {}
    for leaf in record.leaves.tolist():
        moves = [record.move(node) for node in record.path(leaf)]
        drawn = [move for move in moves if move.kernel is not None and move.symbol is not None]
        prompt, ids = moves[1].symbol.data.decode()[1], ()
        for move in drawn:
            row = LM._probs(prompt, ids)
            assert move.log_prob == pytest.approx(math.log(row[move.symbol.token]), abs=1e-12)
            kernels.setdefault(move.tick, set()).add(move.kernel)
            ids = (*ids, move.symbol.token)
    assert kernels[1] == {"direct", "masked"}


def test_what_the_program_adds_belongs_to_the_move_before():
    record = infer(ragged(), SMC(24, 0.0), seed=0, record=True).record
    for leaf in record.tips:
        start, coin, again, *tokens = (record.move(node) for node in record.path(leaf))
        assert start.log_weight == pytest.approx(0.25)
        assert coin.log_weight == pytest.approx(-0.5)
        assert again.log_weight == pytest.approx(math.log(1.0))
        assert tokens[-1].log_weight == pytest.approx(tokens[-1].log_mass - 0.75)


def test_who_is_dead_is_not_dropped_later():
    posterior = infer(ragged(), SMC(24, 1.0), seed=1, record=True)
    record = posterior.record
    died = min(int(record.ticks[node]) for node in record.deaths)
    assert any(step.resampled for step in posterior.steps[died:])
    assert set(record.deaths) <= set(record.leaves.tolist())


def test_rejected_candidates_are_those_that_the_check_refuses():
    lm = TableLM.random(["a", "b", "c", "d"], seed=2)

    @prefix_predicate
    def only_d(text):
        return set(text) <= {"d"}

    @program
    def model():
        return sample(lm("", max_tokens=3) & only_d)

    posterior = infer(model(), Importance(30), seed=1, record=True, awrs=AWRS(max_accepts=2))
    refused = [s.data for i in range(len(posterior)) for m in posterior.record.moves(i) for s in m.rejected]
    assert set(refused) == {b"a", b"b", b"c"}
    counts = posterior.sites[0]
    everywhere = sum(len(symbols) for symbols in posterior.record.rejected.values())
    assert everywhere == counts.draws - counts.accepted
    starved = infer(model(), Importance(30), seed=1, record=True, awrs=AWRS(max_accepts=1, max_rejects=1))
    dead = [starved.record.move(node) for node in starved.record.deaths]
    assert any(Flag.DEATH in m.flags and len(m.rejected) == 1 and m.log_weight == -math.inf for m in dead)


def test_paths_of_enumeration_carry_the_mass_of_their_values():
    posterior = infer(everything(), Enumerate(), record=True)
    masses = {}
    for i, kept in enumerate(posterior.samples):
        mass = math.exp(math.fsum(move.log_weight for move in posterior.record.moves(i)))
        masses[kept.value] = masses.get(kept.value, 0.0) + mass
    assert masses == pytest.approx(measure(everything()), abs=1e-12)


@program
def small():
    text = sample(LM("x", max_tokens=2) & Regex("a?b"))
    factor(0.4 * len(text))
    condition(text != "b")
    return text


def recorded(method, rng):
    recording = Recording()
    with Runtime(recorder=recording) as runtime:
        result = method.run(small(), rng, runtime, Progress())
    return result, recording.record([p for p in result.particles if p.finished])


def test_the_mean_weight_of_recorded_paths_is_the_measure():
    def estimate(rng):
        result, record = recorded(Importance(2), rng)
        values = [p.value for p in result.particles if p.finished]
        found = {}
        for i, value in enumerate(values):
            weight = math.exp(math.fsum(move.log_weight for move in record.moves(i))) / 2
            found[value] = found.get(value, 0.0) + weight
        return found

    assert expectation(estimate) == pytest.approx(measure(small()), abs=1e-10)


def test_the_record_gives_the_evidence_on_every_path_of_the_random_choices():
    count = 0
    for _, (result, record) in paths(lambda rng: recorded(SMC(2, 1.0), rng)):
        totals, log_evidence = replay(record, result.steps)
        assert math.exp(log_evidence) == pytest.approx(math.exp(result.log_evidence), abs=1e-10)
        assert np.exp(totals) == pytest.approx(np.exp(result.log_weights), abs=1e-10)
        count += 1
    assert count > 8  # drawn tokens and resampled ancestors


@pytest.mark.parametrize("seed", range(4))
def test_deaths_and_drops_are_leaves(seed):
    posterior = infer(everything(), SMC(16, 1.0), seed=seed, record=True)
    record, leaves = posterior.record, set(posterior.record.leaves.tolist())
    assert set(record.dropped.tolist()) <= leaves
    assert set(record.deaths) <= leaves
    assert leaves == set(record.dropped.tolist()) | set(record.deaths) | set(record.tips)
    assert len(record.dropped) > 0
    for node in record.dropped.tolist():
        ancestors = posterior.steps[record.ticks[node] - 1].ancestors
        assert record.lanes[node] not in ancestors


@program
def dead_ends():
    """Some reach the length limit and may not end there, in a tick that resamples; others go on."""
    limit = sample(Categorical([3, 6]))
    return sample(LM("x", max_tokens=limit) & Regex("([ab][ab])+"))


@pytest.mark.parametrize("seed", range(4))
def test_who_dies_in_a_tick_that_resamples_is_recorded_as_dead(seed):
    posterior = infer(dead_ends(), SMC(24, 1.0), seed=seed, record=True)
    record = posterior.record
    assert set(record.leaves.tolist()) == set(record.dropped.tolist()) | set(record.deaths) | set(record.tips)
    assert not set(record.dropped.tolist()) & set(record.deaths)
    moves = [record.move(node) for node in record.deaths]
    assert any(posterior.steps[move.tick - 1].resampled for move in moves)
    assert all("may not end there" in move.death and move.log_weight == -math.inf for move in moves)
    _, log_evidence = replay(record, posterior.steps)
    assert log_evidence == pytest.approx(posterior.log_evidence, abs=1e-10)
    assert len(moves) + len(record.dropped) > 0


def test_deaths_have_their_reasons():
    record = infer(never(), SMC(4), record=True).record
    assert record.tips == ()
    assert list(record.deaths.values()) == ["the condition was false"] * 4
    assert all(record.move(node).log_weight == -math.inf for node in record.deaths)


@program
def never():
    condition(sample(LM("x", max_tokens=1)) == "no such text")


def test_masked_diffusion_is_recorded_by_position():
    posterior = infer(filled(), SMC(8, 1.0), seed=0, record=True)
    for i, kept in enumerate(posterior.samples):
        moves = sorted(posterior.record.moves(i)[1:], key=lambda move: move.position)
        assert "".join(move.symbol.data.decode() for move in moves) == kept.value


def test_record_is_a_bool():
    with pytest.raises(InvalidArgument, match="record='yes'"):
        infer(small(), record="yes")


def test_what_is_not_recorded_costs_no_rejections_kept():
    with Runtime() as runtime:
        Importance(2).run(everything(), Rng(0), runtime, Progress())
        assert all(site.rejected is None for site in runtime.sites.values())


def test_particles_that_run_ahead_are_recorded_in_the_tick_of_their_pass():
    drafting = TableLM.random(["a", "b"], seed=3)
    drafting.pass_cost = 32.0

    @program
    def repetitive():
        return sample(drafting("p", max_tokens=12) & Regex("(abba)*|b+"))

    posterior = infer(repetitive(), Importance(6), seed=1, record=True)
    record = posterior.record
    assert posterior.cost.lm_calls < max(len(str(s.value)) for s in posterior.samples)
    assert int(record.ticks.max()) == len(posterior.steps)
    together = 0
    for i, found in enumerate(posterior.samples):
        moves = [move for move in record.moves(i) if move.symbol is not None]
        assert b"".join(move.symbol.data for move in moves).decode() == found.value
        assert math.fsum(move.log_weight for move in record.moves(i)) == pytest.approx(
            found.log_weight, abs=1e-10
        )
        together += sum(a.tick == b.tick for a, b in pairwise(moves))
    assert together > 0
