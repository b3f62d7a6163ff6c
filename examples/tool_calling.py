"""Tool calling: from a request to a call that is well typed and makes sense, or to none.

Each tool is a function; its signature becomes a type, and the union of these types is the constraint on what the model
writes. `condition` asks what no schema can say: does the call change anything as things stand, does it say what was
asked? "none" is a tool like the others. Where no call has half of the probability the vote abstains: ask back.

    python -m examples.tool_calling "It is so dark in the garage."
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Literal, Union

from pydantic import create_model

from inference import SMC, infer, load
from ppl import condition, program, sample

EXAMPLES = {
    "Who wrote Hamlet?": '{"tool": "none"}',
    "It is too dark in the kitchen.": '{"tool": "light", "room": "kitchen", "state": "on"}',
    "How much is 30 kg in pounds?": '{"tool": "convert", "amount": 30, "unit": "kg", "to": "pounds"}',
    "Sing something.": '{"tool": "none"}',
    "Nobody is in the garage.": '{"tool": "light", "room": "garage", "state": "off"}',
    "A suitcase of 50 pounds, what is that in kg?": '{"tool": "convert", "amount": 50, "unit": "pounds", "to": "kg"}',
}
PROMPT = "\n".join(["Answer each request with a call of a tool, as JSON.", "", *chain(*EXAMPLES.items()), ""])
REQUESTS = ("How heavy is 70 pounds in kg?", "It is too dark in the bedroom.", "Is it Monday?")

Room = Literal["kitchen", "bedroom", "garage"]
Unit = Literal["km", "miles", "kg", "pounds"]
LIGHTS = {"kitchen": "off", "bedroom": "on", "garage": "off"}  # as things stand
OTHER = {"km": "miles", "miles": "km", "kg": "pounds", "pounds": "kg"}

lm = load("smollm2")


def light(room: Room, state: Literal["on", "off"]) -> None: ...
def convert(amount: int, unit: Unit, to: Unit) -> None: ...
def none() -> None: ...


def call_of(tool: Callable[..., None]) -> Any:
    arguments = {name: (a.annotation, ...) for name, a in inspect.signature(tool).parameters.items()}
    return create_model(tool.__name__, tool=(Literal[tool.__name__], ...), **arguments)


Call = Union[tuple(map(call_of, (light, convert, none)))]  # noqa: UP007


def sensible(call: Any, request: str) -> bool:
    if call.tool == "convert":
        return f"{call.amount} {call.unit}" in request and call.to == OTHER[call.unit]
    return bool(call.tool == "none" or LIGHTS[call.room] != call.state)


@program
def answer(request: str, check: bool) -> str:
    call = sample(lm(f"{PROMPT}{request}\n", stop="\n", max_tokens=40), Call)
    condition(not check or sensible(call, request))
    name, *arguments = (value for _, value in call)
    return f"{name}({', '.join(map(str, arguments))})"


def main(requests: Sequence[str] = REQUESTS, particles: int = 32) -> None:
    for request in requests:
        print(request)
        for check in (False, True):
            posterior = infer(answer(request, check), SMC(particles), seed=0)
            calls = ", ".join(f"{call} {probability:.2f}" for call, probability in posterior.top(3))
            print("  sensible:  " if check else "  well typed:", calls)
        print("  so:        ", posterior.vote(least=0.5).winner or "ask back", "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or REQUESTS)
