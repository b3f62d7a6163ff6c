"""Errors of requests, in the shape that clients of the protocol know: a status, and a body that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grammars.errors import PPLError

_BUSY, _FAULT = 429, 500


class RequestError(PPLError, ValueError):
    """A request that is refused, or that came to nothing.

    Parameters
    ----------
    message, hint:
        As of `PPLError`; the client sees both.
    status:
        The HTTP status.
    param:
        The field that is at fault, such as "messages[0].content".
    code:
        A word for programs, such as "unknown_field".
    headers:
        Sent along.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    @property
    def outcome(self) -> str:
        """What the metrics call it."""
        known = {401: "unauthorized", 404: "not_found", 422: "no_survivors", _BUSY: "busy", 503: "closing"}
        return known.get(self.status, "invalid" if self.status < _FAULT else "failed")

    def body(self) -> dict[str, Any]:
        """Return the body of the response."""
        message = self.message if self.hint is None else f"{self.message} (hint: {self.hint})"
        kinds = {401: "authentication_error", _BUSY: "rate_limit_error", 422: "no_survivors"}
        kind = kinds.get(self.status, "invalid_request_error" if self.status < _FAULT else "server_error")
        return {"error": {"message": message, "type": kind, "param": self.param, "code": self.code}}


def request_error(error: Exception, param: str | None = None) -> RequestError:
    """Return what a client is told of an error; of one that is no `PPLError` only that it happened.

    Errors about what was asked have a status of 400, and the rest 500.
    """
    if isinstance(error, RequestError):
        return error
    if not isinstance(error, PPLError):
        return RequestError("the server failed", hint="its log has the reason", status=_FAULT, code="fault")
    code = "".join("_" + c.lower() if c.isupper() else c for c in type(error).__name__).lstrip("_")
    status = _FAULT if isinstance(error, RuntimeError | OSError) else 400
    return RequestError(error.message, hint=error.hint, status=status, param=param, code=code)
