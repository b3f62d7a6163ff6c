"""Goal inference: what does somebody want, of whom we know what they said and what they did?

Somebody describes a goal in words, and we have seen their plan. Whatever they want holds when the plan ends, so each
atom of a goal in PDDL must hold there. A regular expression knows how goals are written, a Python function asks of the
text so far whether its atoms hold: no particle goes on with a goal that the plan misses.

    python -m examples.goal_inference
"""

from grammars import Regex, prefix_predicate
from inference import SMC, LocallyConstrained, infer, load
from ppl import program, sample

BLOCKS = ("red", "green", "blue")
PLAN = (("stack", "red", "green"), ("stack", "blue", "red"))

PROMPT = """Each goal lists in PDDL what is wanted.

Words: Put the green block on the red one, and leave the blue one on the table.
Goal: (on green red) (on-table blue)

Words: The blue block shall be free, and the red one below it.
Goal: (clear blue) (on blue red)

Words: Build a tower with the blue block at the top and the green one at the bottom.
Goal:"""

lm = load("smollm2")


def final_state(plan: tuple[tuple[str, str, str], ...]) -> frozenset[str]:
    """Return the atoms that hold after a plan that stacks blocks from the table."""
    below = {block: under for _, block, under in plan}
    return frozenset(
        [f"(on {block} {under})" for block, under in below.items()]
        + [f"(on-table {block})" for block in BLOCKS if block not in below]
        + [f"(clear {block})" for block in BLOCKS if block not in below.values()]
    )


@prefix_predicate
def holds(text: str, state: frozenset[str]) -> bool:
    """Whether `text` is the beginning of a list of atoms of the state, each once."""
    *before, last = text.removeprefix(" ").split(") ")
    atoms = [f"{atom})" for atom in before]
    new = state.difference(atoms)
    return len(new) == len(state) - len(atoms) and any(atom.startswith(last) for atom in new)


block = "|".join(BLOCKS)
goals = Regex(rf"( \(((clear|on-table) ({block})|on ({block}) ({block}))\))+")
reached = goals & holds.bind(final_state(PLAN))


@program
def goal() -> str:
    return sample(lm(PROMPT, stop="\n", max_tokens=40) & reached).strip()


def main(particles: int = 16) -> None:
    print("The plan ends with", *sorted(final_state(PLAN)), "\n")
    for method in (LocallyConstrained(particles), SMC(particles)):
        posterior = infer(goal(), method, seed=0)
        print(method)
        for text, probability in posterior.top(4):
            print(f"  {probability:.3f}  {text}")
        print(f"  {posterior.cost}\n")


if __name__ == "__main__":
    main()
