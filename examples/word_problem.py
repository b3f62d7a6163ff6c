"""Word problems: a solution step by step, where each equation is checked as it is written.

A potential at line ends takes 6 nats for each part of an equation that does not follow: it must go on from the last
result, with the sign and the number of its step, and compute rightly. Particles with a slip die before they build on
it. Plain samples are right now and then, which the vote cannot see; with the potential it can.

    python -m examples.word_problem
"""

import re

from grammars import Regex
from inference import SMC, Importance, infer, load
from ppl import potential, program, sample

PROMPT = """Question: Tom has 12 marbles. He gets 4. He loses 5. How many is that?
He gets 4: 12 + 4 = 16
He loses 5: 16 - 5 = 11
Answer: 11

Question: Ann has 8 coins. She loses 3. She gets 6. She loses 2. How many is that?
She loses 3: 8 - 3 = 5
She gets 6: 5 + 6 = 11
She loses 2: 11 - 2 = 9
Answer: 9

Question: Bob has 10 cards. He loses 7. He gets 6. How many is that?
He loses 7: 10 - 7 = 3
He gets 6: 3 + 6 = 9
Answer: 9

Question: {story} How many is that?
"""

STORY, ANSWER = "Mia has 9 pens. She gets 6. She loses 4. She gets 5.", 16

STEP = re.compile(r"(gets|loses) (\d+): (\d+) ([-+]) (\d+) = (\d+)\n|Answer: (\d+)$")

lm = load("smollm2")


def slips(solution: str, story: str) -> int:
    """Return how many parts of the equations do not follow, in a solution as far as it goes."""
    result, wrong = int(re.findall(r"\d+", story)[0]), 0
    for verb, change, *equation, last, answer in STEP.findall(solution):
        if answer:
            return wrong + (int(answer) != result)
        sign, new = ("+", result + int(change)) if verb == "gets" else ("-", result - int(change))
        wrong += sum(map(str.__ne__, [*equation, last], [str(result), sign, change, str(new)]))
        result = int(last)
    return wrong


@program
def solution(story: str, penalty: float) -> str:
    steps = story.removesuffix(".").split(". ")[1:]
    lines = "".join(rf"{step}: \d{{1,2}} [-+] \d{{1,2}} = \d{{1,2}}\n" for step in steps)
    text = lm(PROMPT.format(story=story), stop="\n\n", max_tokens=64) & Regex(lines + r"Answer: \d{1,2}")
    return sample(text * potential(lambda written: -penalty * slips(written, story), at="line"))


def answer(solution: str) -> int:
    return int(solution.rsplit(" ", 1)[1])


def main(particles: int = 48) -> None:
    print(STORY, f"How many is that? ({ANSWER})")
    for method, penalty in ((Importance(particles), 0.0), (SMC(particles), 6.0)):
        posterior = infer(solution(STORY, penalty), method, seed=0)
        print(f"\n{'Plain samples' if penalty == 0 else 'With the step potential'}: {posterior.cost}")
        shares = posterior.vote(answer).shares[:5]
        print("  votes:", ", ".join(f"{number} ({share:.2f})" for number, share in shares))
        right = posterior.probability(lambda text: answer(text) == ANSWER)
        print(f"  P(right) = {right:.2f}; the most probable solution:")
        print("   ", posterior.mode().replace("\n", "\n    "))


if __name__ == "__main__":
    main()
