"""Few-shot classification: exact probabilities of the labels, and what calibration does to them.

`Enumerate` follows each spelling of the labels, so a probability here is the model's own, not a count of samples. The
examples of a prompt bias it: asked about no review at all, this one says "bad". A `factor` divides that bias out
(contextual calibration: Zhao et al., 2021, Calibrate before use). The reviews are made up.

    python -m examples.classification
"""

from collections.abc import Sequence
from math import log
from typing import Literal

from inference import Enumerate, infer_many, load
from ppl import factor, program, sample

PROMPT = """Review: I laughed and cried, what a film.
Mood: good

Review: The food was cold and the waiter rude.
Mood: bad

Review: Best hotel we have ever stayed in.
Mood: good

Review: {review}
Mood:"""

REVIEWS = {
    "The battery died after two days.": "bad",
    "A wonderful evening, thank you all.": "good",
    "The room smelled and nobody cleaned it.": "bad",
    "The best soup in town.": "good",
    "My children love this book.": "good",
    "The plot makes no sense at all.": "bad",
    "I could not stop reading.": "good",
    "We waited an hour for a cold pizza.": "bad",
    "It works perfectly and looks beautiful.": "good",
    "Far too expensive for what you get.": "bad",
}

lm = load("smollm2")


@program
def mood(review: str, bias: float) -> str:
    label = sample(lm(PROMPT.format(review=review), stop="\n", max_tokens=2), Literal[" good", " bad"])
    factor(-log(bias if label == " good" else 1 - bias))
    return label.strip()


def good(reviews: Sequence[str], bias: float) -> list[float]:
    """Return the probability that each review is good."""
    models = (mood(review, bias) for review in reviews)
    return [posterior.probability("good") for posterior in infer_many(models, Enumerate())]


def report(name: str, probabilities: Sequence[float], labels: Sequence[str]) -> None:
    pairs = [(p, label == "good") for p, label in zip(probabilities, labels, strict=True)]
    correct = sum((p > 0.5) == truth for p, truth in pairs)
    brier = sum((p - truth) ** 2 for p, truth in pairs) / len(pairs)
    print(f"\n{name}: {correct} of {len(pairs)} right, Brier score {brier:.3f} (0 is best, a coin has 0.25)")
    for low, high in ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)):
        within = [(p, truth) for p, truth in pairs if low < p <= high]
        if within:
            said, true = (sum(column) / len(within) for column in zip(*within, strict=True))
            print(f"  {len(within):2} from {low} to {high}: said {said:.2f} on average, good are {true:.2f}")


def main(reviews: dict[str, str] = REVIEWS) -> None:
    blank = good(["", "N/A", "[MASK]"], bias=0.5)
    bias = sum(blank) / len(blank)
    print(f"P(good) of no review at all: {bias:.2f}")
    report("as the model says", good(list(reviews), 0.5), list(reviews.values()))
    report("calibrated", good(list(reviews), bias), list(reviews.values()))


if __name__ == "__main__":
    main()
