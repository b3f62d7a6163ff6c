"""Function calls: JSON under the schema of the functions at hand, in which nothing is made up.

The condition is of the meaning: each number of the arguments, and at least one word of each text that is not one of
a list, was said in the request. It costs a run at the end, where no mask can help. The gold answer is not consulted.
Questions whose gold call breaks the condition, such as those that ask for a conversion of units, are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.common import data_rows
from benchmarks.domains.case import few_shot, spread
from benchmarks.methods.question import Question, Task
from grammars import JsonSchema
from inference.engines.base import Engine
from ppl import condition, program, sample
from ppl.targets import Target

INSTRUCTION = (
    "Each call answers the request with one of the functions, and with the values that the request names."
)
EXAMPLES = (
    (
        "area(width: integer, height: integer, unit: string?): The area of a rectangle.\n"
        "volume(radius: number): The volume of a ball.\n"
        "I need the area of a wall that is 4 wide and 3 high.",
        '{"name": "area", "arguments": {"width": 4, "height": 3}}',
    ),
    (
        "book_table(restaurant: string, guests: integer, time: string): Book a table.\n"
        "Please get us a table for 5 at Chez Paul, 7 pm.",
        '{"name": "book_table", "arguments": {"restaurant": "Chez Paul", "guests": 5, "time": "7 pm"}}',
    ),
    (
        "play(artist: string, shuffle: boolean?): Play music of an artist.\n"
        "stop(): Stop the music.\n"
        "Play something by Nina Simone.",
        '{"name": "play", "arguments": {"artist": "Nina Simone"}}',
    ),
)
LONGEST = 900
"""Characters of the longest lists of functions that are asked."""
MAX_TOKENS = 64
NUMBER_WORDS = (
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


@program
def call(target: Target[str], possible: Callable[[str], bool]) -> str:
    text = sample(target)
    condition(possible(text))
    return text


def questions(lm: Engine, count: int) -> list[Question]:
    rows = [row for row in data_rows("function_calling/dev.jsonl") if asked(row)]
    return [question(lm, row) for row in spread(rows, count)]


def asked(row: dict[str, Any]) -> bool:
    """Return whether a row asks for one call, in a short prompt, whose gold answer keeps to the request."""
    if len(row["ground_truth"]) != 1 or len(row["messages"]) != 1 or len(signatures(row)) > LONGEST:
        return False
    ((name, arguments),) = row["ground_truth"][0].items()
    gold = {"name": name, "arguments": {k: v[0] for k, v in arguments.items() if v[0] != ""}}
    return said(row["messages"][0]["content"], choices(row), json.dumps(gold))


def question(lm: Engine, row: dict[str, Any]) -> Question:
    request: str = row["messages"][0]["content"]
    prompt = few_shot(INSTRUCTION, ("Request", "Call"), EXAMPLES, f"{signatures(row)}\n{request}")
    target = lm(prompt, stop="\n", max_tokens=MAX_TOKENS) & JsonSchema(row["output_schema"])
    model = call(target, partial(said, request, choices(row)))
    return Question(row["id"], model, partial(judge, row["ground_truth"][0]), canonical)


def signatures(row: dict[str, Any]) -> str:
    """Return the functions as lines of names, types and descriptions."""
    lines = []
    for function in row["functions"]:
        parameters = function["parameters"]
        required = parameters.get("required", [])
        named = (
            f"{name}: {schema.get('type', 'any')}{'' if name in required else '?'}"
            for name, schema in parameters["properties"].items()
        )
        lines.append(f"{function['name']}({', '.join(named)}): {function.get('description', '')}")
    return "\n".join(lines)


def choices(row: dict[str, Any]) -> frozenset[str]:
    """Return the texts that schemas list or give as defaults: they need not be said in the request."""
    found: set[str] = set()

    def walk(schema: Any) -> None:
        if isinstance(schema, dict):
            found.update(v for v in schema.get("enum", ()) if isinstance(v, str))
            for value in schema.values():
                walk(value)
        elif isinstance(schema, list):
            for value in schema:
                walk(value)

    walk(row["output_schema"])
    return frozenset(found)


def said(request: str, listed: frozenset[str], text: str) -> bool:
    """Return whether a request mentions what the arguments of a call hold."""
    words = set(re.findall(r"[a-z]+", request.lower()))
    numbers = {float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*(?:\.\d+)?", request)}
    numbers |= {float(n) for n, word in enumerate(NUMBER_WORDS, start=1) if word in words}
    return all(
        leaf in listed
        or bool(words & set(re.findall(r"[a-z]+", leaf.lower())))
        or not re.search("[A-Za-z]", leaf)
        if isinstance(leaf, str)
        else isinstance(leaf, bool) or leaf is None or abs(leaf) in numbers
        for leaf in leaves(json.loads(text)["arguments"])
    )


def leaves(value: Any) -> Iterator[Any]:
    """Yield the texts, numbers, booleans and nulls in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def judge(gold: dict[str, dict[str, list[Any]]], text: str) -> float:
    """Return 1 for a call of the right function, each argument of which is one that the gold answer allows."""
    called = json.loads(text)
    ((name, allowed),) = gold.items()
    arguments = called["arguments"]
    right = called["name"] == name and not set(arguments) - set(allowed)
    for key, values in allowed.items():
        given = arguments.get(key, "")
        right = right and any(plain(given) == plain(value) for value in values)
    return float(right)


def plain(value: Any) -> Any:
    """Return a value in which texts are spelled alike: lower case, without spaces and punctuation."""
    if isinstance(value, str):
        return re.sub(r"[\W_]", "", value.lower())
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v[0] if isinstance(v, list) and len(v) == 1 else v) for k, v in value.items()}
    return value


def canonical(text: str) -> str:
    """Return a call in one spelling."""
    return json.dumps(plain(json.loads(text)), sort_keys=True)


TASK = Task(questions, score="right function and arguments")
