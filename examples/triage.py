"""Ticket triage: free text to a typed record, as a posterior.

A pydantic model constrains the text, a Python condition rules out products that we do not sell, a factor
prefers short summaries; inference weighs the alternatives as the language model sees them.

    python -m examples.triage "My printer is on fire"
"""

import sys
from typing import Literal

from pydantic import BaseModel, Field
from rich.console import Console
from rich.table import Table

from inference import SMC, Posterior, infer, load
from ppl import condition, factor, program, sample

CATALOGUE = {"printer", "router", "laptop", "phone"}

PROMPT = """Fill in a support ticket as JSON with the keys product, urgency and summary.
The product is one word: printer, router, laptop or phone.

Customer: The wifi box keeps blinking red and nobody can work.
{{"product": "router", "urgency": "high", "summary": "Router blinks red, no connection."}}

Customer: {ticket}"""

lm = load("smollm2")


class Ticket(BaseModel):
    """What the help desk wants to know."""

    product: str = Field(max_length=12)
    urgency: Literal["low", "medium", "high"]
    summary: str = Field(max_length=60)


@program
def triage(ticket: str) -> Ticket:
    t = sample(lm.chat(PROMPT.format(ticket=ticket), max_tokens=80), Ticket)
    condition(t.product in CATALOGUE)
    factor(-0.05 * len(t.summary.split()))
    return t


def show(posterior: Posterior[Ticket]) -> None:
    console = Console()
    if posterior.log_evidence == -float("inf"):
        console.print(posterior)
        return
    table = Table("probability", "product", "urgency", "summary", title="Posterior")
    for t, probability in posterior.top(8):
        table.add_row(f"{probability:.3f}", t.product, t.urgency, t.summary)
    console.print(table)
    urgent = posterior.probability(lambda t: t.urgency == "high")
    console.print(f"P(urgency = high) = {urgent:.3f}")
    console.print(
        f"log evidence {posterior.log_evidence:.3f} nats, ESS {posterior.ess:.1f} of {len(posterior)}"
    )
    console.print(f"spent: {posterior.cost}", highlight=False)


def main(ticket: str = "My printer is on fire, please help!", particles: int = 16) -> None:
    print(f"Ticket: {ticket}\n")
    print(triage(ticket).explain(), "\n")
    show(infer(triage(ticket), SMC(particles), seed=0))


if __name__ == "__main__":
    main(*sys.argv[1:2])
