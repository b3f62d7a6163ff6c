"""Pattern matching: a regular expression with look-arounds, and why masking alone is not enough.

The pattern asks for a word of letters and digits with a digit somewhere, without two equal signs in a row. Either
method keeps every token within the pattern. Whether a word comes out as often as the model finds it probable depends on
the weights: `LocallyConstrained` throws them away, as libraries for constrained decoding do.

    python -m examples.pattern_matching
"""

from grammars import Regex
from inference import SMC, LocallyConstrained, infer, load
from ppl import program, sample

PATTERN = Regex(r" (?=.*\d)(?!.*(.)\1)[a-z\d]{5,10}")

PROMPT = """Each user name is made of small letters and has a digit in it.

Name: Maria Lopez
User name: maria84

Name: Tom Berger
User name: tberger7

Name: Ada Lovelace
User name:"""

lm = load("smollm2")


@program
def user_name() -> str:
    return sample(lm(PROMPT, stop="\n", max_tokens=12) & PATTERN).strip()


def main(particles: int = 32) -> None:
    print(user_name().explain(), "\n")
    for method in (LocallyConstrained(particles), SMC(particles)):
        posterior = infer(user_name(), method, seed=0)
        print(method)
        for name, probability in posterior.top(5):
            print(f"  {probability:.3f}  {name}")
        print(f"  {posterior.cost}\n")


if __name__ == "__main__":
    main()
