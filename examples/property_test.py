"""Property test: examples that look real find a bug that random text does not reach.

`legal_form` finds the legal form of a company. Its pattern knows one more than its table, so it fails on "Food Truck
Supply Co." A test of random strings sees "", "0" or "\xf1\x1f", and no company. A language model writes names as people
write them, and the schema makes each record valid by construction.

    python -m examples.property_test
"""

import re

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from inference import load
from inference.strategies import from_schema

Invoice = dict[str, str]
SCHEMA = {
    "type": "object",
    "properties": {
        "customer": {"type": "string", "maxLength": 24},
        "due": {"type": "string", "format": "date"},
        "total": {"type": "string", "maxLength": 14},
    },
    "required": ["customer", "due", "total"],
    "additionalProperties": False,
}
PROMPT = """Invoices of a wholesale shop, as JSON:
{"customer": "Maria Lopez", "due": "2024-03-14", "total": "$89.90"}
{"customer": "North Sea Foods Ltd", "due": "2023-11-02", "total": "$410.00"}
"""
FORMS = {"Inc": "corporation", "Ltd": "limited company", "LLC": "limited liability company"}


def legal_form(invoice: Invoice) -> str:
    found = re.search(r"\b(Inc|Ltd|LLC|Co)\b", invoice["customer"])
    return "person" if found is None else FORMS[found[1]]


def first_failure(invoices: SearchStrategy[Invoice], examples: int) -> tuple[int, Invoice | None]:
    """Return how many invoices were tried until one failed, and that one."""
    tried: list[Invoice] = []

    @seed(1)  # one of those of benchmarks.property_tests, of which 15 in 20 find the bug in 24 invoices
    @settings(
        max_examples=examples,
        deadline=None,  # a model takes its time, and more on a busy machine
        suppress_health_check=[HealthCheck.too_slow],
        phases=[Phase.generate],  # no shrinking, which would run the model again for each attempt
        report_multiple_bugs=False,
        database=None,
    )
    @given(invoices)
    def test(invoice: Invoice) -> None:
        tried.append(invoice)
        assert legal_form(invoice)

    try:
        test()
    except KeyError:
        return tried.index(tried[-1]) + 1, tried[-1]  # Hypothesis repeats the failure at the end
    return len(tried), None


def main(examples: int = 24) -> None:
    written = load("smollm2")(PROMPT, max_tokens=128)
    strategies = {"without a model": from_schema(SCHEMA), "with SmolLM2": from_schema(SCHEMA, written)}
    for name, invoices in strategies.items():
        count, found = first_failure(invoices, examples)
        print(f"{name}: {count} invoices, {'no failure' if found is None else f'then {found} failed'}")


if __name__ == "__main__":
    main()
