"""The protocol as the official client sees it: chats, tools, streams, errors."""

import json

import httpx2 as httpx
import openai
import pytest
from pydantic import BaseModel

from inference import TableLM, program_seed
from inference.server.errors import request_error
from inference.server.streaming import Spelled
from tests.server.conftest import LM, serve

NUMBER = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
FUNCTIONS = [
    {"type": "function", "function": {"name": "a", "description": "Adds.", "parameters": NUMBER}},
    {"type": "function", "function": {"name": "b"}},
]
CALLING = TableLM(  # writes one call of a, or of c with the arguments of a, or says no
    ['{"name": "', "a", "c", '", "arguments": ', '{"n": ', "1", "}", "no"],
    lambda prompt, ids: {
        (): [0.5, 0, 0, 0, 0, 0, 0, 0.5, 0],
        (0,): [0, 0.25, 0.75, 0, 0, 0, 0, 0, 0],
    }.get(ids) or [float(v == {1: 3, 2: 3, 3: 4, 4: 5, 5: 6}.get(ids[-1], 8 if len(ids) > 6 or ids == (7,) else 6))
                   for v in range(9)],
    name="calling",
)  # fmt: skip


@pytest.fixture(scope="module")
def calling():
    with serve(CALLING) as served:
        yield served


def function(name, parameters):
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def formed(schema):
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def refused(status, call, param=None, **options):
    with pytest.raises(openai.APIStatusError) as caught:
        call(**options)
    assert caught.value.status_code == status
    assert param is None or caught.value.param == param
    return str(caught.value)


def test_a_chat(toy):
    reply = toy.chat("hello", max_tokens=5, seed=1)
    assert reply.object == "chat.completion"
    assert reply.model == "toy"
    assert reply.choices[0].message.role == "assistant"
    prompt = len(LM.encode_chat([{"role": "user", "content": "hello"}]))
    assert reply.usage.prompt_tokens == prompt
    assert reply.usage.total_tokens == prompt + reply.usage.completion_tokens
    assert reply.usage.completion_tokens <= 5


def test_messages_of_all_roles_are_read():
    seen = []
    lm = TableLM(["a"], lambda prompt, ids: seen.append(prompt) or [0.0, 1.0])
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"n": 2}'}}
    messages = [
        {"role": "developer", "content": "rules"},
        {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "4"},
        {"role": "tool", "tool_call_id": "1", "content": "5"},
    ]
    with serve(lm) as served:
        served.client.chat.completions.create(model="toy", messages=messages)
    assert set(seen) == {
        "system: rules\nuser: one two\n"
        'assistant: {"name": "f", "arguments": {"n": 2}}\n'
        "user: Result of f: 4\nResult of f: 5\nassistant: "
    }


def test_json_under_a_schema(toy):
    for seed in range(5):
        reply = toy.chat(
            seed=seed, max_tokens=12,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": NUMBER}},
        )  # fmt: skip
        assert type(json.loads(reply.choices[0].message.content)["n"]) is int
    anything = toy.chat(max_tokens=8, seed=1, response_format={"type": "json_object"})
    assert isinstance(json.loads(anything.choices[0].message.content), dict)


def test_the_client_parses_into_a_type(toy):
    class Number(BaseModel):
        n: int

    reply = toy.client.chat.completions.parse(
        model="toy",
        messages=[{"role": "user", "content": "x"}],
        response_format=Number,
        seed=3,
        max_tokens=12,
    )
    assert isinstance(reply.choices[0].message.parsed, Number)


@pytest.mark.parametrize(
    ("grammar", "valid"),
    [
        ({"regex": "[ab]c?"}, lambda text: text in ("a", "b", "ac", "bc")),
        ({"choice": ["a1", "b2"]}, lambda text: text in ("a1", "b2")),
        ({"json_schema": {"enum": [1, 23]}}, lambda text: text in ("1", "23")),
        ({"lark": 'start: "a" x\nx: "b" | "c"'}, lambda text: text in ("ab", "ac")),
        ({"lark": 'x: "b" | "c"', "start": "x"}, lambda text: text in ("b", "c")),
        ({"lark": "%import common.DIGIT\nstart: DIGIT"}, str.isdigit),
    ],
)
def test_grammars(toy, grammar, valid):
    for ask in (toy.complete, toy.chat):
        reply = ask(max_tokens=4, seed=1, extra_body={"grammar": grammar})
        choice = reply.choices[0]
        assert valid(choice.text if ask == toy.complete else choice.message.content)


