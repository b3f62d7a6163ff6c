"""Code synthesis: programs from unit tests, a posterior over them, and how it generalises.

The language model reads the tests and guesses, a grammar says what a program is, and `condition` runs it: only what
passes every test has mass. After one test several programs are left, and the posterior says how far to trust what they
predict for another argument. The second test settles it, with a program that the prior held improbable.

    python -m examples.code_synthesis
"""

from collections.abc import Sequence

from grammars import Lark
from inference import Importance, infer, load
from ppl import condition, program, sample

PROMPT = """assert f(1) == 4 and f(3) == 6
f = lambda x: x + 3

assert f(2) == 3 and f(5) == 9
f = lambda x: 2 * x - 1

assert f(3) == 9 and f(4) == 16
f = lambda x: x * x

assert f(1) == 8 and f(2) == 12
f = lambda x: 4 * (x + 1)

assert {tests}
f = lambda x:"""

EXPRESSION = Lark("""
    ?start: " " sum
    ?sum: product | sum " + " product | sum " - " product
    ?product: atom | product " * " atom
    ?atom: "x" | /[1-9]/ | "(" sum ")"
""")

TESTS = ((2, 5), (3, 10))

lm = load("smollm2")


def value(expression: str, x: int) -> int:
    """Return what an expression is at x. The grammar leaves nothing but arithmetic for `eval`."""
    return int(eval(expression, {"__builtins__": {}}, {"x": x}))


def passes(expression: str, tests: Sequence[tuple[int, int]]) -> bool:
    return all(value(expression, x) == y for x, y in tests)


@program
def synthesis(tests: Sequence[tuple[int, int]], run: bool) -> str:
    text = " and ".join(f"f({x}) == {y}" for x, y in tests)
    expression = sample(lm(PROMPT.format(tests=text), stop="\n", max_tokens=14) & EXPRESSION).strip()
    condition(not run or passes(expression, tests))
    return expression


def main(tests: Sequence[tuple[int, int]] = TESTS, particles: int = 192) -> None:
    for seen in (tests[: n + 1] for n in range(len(tests))):
        print("Tests:", ", ".join(f"f({x}) == {y}" for x, y in seen))
        for run in (False, True):
            posterior = infer(synthesis(seen, run), Importance(particles), seed=0)
            found = ", ".join(f"{expression} ({p:.2f})" for expression, p in posterior.top(4))
            predicted = posterior.vote(lambda expression: value(expression, 10)).shares[:3]
            print("  what passes:     " if run else "  what is guessed: ", found)
            print("       so f(10) is ", ", ".join(f"{y} ({p:.2f})" for y, p in predicted))
        print(f"  log evidence {posterior.log_evidence:.1f} nats; {posterior.cost}\n")


if __name__ == "__main__":
    main()
