"""Replies: answers in the shapes of the protocol, whole or in chunks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from inference.diagnostics import Cost
from inference.server.answering import Answer, Choice, Position, Token
from inference.server.asked import Asked

Json = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """The reply to a request, under one id.

    Parameters
    ----------
    asked:
        What was asked.
    model:
        The name by which the client knows the model.
    """

    asked: Asked
    model: str
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, answers: Sequence[Answer]) -> Json:
        """Return the body of a response, from the answers to the prompts, in order."""
        kind = "chat.completion" if self.asked.chat else "text_completion"
        choices = [choice for answer in answers for choice in answer.choices]
        return self._head(kind) | {
            "choices": [self._choice(i, choice) for i, choice in enumerate(choices)],
            "usage": self._usage(answers),
            "ppl": _posterior(answers[0]) if len(answers) == 1 else self._posteriors(answers),
        }

    def beginning(self) -> list[Json]:
        """Return the chunks that come before any text."""
        if not self.asked.chat:
            return []
        return [self._chunk(i, {"role": "assistant", "content": ""}) for i in range(self.asked.n)]

    def piece(self, k: int, text: str) -> Json:
        """Return a chunk with a piece of the only choice of prompt k."""
        return self._chunk(k, {"content": text})

    def end(self, k: int, answer: Answer, sent: str) -> list[Json]:
        """Return the chunks of prompt k: what is left of each choice after `sent`, why it ended, the posterior."""
        chunks = []
        for i, choice in enumerate(answer.choices, k * self.asked.n):
            called = _called(choice)
            if called:
                delta: Json = {"tool_calls": [{"index": 0, **call} for call in called]}
            else:
                delta = {"content": choice.text[len(sent) :]}
            told = self._logprobs(choice)
            if called or told is not None or delta["content"]:
                chunks.append(self._chunk(i, delta, logprobs=told))
            last = self._chunk(i, {}, finish_reason=_finish(choice))
            chunks.append(last | {"ppl": _posterior(answer)})
        return chunks

    def usage(self, answers: Sequence[Answer]) -> list[Json]:
        """Return the chunk with the usage, if it was asked for."""
        if not self.asked.include_usage:
            return []
        return [self._head(self._chunk_kind) | {"choices": [], "usage": self._usage(answers)}]

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.asked.chat else "text_completion"

    def _head(self, kind: str) -> Json:
        prefix = "chatcmpl" if self.asked.chat else "cmpl"
        return {
            "id": f"{prefix}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": f"ppl-{version('ppl')}",
        }

    def _chunk(self, index: int, delta: Json, **more: Any) -> Json:
        choice: Json = {"index": index, "logprobs": None, "finish_reason": None, **more}
        if self.asked.chat:
            choice["delta"] = delta
        else:
            choice["text"] = delta.get("content", "")
        return self._head(self._chunk_kind) | {"choices": [choice]}

    def _choice(self, index: int, choice: Choice) -> Json:
        shared = {"index": index, "finish_reason": _finish(choice), "logprobs": self._logprobs(choice)}
        if not self.asked.chat:
            return shared | {"text": choice.text}
        called = _called(choice)
        message: Json = {"role": "assistant", "content": None if called else choice.text, "refusal": None}
        return shared | {"message": message | ({"tool_calls": called} if called else {})}

    def _logprobs(self, choice: Choice) -> Json | None:
        if choice.positions is None:
            return None
        return _chat_logprobs(choice.positions) if self.asked.chat else _legacy_logprobs(choice.positions)

    def _usage(self, answers: Sequence[Answer]) -> Json:
        prompt = sum(len(prompt.text.prompt) for prompt in self.asked.prompts)
        written = sum(choice.tokens for answer in answers for choice in answer.choices)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
        }

    def _posteriors(self, answers: Sequence[Answer]) -> Json:
        return {
            "weights": [choice.weight for answer in answers for choice in answer.choices],
            "method": repr(self.asked.method),
            "seed": self.asked.seed,
            "cost": asdict(Cost.total(answer.posterior.cost for answer in answers)),
            "prompts": [_posterior(answer) for answer in answers],
        }


def _posterior(answer: Answer) -> Json:
    posterior = answer.posterior
    return {
        "log_evidence": posterior.log_evidence,
        "ess": posterior.ess,
        "samples": len(posterior),
        "weights": [choice.weight for choice in answer.choices],
        "method": posterior.method,
        "seed": posterior.seed,
        "cost": asdict(posterior.cost),
    }


def _finish(choice: Choice) -> str:
    if choice.call is not None:
        return "tool_calls"
    return "length" if choice.cut else "stop"


def _called(choice: Choice) -> list[Json]:
    """Return the calls that a choice makes: none or one."""
    if choice.call is None:
        return []
    function = {"name": choice.call[0], "arguments": choice.call[1]}
    return [{"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}]


def _chat_logprobs(positions: Sequence[Position]) -> Json:
    content = [
        {**_told(position.token), "top_logprobs": [_told(token) for token in position.top]}
        for position in positions
    ]
    return {"content": content, "refusal": None}


def _told(token: Token) -> Json:
    """Return a token and its log-probability; the end of the text has no bytes."""
    if token.data is None:
        return {"token": "", "logprob": token.logprob, "bytes": None}
    return {"token": _shown(token.data), "logprob": token.logprob, "bytes": list(token.data)}


def _legacy_logprobs(positions: Sequence[Position]) -> Json:
    """Return the log-probabilities of a completion; keys of `top_logprobs` that are no text are written as bytes."""
    offsets, before = [], b""
    for position in positions:
        offsets.append(len(before.decode("utf-8", "ignore")))
        before += position.token.data or b""
    return {
        "tokens": [_key(position.token) for position in positions],
        "token_logprobs": [position.token.logprob for position in positions],
        "top_logprobs": [{_key(token): token.logprob for token in position.top} for position in positions],
        "text_offset": offsets,
    }


def _key(token: Token) -> str:
    data = token.data or b""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "replace")