def test_a_required_call_satisfies_the_schema(toy):
    for seed in range(4):
        reply = toy.chat(tools=FUNCTIONS, tool_choice="required", seed=seed, max_tokens=24)
        choice = reply.choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        (call,) = choice.message.tool_calls
        arguments = json.loads(call.function.arguments)
        assert type(arguments["n"]) is int if call.function.name == "a" else arguments == {}
    named = {"type": "function", "function": {"name": "b"}}
    assert (
        toy.chat(tools=FUNCTIONS, tool_choice=named, max_tokens=24)
        .choices[0]
        .message.tool_calls[0]
        .function.name
        == "b"
    )


def test_a_call_may_be_left_to_the_model(calling):
    reply = calling.chat(tools=FUNCTIONS[:1], n=50, seed=1, extra_body={"particles": 50})
    said = [choice.message.content for choice in reply.choices]
    assert set(said) == {"no", None}  # not what begins like a call, and is none
    assert {choice.finish_reason for choice in reply.choices} == {"stop", "tool_calls"}
    calls = [choice.message.tool_calls[0].function for choice in reply.choices if choice.message.tool_calls]
    assert {(call.name, call.arguments) for call in calls} == {("a", '{"n": 1}')}
    assert reply.model_extra["ppl"]["log_evidence"] == pytest.approx(-0.47, abs=0.15)  # 1/2 + 1/8
    silent = calling.chat(tools=FUNCTIONS[:1], tool_choice="none", n=20, seed=1, max_tokens=9)
    assert all(choice.message.tool_calls is None for choice in silent.choices)


def test_functions_are_told_to_the_model():
    seen = set()
    lm = TableLM(["a"], lambda prompt, ids: seen.add(prompt) or [0.0, 1.0])
    with serve(lm) as served:
        served.chat("hi", tools=FUNCTIONS)
    (prompt,) = seen
    assert prompt.startswith("system: You can call one of these functions:")
    assert '{"name": "a", "description": "Adds.", "parameters": {' in prompt


def test_a_single_free_run_is_streamed_token_by_token(toy):
    whole = toy.chat("hi", seed=6, max_tokens=12).choices[0]
    chunks = list(toy.chat("hi", seed=6, max_tokens=12, stream=True, stream_options={"include_usage": True}))
    pieces = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert "".join(pieces) == whole.message.content
    assert len(pieces) > 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == whole.finish_reason
    assert chunks[-2].model_extra["ppl"]["weights"] == [1.0]
    assert chunks[-1].usage.completion_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_population_is_streamed_when_it_has_ended(toy):
    ask = {"seed": 6, "n": 3, "max_tokens": 4, "logprobs": 1, "extra_body": {"grammar": {"regex": "[ab]+c?"}}}
    whole = toy.complete(**ask)
    chunks = list(toy.complete(stream=True, **ask))
    texts = ["", "", ""]
    for chunk in chunks:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [choice.text for choice in whole.choices]
    assert len([chunk for chunk in chunks if chunk.choices[0].text]) == 3
    assert chunks[0].choices[0].logprobs.tokens == whole.choices[0].logprobs.tokens


def test_calls_are_streamed(toy):
    chunks = list(toy.chat(tools=FUNCTIONS, tool_choice="required", seed=1, max_tokens=24, stream=True))
    (called,) = [c.choices[0].delta.tool_calls[0] for c in chunks if c.choices[0].delta.tool_calls]
    json.loads(called.function.arguments)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_an_error_in_a_stream_ends_it(toy):
    with pytest.raises(openai.APIError, match="survived"):
        list(toy.complete(max_tokens=1, stream=True, extra_body={"grammar": {"regex": "abc"}}))


@pytest.mark.parametrize("stops", [["bc"], ["bc", "ab"], ["é"], []])
@pytest.mark.parametrize("cuts", [[1], [2, 1], [1, 1, 2], [5]])
def test_what_is_certain_of_a_text_is_never_taken_back(stops, cuts):
    data = "abaébcé€".encode()
    spelled, pieces = Spelled(stops), []
    while data:
        for size in cuts:
            pieces.append(spelled.add(data[:size]))
            data = data[size:]
    text = "abaébcé€"
    end = min((text.find(stop) for stop in stops if stop in text), default=len(text))
    assert "".join(pieces) == text[:end]


