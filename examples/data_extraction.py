"""Data extraction: a receipt from a sentence, as a typed record whose amounts add up.

A pydantic model gives the shape. Two functions of the JSON so far say the rest: names stand in the sentence, and prices
come to the total. A `condition` on the record would mean the same, but judge it when it is too late. One price is not
in the sentence: the model cannot subtract, but of all the numbers that it might say one fits.

    python -m examples.data_extraction
"""

import re

from pydantic import BaseModel, Field

from grammars import Constraint, prefix_predicate
from inference import SMC, infer, load
from ppl import program, sample

PROMPT = """Each line of JSON is the receipt that the sentence above it speaks of.

Casa Nova, 65 euros in all: 20 for a lamp and 45 for a rug.
{{"shop": "Casa Nova", "total": 65, "items": [{{"what": "lamp", "euros": 20}}, {{"what": "rug", "euros": 45}}]}}
Sport Otto, 52 euros in all: 12 for a ball and the rest for shoes.
{{"shop": "Sport Otto", "total": 52, "items": [{{"what": "ball", "euros": 12}}, {{"what": "shoes", "euros": 40}}]}}
Book, 30 euros in all: 8 for a novel, 16 for an atlas, and the rest for a map.
{{"shop": "Book", "total": 30, "items": [{{"what": "novel", "euros": 8}}, {{"what": "atlas", "euros": 16}}, \
{{"what": "map", "euros": 6}}]}}
{sentence}
"""

SENTENCE = "Cafe Luna, 19 euros in all: 5 for soup, 11 for pasta, and the rest for a coffee."
lm = load("smollm2")


class Item(BaseModel):
    what: str = Field(max_length=16)
    euros: int = Field(ge=1, le=99)


class Receipt(BaseModel):
    shop: str = Field(max_length=20)
    total: int = Field(ge=1, le=300)
    items: list[Item] = Field(min_length=2, max_length=4)


@prefix_predicate
def quoted(json: str, sentence: str) -> bool:
    return all(words in sentence for words in re.findall(r': ?"([^"]*)', json))


def left(json: str) -> int:
    total, prices = re.search(r'"total": ?(\d+),', json), re.findall(r'"euros": ?(\d+)', json)
    to_come = json.count("},") + 1 - len(prices)  # each of them at least 1
    return int(total[1] if total else 300) - sum(map(int, prices)) - to_come


@prefix_predicate(complete=lambda json: left(json) == 0)
def adds_up(json: str) -> bool:
    return left(json) >= 0


@program
def receipt(sentence: str, rules: Constraint) -> Receipt:
    text = lm(PROMPT.format(sentence=sentence), stop="\n", max_tokens=70)
    return sample(text & rules, Receipt)


def main(sentence: str = SENTENCE, particles: int = 48) -> None:
    names = quoted.bind(sentence)
    for rules in (names, names & adds_up):
        posterior = infer(receipt(sentence, rules), SMC(particles), seed=0)
        print(sentence if rules is names else "\nPrices must add up:")
        for r, probability in posterior.top(4):
            items = ", ".join(f"{item.what} {item.euros}" for item in r.items)
            print(f"  {probability:.3f}  {r.shop}: {items}; total {r.total}")
        print(f"  log evidence {posterior.log_evidence:.1f} nats; {posterior.cost}")


if __name__ == "__main__":
    main()
