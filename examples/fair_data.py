"""Fair test data: plausible records whose countries come in the shares that we want.

A language model that is asked for customers invents the same few countries again and again; `Enumerate` says exactly
how often. So we draw the country ourselves, from a `Categorical`, and leave to the model what it is good at: cities and
names that go with it. (The shares are those of the records before city and name are constrained, which nearly all are.)

    python -m examples.fair_data
"""

from collections import Counter
from collections.abc import Mapping

from grammars import Choice, Regex
from inference import Enumerate, Importance, infer, load
from ppl import Categorical, program, sample

PROMPT = """Customers, each with country, city and name:

Chile | Valparaiso | Camila Rojas
Finland | Tampere | Aino Korhonen
Italy | Bologna | Paolo Ferrari
Egypt | Cairo | Youssef Hassan
"""

SHARES = {"Brazil": 0.2, "France": 0.1, "India": 0.2, "Japan": 0.2, "Kenya": 0.1, "Poland": 0.2}

CITY, NAME = Regex("( [A-Z][a-z]+){1,2}"), Regex("( [A-Z][a-z]+){2}")

lm = load("smollm2")


@program
def country(shares: Mapping[str, float]) -> str:
    """The country of the next customer, as the model chooses among ours."""
    return sample(lm(PROMPT, stop=" |", max_tokens=4) & Choice(shares))


@program
def customer(shares: Mapping[str, float]) -> tuple[str, str, str]:
    place = sample(Categorical(shares))
    city = sample(lm(f"{PROMPT}{place} |", stop=" |", max_tokens=6) & CITY)
    name = sample(lm(f"{PROMPT}{place} |{city} |", stop="\n", max_tokens=9) & NAME)
    return place, city.strip(), name.strip()


def main(shares: Mapping[str, float] = SHARES, particles: int = 200) -> None:
    own = infer(country(shares), Enumerate())
    posterior = infer(customer(shares), Importance(particles), seed=0)
    records = posterior.sample(particles, seed=0)
    counts = Counter(place for place, _, _ in records)
    print(f"country   wanted  model alone  here, of {particles}")
    for place, share in shares.items():
        print(f"{place:8} {share:7.0%} {own.probability(place):12.1%} {counts[place]:8}")
    print(f"{posterior.cost}\n")
    print(*(" | ".join(record) for record in records[:10]), sep="\n")


if __name__ == "__main__":
    main()
