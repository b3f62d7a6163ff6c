"""Executions until a property test finds a bug: hypothesis-jsonschema, our strategy without a model, and with one.

    python -m benchmarks.property_tests

Each handler takes an invoice, as JSON of one schema, and has one bug of a kind that is common. The property is that it
either returns or raises `Rejected`. Every generator runs with the same seeds of Hypothesis. Up to its first failure a
test sees the same examples whatever the handler is, so one sequence of examples for each generator and seed serves all
handlers: the executions to failure are the place of the first example on which the handler raises anything else. A run
that finds nothing within its executions is censored. The model is given two invoices on which no handler fails.

Objects are put together from the members that hypothesis-jsonschema 0.23.1 draws, since its own objects ask Hypothesis
for what it no longer has; as all members are required and no others allowed, nothing is lost by it.

Counts do not depend on the machine. For each generator and handler: how many runs found the bug, and the median of the
executions, censored runs counting as more than any.
"""

from __future__ import annotations

import argparse
import calendar
import json
import re
import sqlite3
import statistics
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from benchmarks.common import print_result
from examples.property_test import PROMPT, SCHEMA
from inference import load
from inference.strategies import from_schema


class Rejected(Exception):
    """An invoice that is not in order, and is said to be so."""


def cents(invoice: dict[str, str]) -> int:
    """Read a total in cents; what floats lose, truncation makes a cent."""
    found = re.fullmatch(r"\$(\d{1,9}\.\d\d)", invoice["total"])
    if found is None:
        raise Rejected(invoice["total"])
    number = int(float(found[1]) * 100)
    assert f"{number // 100}.{number % 100:02}" == str(Decimal(found[1])), "a cent is missing"
    return number


def legal_form(invoice: dict[str, str]) -> str:
    """Find the legal form of a customer; its pattern knows one more than its table."""
    found = re.search(r"\b(Inc|Ltd|LLC|Co)\b", invoice["customer"])
    forms = {"Inc": "corporation", "Ltd": "limited company", "LLC": "limited liability company"}
    return "person" if found is None else forms[found[1]]


def thousands(invoice: dict[str, str]) -> Decimal:
    """Read a total; its pattern allows a comma between thousands, its conversion does not."""
    found = re.fullmatch(r"[$€£]?(\d{1,3}(?:,?\d{3})*(?:\.\d\d)?)", invoice["total"].strip())
    if found is None:
        raise Rejected(invoice["total"])
    return Decimal(found[1])


def currency(invoice: dict[str, str]) -> float:
    """Convert a total into dollars; of the currencies that its pattern allows one has no rate."""
    found = re.fullmatch(r"([$€£])\s?(\d+(?:\.\d+)?)", invoice["total"].replace(",", ""))
    if found is None:
        raise Rejected(invoice["total"])
    return float(found[2]) * {"$": 1.0, "€": 1.08}[found[1]]


def day(invoice: dict[str, str]) -> date:
    """Read when an invoice is due; RFC 3339 has a year 0, Python has not."""
    try:
        return date.fromisoformat(invoice["due"])
    except ValueError as error:
        raise Rejected(invoice["due"]) from error


