"""The embedded model behind the official client."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from grammars import JsonSchema
from inference import SMC, infer, load, program_seed
from inference.drawing import draw
from ppl import program, sample
from ppl.rng import Rng
from tests.server.conftest import serve

TICKET = {
    "type": "object",
    "properties": {"product": {"enum": ["printer", "router"]}, "urgency": {"enum": ["low", "high"]}},
    "required": ["product", "urgency"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": TICKET, "strict": True}}
ASK = "As JSON with the keys product and urgency: My printer is on fire!"

pytestmark = pytest.mark.model


@program
def ticket(target):
    return sample(target)


@pytest.fixture(scope="module")
def smollm2():
    with serve(load("smollm2"), name="smollm2") as served:
        yield served.client


def ask(client, content, **options):
    return client.chat.completions.create(
        model="smollm2", messages=[{"role": "user", "content": content}], **options
    )


def test_a_schema_is_held_and_the_law_is_that_of_infer(smollm2):
    reply = ask(smollm2, ASK, seed=5, n=2, max_tokens=24, response_format=FORM, extra_body={"particles": 4})
    target = load("smollm2").chat(ASK, max_tokens=24) & JsonSchema(TICKET)
    posterior = infer(ticket(target), SMC(4), seed=5, drafts=False)
    chosen = draw(posterior.weights, 2, Rng(program_seed(5, 0)))
    assert [c.message.content for c in reply.choices] == [posterior.samples[i].value for i in chosen]
    assert reply.model_extra["ppl"]["log_evidence"] == pytest.approx(posterior.log_evidence, abs=1e-3)
    assert set(json.loads(reply.choices[0].message.content)) == {"product", "urgency"}


def test_requests_side_by_side(smollm2):
    def run(seed):
        tools = [{"type": "function", "function": {"name": "file_ticket", "parameters": TICKET}}]
        if seed == 0:
            return ask(smollm2, ASK, seed=0, max_tokens=40, tools=tools, tool_choice="required",
                       extra_body={"particles": 4})  # fmt: skip
        return ask(smollm2, "Count to three.", seed=seed, max_tokens=8, temperature=0.5, logprobs=True)

    with ThreadPoolExecutor(3) as pool:
        called, *counted = pool.map(run, range(3))
    (call,) = called.choices[0].message.tool_calls
    assert call.function.name == "file_ticket"
    assert set(json.loads(call.function.arguments)) == {"product", "urgency"}
    for reply in counted:
        content = reply.choices[0].logprobs.content
        assert "".join(token.token for token in content) == reply.choices[0].message.content


def test_a_chat_is_streamed(smollm2):
    chunks = ask(
        smollm2, "What is the capital of France?", temperature=0.1, max_tokens=12, seed=1, stream=True
    )
    pieces = [chunk.choices[0].delta.content for chunk in chunks]
    assert len([piece for piece in pieces if piece]) > 3
    assert "Paris" in "".join(piece or "" for piece in pieces)
