"""Messages: a conversation of the protocol as one that chat templates take, of system, user and assistant."""

from __future__ import annotations

from typing import Any

from inference.server.fields import Fields

Conversation = list[dict[str, str]]

_ROLES = ("system", "developer", "user", "assistant", "tool")


def read_messages(fields: Fields) -> Conversation:
    """Return the field `messages`.

    A content in parts is joined; `developer` is `system`. Calls of the assistant become the text that spells them, and
    what functions returned a message of the user, in which several such in a row are one.
    """
    given = fields.need("messages", list)
    if not given:
        raise fields.error("messages", "is empty", hint="at least one message")
    conversation: Conversation = []
    names: dict[str, str] = {}
    results = False  # whether the last message is made of results
    for i, each in enumerate(given):
        message = Fields(each, f"messages[{i}]")
        role = message.one_of("role", _ROLES)
        if role is None:
            raise message.error("role", "is missing", hint=", ".join(_ROLES), code="missing")
        if role == "tool":
            text = _result(message, names)
            if results:
                conversation[-1]["content"] += f"\n{text}"
            else:
                conversation.append({"role": "user", "content": text})
        elif role == "assistant":
            conversation.append({"role": role, "content": _said(message, names)})
        else:
            role = "system" if role == "developer" else role
            conversation.append({"role": role, "content": _content(message)})
        results = role == "tool"
        message.done()
    return conversation


def with_instruction(conversation: Conversation, text: str) -> Conversation:
    """Return the conversation with a text added to its message of the system, which comes first."""
    if conversation[0]["role"] != "system":
        return [{"role": "system", "content": text}, *conversation]
    first = {"role": "system", "content": f"{conversation[0]['content']}\n\n{text}"}
    return [first, *conversation[1:]]


def _content(message: Fields) -> str:
    content: Any = message.need("content", str, list)
    if isinstance(content, str):
        return content
    texts = []
    for i, each in enumerate(content):
        part = Fields(each, f"{message.path('content')}[{i}]")
        if part.need("type", str) != "text":
            raise part.error("type", "is not supported", hint="text")
        texts.append(part.need("text", str))
        part.done()
    return "".join(texts)


def _said(message: Fields, names: dict[str, str]) -> str:
    """Return what the assistant said, its calls included; note the names of what it called."""
    calls = message.get("tool_calls", list) or []
    said = [_content(message)] if "content" in message or not calls else []
    for i, each in enumerate(calls):
        call = Fields(each, f"{message.path('tool_calls')}[{i}]")
        call.get("type", str)
        identifier = call.need("id", str)
        function = Fields(call.need("function", dict), call.path("function"))
        names[identifier] = name = function.need("name", str)
        said.append(f'{{"name": "{name}", "arguments": {function.need("arguments", str)}}}')
        function.done()
        call.done()
    return "\n".join(text for text in said if text)


def _result(message: Fields, names: dict[str, str]) -> str:
    identifier = message.need("tool_call_id", str)
    if identifier not in names:
        raise message.error(
            "tool_call_id", f"is {identifier!r}, which no call before it has", hint="the id of a call"
        )
    return f"Result of {names[identifier]}: {_content(message)}"
