"""Goal inference: translate the description of a blocksworld problem into the atoms of its goal, in PDDL.

A plan for the problem is known. Whatever holds in the goal holds in the plan's final state, so a goal that claims
anything else is wrong, and is so from the first wrong atom on.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from benchmarks.common import data_rows
from benchmarks.domains.blocksworld import Goal, parse, same, show
from benchmarks.domains.case import Case, Task, Verdict, few_shot, spread
from grammars import Constraint, Regex, prefix_predicate

INSTRUCTION = "Each goal lists, in PDDL, what holds at the end of the blocksworld problem above it."
EXAMPLES = (
    (
        "You have 2 blocks.\nYour arm is empty.\nb1 is clear.\nb1 is on the table.\nb2 is clear.\nb2 is on the table.\n"
        "Your goal is to have the following:\nYour arm should be empty.\nb1 should be clear.\nb1 should be on b2.\n"
        "b2 should be on the table.",
        "(arm-empty) (clear b1) (on b1 b2) (on-table b2)",
    ),
    (
        "You have 3 blocks, b1 through b3, stacked on top of each other, and your arm is empty.\n"
        "Your goal is to unstack the blocks into individual blocks on the table.",
        "(arm-empty) (clear b1) (on-table b1) (clear b2) (on-table b2) (clear b3) (on-table b3)",
    ),
)
MOST_BLOCKS = 5
"""Blocks of the largest problems that are asked: their goals have up to 90 tokens."""


@prefix_predicate(complete=lambda text, state: text.endswith(")"))
def holds(text: str, state: frozenset[str]) -> bool:
    """Return whether a goal, or the beginning of one, lists atoms of `state`, each once."""
    *before, last = text.split(") ")
    atoms = [f"{atom})" for atom in before]
    new = state.difference(atoms)
    return len(new) == len(state) - len(atoms) and any(atom.startswith(last) for atom in new)


def cases(count: int) -> list[Case]:
    rows = data_rows("goal_inference/planetarium_blocksworld_dev.jsonl")
    return [case(row) for row in spread([r for r in rows if r["num_objects"] <= MOST_BLOCKS], count)]


def case(row: dict[str, Any]) -> Case:
    prompt = few_shot(INSTRUCTION, ("Problem", "Goal"), EXAMPLES, row["natural_language"])
    gold, state = frozenset(map(tuple, row["goal"])), frozenset(map(tuple, row["plan_final_state"]))
    objects = tuple(row["objects"])
    return Case(
        row["id"],
        prompt,
        partial(constraint, objects, state),
        partial(judge, objects, state, gold, row["goal_is_abstract"]),
    )


def constraint(objects: Iterable[str], state: Goal) -> Constraint:
    """Return the goals in PDDL that list atoms of the state: a grammar, and a check of the atoms while writing."""
    block = "|".join(objects)
    atom = rf"\((arm-empty|(clear|on-table|holding) ({block})|on ({block}) ({block}))\)"
    return Regex(f"{atom}( {atom})*") & holds.bind(frozenset(map(show, state)))


def judge(objects: Iterable[str], state: Goal, gold: Goal, abstract: bool, text: str) -> Verdict:
    """Valid is a goal that the plan reaches; right is one that implies what the gold goal implies."""
    goal = parse(text, objects)
    if goal is None:
        return Verdict(False, 0.0)
    return Verdict(goal <= state, float(same(goal, gold, objects, renamed=abstract)))


TASK = Task(cases, max_tokens=100, score="same goal")
