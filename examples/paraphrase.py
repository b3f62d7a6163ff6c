"""Paraphrase: the same in other words, with none of the original's words, and still the same.

Forbidding words is a constraint. That alone loses the meaning: nothing asks what the new sentence says. So `observe`
weighs each by the probability that, paraphrased back, it gives the original (which only a complete sentence tells, so
there is nothing to resample by: `Importance`).

    python -m examples.paraphrase
"""

import re
import sys

from grammars import Regex, prefix_predicate
from inference import Importance, infer, load
from ppl import observe, program, sample

PROMPT = """The film was terribly boring.
In other words: That movie put me to sleep.

He could not afford the car.
In other words: The vehicle was too expensive for him.

She is afraid of dogs.
In other words: Barking animals scare her.

"""

SENTENCE = "He bought a small house near the sea."

lm = load("smollm2")


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


@prefix_predicate
def avoids(text: str, forbidden: frozenset[str]) -> bool:
    return forbidden.isdisjoint(words(text))


@program
def paraphrase(sentence: str, faithful: bool) -> str:
    forbidden = frozenset(word for word in words(sentence) if len(word) > 3)
    text = lm(f"{PROMPT}{sentence}\nIn other words:", stop="\n", max_tokens=12) & Regex(
        r" [A-Z][a-z]+( [a-z]+)+\."
    )
    other = sample(text & avoids.bind(forbidden)).strip()
    if faithful:
        # a short prompt: each paraphrase is another one, which is read for it alone
        observe(lm(f"{other}\nIn other words:", stop="\n", max_tokens=30), f" {sentence}")
    return other


def main(sentence: str = SENTENCE, particles: int = 48) -> None:
    print(sentence)
    for faithful in (False, True):
        posterior = infer(paraphrase(sentence, faithful), Importance(particles), seed=0)
        print("\nOther words, the same meaning:" if faithful else "\nOther words:")
        for other, probability in posterior.top(5):
            print(f"  {probability:.3f}  {other}")
        print(f"  ESS {posterior.ess:.1f}; {posterior.cost}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
