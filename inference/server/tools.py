"""Tools: functions that a model may call, told to it in words, and calls as a constraint on its answer.

A call is spelled `{"name": "f", "arguments": {...}}`, with arguments in the language of the function's schema. Where a
call is required the answer is in the union of these languages. Where it is left to the model, the answer is a call, or
a text that does not begin like one (`{"name": "`), or what else the request asks of an answer.

The functions are described in a message of the role system, in the same words for every model. What format a chat
template has for them is not used: templates differ in how calls are spelled, and many know none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from grammars import Constraint, JsonSchema, Regex
from inference.server.errors import RequestError
from inference.server.fields import Fields
from inference.server.formats import about, schema

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_BEGIN = '{"name": "'
_NO_CALL = Regex(rf"(?s)(?!{re.escape(_BEGIN)}).*")
_ANY_OBJECT: dict[str, Any] = {"type": "object"}


@dataclass(frozen=True)
class Tool:
    """A function: its name, what it is for, and the schema of its arguments."""

    name: str
    description: str
    parameters: JsonSchema

    @property
    def begin(self) -> str:
        """How a call begins."""
        return f'{_BEGIN}{self.name}", "arguments": '

    @property
    def calls(self) -> Constraint:
        """The texts that call it."""
        return self.begin + self.parameters + "}"

    @property
    def shown(self) -> dict[str, Any]:
        """What the model is told of it."""
        about = {"description": self.description} if self.description else {}
        return {"name": self.name, **about, "parameters": json.loads(self.parameters.text)}


@dataclass(frozen=True)
class Tools:
    """The functions that an answer may call, and whether it must."""

    tools: tuple[Tool, ...]
    required: bool

    def prompt(self) -> str:
        """Return what the model is told."""
        listed = "\n".join(json.dumps(tool.shown, ensure_ascii=False) for tool in self.tools)
        form = '{"name": NAME, "arguments": {...}}'
        if self.required:
            return f"Call one of these functions:\n{listed}\nAnswer with JSON only, as {form}"
        return (
            f"You can call one of these functions:\n{listed}\nTo call one, answer with JSON only, as {form}"
        )

    def constraint(self, otherwise: Constraint | None) -> Constraint:
        """Return the language of the answers, `otherwise` being that of those that call nothing; None is any text."""
        union = self.tools[0].calls
        for tool in self.tools[1:]:
            union = union | tool.calls
        if self.required:
            return union
        return union | (_NO_CALL if otherwise is None else otherwise)

    def call(self, text: str) -> tuple[str, str] | None:
        """Return the name and the arguments of the call that a text is; None if it is none."""
        for tool in self.tools:
            arguments = text.removeprefix(tool.begin).removesuffix("}")
            if len(arguments) == len(text) - len(tool.begin) - 1 and tool.parameters.matches(arguments):
                return tool.name, arguments
        return None


def read_tools(fields: Fields) -> Tools | None:
    """Return the fields `tools` and `tool_choice`; None where nothing may be called.

    `parallel_tool_calls` may be given, an answer being one call at most.
    """
    given = fields.get("tools", list)
    choice = fields.any("tool_choice")
    parallel = "parallel_tool_calls" in fields
    fields.get("parallel_tool_calls", bool)
    if not given:
        if parallel or choice not in (None, "none", "auto"):
            name = "parallel_tool_calls" if parallel else "tool_choice"
            raise fields.error(name, "is given without tools", hint="add the field tools, or leave it out")
        return None
    tools = tuple(_tool(Fields(each, f"tools[{i}]")) for i, each in enumerate(given))
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        raise fields.error("tools", "has two functions of one name")
    if choice == "none":
        return None
    if choice in (None, "auto", "required"):
        return Tools(tools, choice == "required")
    name = _named(choice)
    if name not in names:
        raise fields.error(
            "tool_choice", f"names {name!r}, which is not among the tools", hint=", ".join(names)
        )
    return Tools(tuple(tool for tool in tools if tool.name == name), True)


def _tool(fields: Fields) -> Tool:
    if fields.need("type", str) != "function":
        raise fields.error("type", "is not supported", hint="function")
    function = Fields(fields.need("function", dict), fields.path("function"))
    fields.done()
    name = function.need("name", str)
    if not _NAME.fullmatch(name):
        raise function.error("name", f"is {name!r}", hint="letters, digits, _ and -, 64 at most")
    function.get("strict", bool)
    description = function.get("description", str) or ""
    if "parameters" not in function:
        parameters = JsonSchema(_ANY_OBJECT | {"maxProperties": 0})
    else:
        parameters = schema(function, "parameters")
        if json.loads(parameters.text).get("type") != "object":
            raise function.error("parameters", "is no schema of an object", hint='"type": "object"')
    function.done()
    with about(function.path("parameters")):
        return Tool(name, description, parameters)


def _named(choice: Any) -> str:
    """Return the name of the function in `{"type": "function", "function": {"name": ...}}`."""
    if isinstance(choice, str):
        raise RequestError(
            f"tool_choice is {choice!r}",
            hint='none, auto, required, or {"type": "function", "function": {"name": ...}}',
            param="tool_choice",
            code="invalid_value",
        )
    fields = Fields(choice, "tool_choice")
    if fields.need("type", str) != "function":
        raise fields.error("type", "is not supported", hint="function")
    function = Fields(fields.need("function", dict), fields.path("function"))
    name = function.need("name", str)
    function.done()
    fields.done()
    return name
