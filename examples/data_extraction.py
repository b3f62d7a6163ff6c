"""Data extraction: a receipt from a sentence, as a typed record whose amounts add up.

A pydantic model gives the shape. Two functions of the JSON so far say the rest: all that it says, but for one price,
stands in the sentence, and prices come to the total. (A `condition` on the record would mean the same, but judge it too
late.) The model cannot subtract, but of all the numbers that it might say for the missing price one fits.

    python -m examples.data_extraction
"""

import re

from pydantic import BaseModel, Field

from grammars import Constraint, prefix_predicate
from inference import SMC, infer, load
from ppl import program, sample

PROMPT = """Each line of JSON is the receipt that the sentence above it speaks of.

Sport Otto, 52 euros in all: 12 for a ball and the rest for shoes.
{"shop": "Sport Otto", "total": 52, "items": [{"what": "ball", "cost": 12}, {"what": "shoes", "cost": 40}]}

Book Corner, 30 euros in all: 8 for a novel, 16 for an atlas, and the rest for a map.
{"shop": "Book Corner", "total": 30, "items": [{"what": "novel", "cost": 8}, {"what": "atlas", "cost": 16}, \
{"what": "map", "cost": 6}]}
"""

SENTENCE = "Cafe Luna, 19 euros in all: 5 for soup, 11 for pasta, and the rest for a coffee."
lm = load("smollm2")


class Item(BaseModel):
    what: str = Field(max_length=16)
    cost: int = Field(ge=1, le=99)


class Receipt(BaseModel):
    shop: str = Field(max_length=20)
    total: int = Field(ge=1, le=300)
    items: list[Item] = Field(min_length=2, max_length=4)


@prefix_predicate
def quoted(json: str, sentence: str) -> bool:
    names, costs = re.findall(r': ?"([^"]*)', json), re.findall(r'"cost": ?(\d+)\D', json)
    unsaid = set(costs).difference(re.findall(r"\d+", sentence))
    return len(unsaid) <= 1 and all(name in sentence for name in names)


def left(json: str) -> int:
    total, prices = re.search(r'"total": ?(\d+),', json), re.findall(r'"cost": ?(\d+)', json)
    to_come = json.count("},") + 1 - len(prices)  # each of them at least 1
    return int(total[1] if total else 300) - sum(map(int, prices)) - to_come


@prefix_predicate(complete=lambda json: left(json) == 0)
def adds_up(json: str) -> bool:
    return left(json) >= 0


@program
def receipt(sentence: str, rules: Constraint) -> Receipt:
    text = lm(f"{PROMPT}\n{sentence}\n", stop="\n", max_tokens=70)
    return sample(text & rules, Receipt)


def main(sentence: str = SENTENCE, particles: int = 48) -> None:
    said = quoted.bind(sentence)
    for rules in (said, said & adds_up):
        posterior = infer(receipt(sentence, rules), SMC(particles), seed=0)
        print(sentence if rules is said else "\nPrices must add up:")
        for r, probability in posterior.top(4):
            items = ", ".join(f"{item.what} {item.cost}" for item in r.items)
            print(f"  {probability:.3f}  {r.shop}: {items}; total {r.total}")
        print(f"  log evidence {posterior.log_evidence:.1f} nats; {posterior.cost}")


if __name__ == "__main__":
    main()