def next_month(invoice: dict[str, str]) -> date:
    """Postpone by a month; the 31st has no counterpart in most of them."""
    due = day(invoice)
    if due.year == date.max.year:
        raise Rejected(invoice["due"])
    return due.replace(year=due.year + due.month // 12, month=due.month % 12 + 1)


def weekend(invoice: dict[str, str]) -> date:
    """Move what is due at a weekend to the next Monday; at the end of a month there is no such day."""
    due = day(invoice)
    days = calendar.weekday(due.year, due.month, due.day)
    return due.replace(day=due.day + (7 - days)) if days >= 5 else due


def unquoted(invoice: dict[str, str]) -> int:
    """Look a customer up in a query that is glued together."""
    if "\0" in invoice["customer"]:
        raise Rejected(invoice["customer"])
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE customer (name TEXT)")
        name = invoice["customer"].encode("utf-8", "replace").decode()
        (count,) = connection.execute(f"SELECT count(*) FROM customer WHERE name = '{name}'").fetchone()
    return int(count)


def initials(invoice: dict[str, str]) -> str:
    """Abbreviate a customer; between two spaces there is no word."""
    return "".join(word[0] for word in invoice["customer"].split(" "))


def latin(invoice: dict[str, str]) -> bytes:
    """Write a customer for a printer that knows Western European characters only."""
    return invoice["customer"].encode("cp1252")


HANDLERS: dict[str, Callable[[dict[str, str]], Any]] = {
    handler.__name__: handler
    for handler in (cents, legal_form, thousands, currency, next_month, weekend, unquoted, initials, latin)
}


def fails(handler: Callable[[dict[str, str]], Any], invoice: dict[str, str]) -> bool:
    """Return whether a handler has its bug on an invoice."""
    try:
        handler(invoice)
    except Rejected:
        return False
    except Exception:
        return True
    return False


def examples(strategy: SearchStrategy[Any], number: int, executions: int) -> list[Any]:
    """Return the examples that a test with this seed sees, as long as it passes."""
    seen: list[Any] = []

    @seed(number)
    @settings(
        max_examples=executions,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def test(value: Any) -> None:
        seen.append(value)

    test()
    return seen


def generators(names: list[str], model: str) -> dict[str, SearchStrategy[Any]]:
    """Return strategies for the schema by name."""
    found: dict[str, SearchStrategy[Any]] = {}
    if "hypothesis-jsonschema" in names:
        import hypothesis_jsonschema

        members = {
            name: hypothesis_jsonschema.from_schema(member) for name, member in SCHEMA["properties"].items()
        }
        found["hypothesis-jsonschema"] = st.fixed_dictionaries(members)
    if "ppl" in names:
        found["ppl"] = from_schema(SCHEMA)
    if "ppl+model" in names:
        found["ppl+model"] = from_schema(SCHEMA, load(model)(PROMPT, max_tokens=128))
    return found


def summary(sequences: list[list[Any]], handler: Callable[[dict[str, str]], Any]) -> dict[str, Any]:
    """Return the executions to failure over runs; None where a run is censored."""
    firsts = [next((k for k, v in enumerate(seen, 1) if fails(handler, v)), None) for seen in sequences]
    median = statistics.median_high([float("inf") if first is None else first for first in firsts])
    return {
        "executions": firsts,
        "found": sum(first is not None for first in firsts),
        "median": None if median == float("inf") else median,
    }


def table(result: dict[str, Any]) -> str:
    """Return the result as a Markdown table: the median of the executions, and how many runs found the bug."""
    names = list(result["generators"])
    lines = [f"| handler | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    for handler in HANDLERS:
        cells = []
        for name in names:
            entry = result["generators"][name]
            found = entry["handlers"][handler]
            median = f"> {entry['executions']}" if found["median"] is None else f"{found['median']:.0f}"
            cells.append(f"{median} ({found['found']} of {result['seeds']})")
        lines.append(f"| `{handler}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ["hypothesis-jsonschema", "ppl", "ppl+model"]
    parser.add_argument("--generators", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--executions", type=int, default=500, help="of a run, without a model")
    parser.add_argument("--model-executions", type=int, default=24, help="of a run with the model")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--keep", type=Path, help="a file of JSON Lines for the examples; it is gone on with")
    options = parser.parse_args(arguments)
    kept = read_kept(options.keep)
    result: dict[str, Any] = {"benchmark": "property_tests", "seeds": options.seeds, "generators": {}}
    for name, strategy in generators(options.generators, options.model).items():
        executions = options.model_executions if name == "ppl+model" else options.executions
        sequences = []
        for number in range(options.seeds):
            key = (name, number, executions)
            if key not in kept:
                kept[key] = examples(strategy, number, executions)
                if options.keep is not None:
                    with options.keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([*key, kept[key]]) + "\n")
            sequences.append(kept[key])
            print(f"{name}: {number + 1} of {options.seeds} seeds", file=sys.stderr)
        result["generators"][name] = {
            "executions": executions,
            "handlers": {bug: summary(sequences, handler) for bug, handler in HANDLERS.items()},
        }
    print(table(result), file=sys.stderr)
    print_result(result)


def read_kept(path: Path | None) -> dict[tuple[str, int, int], list[Any]]:
    """Return the examples that a file keeps, by generator, seed and number of executions."""
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return {(name, number, executions): seen for name, number, executions, seen in rows}


if __name__ == "__main__":
    main()
