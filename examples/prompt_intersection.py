"""Prompt intersection: a word that continues two sentences at once.

The product of two language-model targets is large where both are. Each token is drawn from the product of the two
next-token distributions, and the weights pay for what that mixture of local choices gets wrong: what comes out is
p · q of the whole text. A word with two meanings is what a bird and a machine, or a fruit and a colour, agree on.

    python -m examples.prompt_intersection
"""

import sys

from grammars import Regex
from inference import SMC, infer, load
from ppl import program, sample

PAIRS = (
    ("A bird that lives near the water is the", "A machine that lifts heavy loads is the"),
    ("Here are some fruits: apple, pear,", "Here are some colours: red, blue,"),
)

WORDS = Regex(" [a-z]{3,}( [a-z]{3,})?")

lm = load("smollm2")


@program
def continuation(*prompts: str) -> str:
    first, *others = (lm(prompt, stop=(".", ",", "\n"), max_tokens=5) for prompt in prompts)
    target = first
    for other in others:
        target = target * other
    return sample(target & WORDS).strip()


def main(pairs: tuple[tuple[str, str], ...] = PAIRS, particles: int = 128) -> None:
    for one, two in pairs:
        for prompts in ((one,), (two,), (one, two)):
            posterior = infer(continuation(*prompts), SMC(particles), seed=0)
            words = ", ".join(f"{word} {probability:.2f}" for word, probability in posterior.top(5))
            print(f"{' × '.join(prompts)} …\n    {words}")
        print(f"    log evidence of both {posterior.log_evidence:.1f} nats; {posterior.cost}\n")


if __name__ == "__main__":
    main((tuple(sys.argv[1:3]),) if len(sys.argv) == 3 else PAIRS)
