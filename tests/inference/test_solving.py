"""A budget goes to the tasks that are not solved yet, and every attempt and verdict is counted."""

import pytest

from inference import SMC, Cost, Importance, TableLM, coverage, infer, solve
from ppl import Categorical, InvalidArgument, ProgramError, condition, program, sample

LM = TableLM.random(["a", "b"], seed=8)


@program
def guess(sides):
    """Of so many sides one is right; of none, no side is."""
    side = sample(Categorical(range(sides), [1] * sides)) if sides else 1
    return side, sample(LM("x", max_tokens=2))


@program
def never():
    sample(LM("x", max_tokens=1))
    condition(False)


def is_zero(task, value):
    return value[0] == 0


def test_each_attempt_after_the_first_goes_to_a_task_that_is_not_solved():
    solutions = solve([guess(1), guess(3), guess(0)], is_zero, attempts=30, concurrency=1)
    easy, medium, hopeless = solutions
    assert (easy.solved, easy.attempts) == (True, 1)
    assert medium.solved
    assert 1 <= medium.attempts < 30
    assert (hopeless.solved, hopeless.attempts, hopeless.value, hopeless.seed) == (False, 30, None, None)
    for solution in solutions:
        assert solution.cost.verifier_calls == solution.cost.runs == solution.attempts


def test_an_attempt_can_be_repeated():
    models = [guess(4), guess(4)]
    for model, solution in zip(models, solve(models, is_zero, attempts=50), strict=True):
        again = infer(model, Importance(1), seed=solution.seed, drafts=False)
        assert again.samples[0].value == solution.value
        assert solution.value[0] == 0


def test_the_budget_in_tokens_is_kept():
    fixed = solve([guess(0)] * 4, is_zero, attempts=5, concurrency=1)
    assert all(solution.attempts == 5 for solution in fixed)
    total = Cost.total([solution.cost for solution in fixed]).lm_tokens
    limited = solve([guess(0)] * 4, is_zero, attempts=5, tokens=total // 2, concurrency=1)
    spent = Cost.total([solution.cost for solution in limited]).lm_tokens
    assert total // 2 <= spent < total // 2 + 4  # the last attempt evaluates at most 3 tokens
    attempts = [solution.attempts for solution in limited]
    assert max(attempts) - min(attempts) <= 1  # those with the fewest come first


def test_the_same_budget_solves_more_than_equal_shares():
    models = [guess(1)] * 12 + [guess(12)] * 6
    adaptive = solve(models, is_zero, attempts=12, concurrency=2, seed=1)
    budget = sum(solution.attempts for solution in adaptive)
    assert sum(s.solved for s in adaptive) > 13
    assert budget < 18 * 12 / 2
    equal = solve(models, is_zero, attempts=budget // 18, concurrency=2, seed=1)
    assert sum(s.solved for s in equal) < sum(s.solved for s in adaptive)


def test_values_of_an_attempt_are_verified_from_the_most_probable_on():
    asked = []

    def verify(task, value):
        asked.append(value)
        return value[0] == 2

    (solution,) = solve([guess(3)], verify, SMC(30), seed=2)
    posterior = infer(guess(3), SMC(30), seed=solution.seed, drafts=False)
    ranked = [value for value, _ in posterior.top(len(posterior))]
    assert asked == ranked[: len(asked)]
    assert asked[-1] == solution.value
    assert solution.cost.verifier_calls == len(asked)


def test_no_survivors_and_no_tasks():
    (dead,) = solve([never()], lambda task, value: True, attempts=3)
    assert (dead.solved, dead.attempts, dead.cost.verifier_calls) == (False, 3, 0)
    assert dead.cost.lm_tokens > 0
    assert solve([], is_zero) == []


def test_a_false_verifier_is_as_precise_as_its_first_acceptance():
    """Whatever the attempts: the precision depends on the task alone, the coverage grows."""

    def sloppy(task, value):
        return value[0] in (0, 1)  # accepts one wrong value of four

    right = {}
    for attempts in (1, 8):
        solutions = solve([guess(4)] * 150, sloppy, attempts=attempts, concurrency=64, seed=3)
        accepted = [s for s in solutions if s.solved]
        right[attempts] = len(accepted), sum(s.value[0] == 0 for s in accepted) / len(accepted)
    assert right[8][0] > 1.5 * right[1][0]
    assert right[1][1] == pytest.approx(0.5, abs=0.2)
    assert right[8][1] == pytest.approx(0.5, abs=0.15)
    assert coverage([[True, False]], [1])[0].coverage == 0.5


def test_refusals():
    with pytest.raises(InvalidArgument, match="attempts=0"):
        solve([], is_zero, attempts=0)
    with pytest.raises(InvalidArgument, match="tokens=0"):
        solve([], is_zero, tokens=0)
    with pytest.raises(InvalidArgument, match="verify=3"):
        solve([], 3)
    with pytest.raises(InvalidArgument, match="returned None"):
        solve([guess(1)], lambda task, value: None)
    with pytest.raises(ProgramError, match="raised ZeroDivisionError"):
        solve([guess(1)], lambda task, value: 1 / 0)
