"""Infilling: what stands between a given beginning and a given end?

A language model writes from left to right, so a middle alone knows nothing of the end. `observe` multiplies the weight
of each middle by the probability of the end after it; what comes out is the posterior of the middle given both. The
middles are short and the end is known only when they are complete, so nothing is gained by resampling: `Importance`.

    python -m examples.infilling
"""

from grammars import Regex
from inference import Importance, infer, load
from ppl import observe, program, sample

BEGINNING = "Lena opened the box. Inside was a"
ENDS = ("", " She ate it at once.", " She put it on her finger.", " She opened it and began to read.")

SHORT = Regex("( [a-z]+){1,3}")

lm = load("smollm2")


@program
def middle(beginning: str, end: str) -> str:
    text = sample(lm(beginning, stop=".", max_tokens=6) & SHORT)
    if end:
        observe(lm(f"{beginning}{text}.", stop=".", max_tokens=30), end.removesuffix("."))
    return text.strip()


def main(ends: tuple[str, ...] = ENDS, particles: int = 96) -> None:
    for end in ends:
        posterior = infer(middle(BEGINNING, end), Importance(particles), seed=0)
        print(f"{BEGINNING} … .{end}")
        for text, probability in posterior.top(5):
            print(f"  {probability:.3f}  {text}")
        print(f"  ESS {posterior.ess:.1f}; {posterior.cost}\n")


if __name__ == "__main__":
    main()
