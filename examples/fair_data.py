"""Fair test data: plausible records whose countries come in the shares that we want.

A language model that is asked for customers invents the same few countries again and again; `Enumerate` says exactly
how often. So we leave to it what it is good at, cities and names that go with a country, and mix the posteriors of the
countries. Each is normalised. (A `Categorical` in one program would not do: countries whose names fit the pattern
better have more mass, as the log evidence shows, and would come too often.)

    python -m examples.fair_data
"""

from collections.abc import Mapping

from grammars import Choice, Regex
from inference import Enumerate, Importance, infer, infer_many, load
from ppl import program, sample

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
def customer(place: str) -> tuple[str, str, str]:
    city = sample(lm(f"{PROMPT}{place} |", stop=" |", max_tokens=6) & CITY)
    name = sample(lm(f"{PROMPT}{place} |{city} |", stop="\n", max_tokens=9) & NAME)
    return place, city.strip(), name.strip()


def main(shares: Mapping[str, float] = SHARES, records: int = 20, particles: int = 24) -> None:
    own = infer(country(shares), Enumerate())
    posteriors = infer_many([customer(place) for place in shares], Importance(particles), seed=0)
    for (place, share), posterior in zip(shares.items(), posteriors, strict=True):
        print(f"{place}: {own.probability(place):.0%} by the model, {share:.0%} wanted;", end=" ")
        print(f"log evidence {posterior.log_evidence:.1f} nats")
        for record in posterior.sample(round(share * records)):
            print("  " + " | ".join(record))


if __name__ == "__main__":
    main()