@pytest.mark.parametrize(
    ("param", "options"),
    [
        ("frequency_penalty", {"frequency_penalty": 0.5}),
        ("presence_penalty", {"presence_penalty": 1}),
        ("logit_bias", {"logit_bias": {"1": 2}}),
        ("n", {"n": 0}),
        ("n", {"n": 1000}),
        ("seed", {"seed": -1}),
        ("temperature", {"temperature": -1}),
        ("temperature", {"temperature": 1e-300}),
        ("temperature", {"temperature": 0, "extra_body": {"particles": 4}}),
        ("top_p", {"top_p": 0}),
        ("max_tokens", {"max_tokens": 0}),
        ("max_tokens", {"max_tokens": 3, "max_completion_tokens": 3}),
        ("stop", {"stop": [""]}),
        ("top_logprobs", {"top_logprobs": 3}),
        ("stream_options", {"stream_options": {"include_usage": True}}),
        ("user", {"user": "me"}),
        ("tool_choice", {"tool_choice": "required"}),
        ("tool_choice", {"tools": FUNCTIONS, "tool_choice": {"type": "function", "function": {"name": "z"}}}),
        ("tools[0].function.parameters", {"tools": [function("f", {"type": "string"})]}),
        ("tools[0].function.parameters", {"tools": [function("f", {"type": 3})]}),
        ("tools[0].function.name", {"tools": [function("f g", NUMBER)]}),
        ("response_format.type", {"response_format": {"type": "xml"}}),
        ("response_format.json_schema.schema", {"response_format": formed({"type": "nothing"})}),
        ("response_format.json_schema.schema", {"response_format": formed({"$ref": "file:///etc/passwd"})}),
        ("grammar", {"extra_body": {"grammar": {"regex": "a", "choice": ["a"]}}}),
        ("grammar", {"extra_body": {"grammar": {"regex": "a"}}, "response_format": {"type": "json_object"}}),
        ("grammar.regex", {"extra_body": {"grammar": {"regex": "("}}}),
        ("grammar.lark", {"extra_body": {"grammar": {"lark": "%import .secret.X\nstart: X"}}}),
        ("grammar.lark", {"extra_body": {"grammar": {"lark": "%import  passwd (X)\nstart: X"}}}),
        ("grammar.choice", {"extra_body": {"grammar": {"choice": []}}}),
        ("grammar.choice", {"extra_body": {"grammar": {"choice": [1]}}}),
        ("grammar.regexp", {"extra_body": {"grammar": {"regex": "a", "regexp": "a"}}}),
        ("method", {"extra_body": {"method": "smk"}}),
        ("method", {"extra_body": {"method": "smc:ess=1"}}),
        ("method", {"extra_body": {"method": "enumerate", "particles": 3}}),
        ("method", {"extra_body": {"method": "tempered-smc"}}),
        ("method", {"extra_body": {"method": "particle-gibbs"}}),
        ("method", {"extra_body": {"method": "suffix-mcmc"}}),
        ("method", {"extra_body": {"method": "resample-move-smc"}}),
        ("method", {"extra_body": {"method": "best-first"}}),
        ("method", {"extra_body": {"method": "pruned-enriched"}}),
        ("method", {"extra_body": {"method": "until"}}),
        ("method", {"extra_body": {"method": "best-of-n:by=3"}}),
        ("method", {"extra_body": {"method": "enumerate:max_paths=100000000"}}),
        ("particles", {"extra_body": {"particles": 0}}),
        ("particles", {"extra_body": {"particles": 1.5}}),
        ("particles", {"extra_body": {"particles": True}}),
        ("particles", {"extra_body": {"particles": 1 << 20}}),
        ("messages[0].content[0].type", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        ("messages[0].role", {"messages": [{"role": "robot", "content": "x"}]}),
        ("messages[0].content", {"messages": [{"role": "user"}]}),
        ("messages[0].colour", {"messages": [{"role": "user", "content": "x", "colour": "red"}]}),
        ("messages[0].tool_call_id", {"messages": [{"role": "tool", "content": "x", "tool_call_id": "7"}]}),
        ("messages[0]", {"messages": ["x"]}),
        ("messages", {"messages": []}),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_name(toy, param, options):
    options = {"messages": [{"role": "user", "content": "x"}], **options}
    refused(400, toy.client.chat.completions.create, param, model="toy", **options)


def test_completions_refuse_what_is_of_chats_or_not_supported(toy):
    for options in ({"echo": True}, {"best_of": 3}, {"suffix": "x"}, {"logprobs": 100}):
        refused(400, toy.complete, next(iter(options)), **options)
    refused(400, toy.complete, "messages", extra_body={"messages": []})


def test_several_prompts_are_answered_in_their_order(toy):
    prompts = ["x", "xy", "x"]
    reply = toy.complete(prompts, seed=4, n=2, max_tokens=5, logprobs=0)
    assert [choice.index for choice in reply.choices] == list(range(6))
    told = reply.model_extra["ppl"]
    assert told["seed"] == 4
    assert len(told["weights"]) == 6
    assert told["weights"] == [weight for each in told["prompts"] for weight in each["weights"]]
    assert told["cost"]["tokens"] == sum(each["cost"]["tokens"] for each in told["prompts"])
    seeds = [each["seed"] for each in told["prompts"]]
    assert seeds == [program_seed(4, k) for k in range(3)]
    alone = [toy.complete(p, seed=s, n=2, max_tokens=5) for p, s in zip(prompts, seeds, strict=True)]
    assert [c.text for c in reply.choices] == [c.text for each in alone for c in each.choices]
    assert reply.usage.prompt_tokens == sum(each.usage.prompt_tokens for each in alone)
    assert reply.usage.completion_tokens == sum(each.usage.completion_tokens for each in alone)
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_list_of_one_prompt_is_that_prompt(toy):
    one, listed = (toy.complete(p, seed=4, n=3, max_tokens=5) for p in ("x", ["x"]))
    assert listed.choices == one.choices
    told = [reply.model_extra["ppl"] | {"cost": None} for reply in (one, listed)]
    assert told[0] == told[1]


@pytest.mark.parametrize("extra", [{}, {"grammar": {"regex": "[ab]+c?"}}])
@pytest.mark.parametrize("n", [1, 2])
def test_several_prompts_are_streamed(toy, n, extra):
    ask = {"prompt": ["x", "xy", "z"], "seed": 6, "n": n, "max_tokens": 8, "extra_body": extra}
    whole = toy.complete(**ask)
    chunks = list(toy.complete(stream=True, stream_options={"include_usage": True}, **ask))
    texts, ends = [""] * 3 * n, []
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] += choice.text
        ends += [choice.index] if choice.finish_reason else []
    assert texts == [choice.text for choice in whole.choices]
    assert sorted(ends) == list(range(3 * n))
    told = {
        c.choices[0].index: c.model_extra["ppl"] for c in chunks if c.choices and c.choices[0].finish_reason
    }
    assert [told[k * n]["log_evidence"] for k in range(3)] == [
        each["log_evidence"] for each in whole.model_extra["ppl"]["prompts"]
    ]
    assert chunks[-1].usage == whole.usage
    pieces = [chunk for chunk in chunks if chunk.choices and chunk.choices[0].text]
    assert len(pieces) > 3 * n if n == 1 and not extra else len(pieces) == 3 * n


@pytest.mark.parametrize(
    ("param", "prompt", "options"),
    [
        ("prompt", [], {}),
        ("prompt[0]", [1, 2], {}),
        ("prompt[0]", [[1, 2], [3]], {}),
        ("prompt[1]", ["x", 3], {}),
        ("prompt", ["x"] * 3, {"n": 100}),
        ("prompt", ["x"] * 129, {}),
        ("prompt", ["x"] * 41, {}),  # places to run and to wait
        (
            "particles",
            ["x"] * 3,
            {"extra_body": {"particles": 400}, "max_tokens": 256},
        ),  # two of them would do
    ],
)
def test_prompts_that_are_not_understood_or_too_many_are_refused(toy, param, prompt, options):
    refused(400, toy.complete, param, prompt=prompt, **options)
    if param == "particles":
        toy.complete(prompt[:2], **options)


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_of_one_prompt_is_that_of_the_request(stream):
    def probs(prompt, ids):
        return [0, 0, 1.0] if ids else [1.0, 0, 0] if prompt == "a" else [0, 1.0, 0]

    lm = TableLM(["a", "b"], probs, context_length=6)
    ask = {"max_tokens": 1, "stream": stream, "extra_body": {"grammar": {"regex": "a"}}}
    with serve(lm) as served:
        assert "context" in refused(400, served.complete, "prompt[1]", prompt=["a", "x" * 6], **ask)
        with pytest.raises(openai.APIError, match="survived") as caught:
            list(served.complete(["a", "x", "b", "x"], **ask))
        assert caught.value.body["param"] == "prompt[1]"
        assert served.metrics()['ppl_requests_total{endpoint="/v1/completions",outcome="no_survivors"}'] == 1


def test_values_that_change_nothing_are_taken(toy):
    toy.chat(frequency_penalty=0.0, presence_penalty=0, logit_bias={}, store=False, max_tokens=2)
    toy.complete(echo=False, best_of=1, max_tokens=2, stop=None)


def test_an_unknown_model_is_not_found(toy):
    refused(404, toy.client.completions.create, "model", model="gpt", prompt="x")
    refused(404, toy.client.models.retrieve, model="gpt")
    assert [model.id for model in toy.client.models.list()] == ["toy"]
    assert toy.client.models.retrieve("toy").owned_by == "ppl"


def test_a_prompt_that_is_too_long_is_refused():
    lm = TableLM(["a"], lambda prompt, ids: [0.0, 1.0], context_length=12)
    with serve(lm) as served:
        assert "context" in refused(400, served.complete, "prompt", prompt="x" * 20)
        served.complete("x", max_tokens=3)


def test_a_posterior_without_samples_is_an_error_of_its_own(toy):
    with pytest.raises(openai.UnprocessableEntityError, match="survived") as caught:
        toy.complete(max_tokens=1, extra_body={"grammar": {"regex": "abc"}})
    assert caught.value.type == caught.value.code == "no_survivors"


def test_a_model_that_fails_is_no_fault_of_the_client(caplog):
    def probs(prompt, ids):
        raise ZeroDivisionError("secret")

    with serve(TableLM(["a"], probs)) as served:
        assert "secret" not in refused(500, served.complete)
        assert served.metrics()['ppl_requests_total{endpoint="/v1/completions",outcome="failed"}'] == 1
        refused(500, served.complete)
    assert "ZeroDivisionError" in caplog.text


def test_bodies_that_are_no_requests(toy):
    kind = {"Content-Type": "application/json"}
    for body in (b"", b"{", b"[]", b"\xff", b'"x"', b'{"a": 1, "a": 2}', b"[" * 100_000, b'{"n": NaN}'):
        reply = toy.post("/v1/completions", content=body, headers=kind)
        assert reply.status_code == 400, body
        assert reply.json()["error"]["message"]
    assert toy.post("/v1/completions", content=b"{}").status_code == 415
    huge = toy.post("/v1/completions", content=b"x" * (2 << 20), headers=kind)
    assert huge.status_code == 413
    assert httpx.get(f"{toy.url}/v1/completions").status_code == 405
    assert httpx.get(f"{toy.url}/nothing").json()["error"]["type"] == "invalid_request_error"


def test_other_names_of_this_host_are_refused(toy):
    assert httpx.get(f"{toy.url}/v1/models", headers={"Host": "evil.example"}).status_code == 403
    for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "[::1]"):
        assert httpx.get(f"{toy.url}/v1/models", headers={"Host": host}).status_code == 200, host


def test_a_key_is_asked_for():
    with serve(LM, api_key="ключ") as served:
        refused(401, served.complete)
        assert httpx.get(f"{served.url}/metrics").status_code == 401
        assert httpx.get(f"{served.url}/health").status_code == 200
        header = {"Authorization": "Bearer ключ".encode()}
        assert httpx.get(f"{served.url}/v1/models", headers=header).status_code == 200
    with serve(LM, api_key="key") as served:
        client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="key")
        assert client.completions.create(model="toy", prompt="x", max_tokens=1)


def test_health_and_metrics(toy):
    assert httpx.get(f"{toy.url}/health").json() == {"status": "ok"}
    before = toy.metrics()
    reply = toy.complete(seed=1, max_tokens=3, extra_body={"grammar": {"regex": "[ab]*"}})
    refused(400, toy.complete, n=0)
    after = toy.metrics()

    def gained(name):
        return after[name] - before.get(name, 0.0)

    cost = reply.model_extra["ppl"]["cost"]
    assert gained("ppl_tokens_drawn_total") == cost["tokens"]
    assert gained("ppl_lm_tokens_total") == cost["lm_tokens"]
    assert gained("ppl_lm_calls_total") == cost["lm_calls"] == gained("ppl_rounds_total")
    assert gained('ppl_requests_total{endpoint="/v1/completions",outcome="ok"}') == 1
    assert gained('ppl_requests_total{endpoint="/v1/completions",outcome="invalid"}') == 1
    assert gained("ppl_request_seconds_count") == 1
    assert after["ppl_requests_running"] == after["ppl_requests_waiting"] == 0


def test_errors_say_no_more_than_they_should():
    assert "boom" not in json.dumps(request_error(ValueError("boom")).body())
