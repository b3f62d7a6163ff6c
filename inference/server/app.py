"""The ASGI application: routes, who may ask, and what happens at the end."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from inference.engines.base import Engine
from inference.server.asked import Limits
from inference.server.errors import RequestError
from inference.server.service import Service
from inference.server.worker import Worker

_HERE = ("localhost", "127.0.0.1", "[::1]")


def application(
    lm: Engine,
    name: str,
    *,
    concurrency: int = 8,
    queue: int = 32,
    limits: Limits | None = None,
    api_key: str | None = None,
    local: bool = True,
) -> Starlette:
    """Return the server of one model as an ASGI application.

    Parameters
    ----------
    lm, name:
        The model, and the name by which clients know it.
    concurrency, queue:
        How many requests run together, and how many wait.
    limits:
        What a request may ask for.
    api_key:
        What clients must send as `Authorization: Bearer KEY`, but for `/health`; None: nothing.
    local:
        Without a key, take only requests that call this host by a loopback name. Otherwise a page in a browser could
        come here under a name of its own (DNS rebinding).
    """
    service = Service(lm, name, Worker(concurrency, queue), limits or Limits())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service.worker.start()
        yield
        service.close()

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        told = RequestError(
            error.detail, hint="see docs/server.md for the endpoints", status=error.status_code
        )
        return service.refusal(request, told)

    routes = [
        Route("/v1/chat/completions", service.chat, methods=["POST"]),
        Route("/v1/completions", service.completion, methods=["POST"]),
        Route("/v1/models", service.models),
        Route("/v1/models/{model:path}", service.models),
        Route("/health", service.health),
        Route("/metrics", service.prometheus),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Doorkeeper, service=service, api_key=api_key, local=local)],
        exception_handlers={HTTPException: refused},
        lifespan=lifespan,
    )
    app.state.service = service
    return app


class Doorkeeper:
    """Lets requests pass that have the key or, where there is none, come to this machine by its own name."""

    def __init__(self, app: ASGIApp, service: Service, api_key: str | None, local: bool) -> None:
        self._app = app
        self._service = service
        self._key = None if api_key is None else api_key.encode()
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        error = self._error(Request(scope)) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send)
        else:
            await self._service.refusal(Request(scope), error)(scope, receive, send)

    def _error(self, request: Request) -> RequestError | None:
        if request.url.path == "/health":
            return None
        if self._key is not None:
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self._key):
                return None
            return RequestError(
                "the API key is missing or wrong",
                hint="send the header Authorization: Bearer KEY",
                status=401,
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        host = request.headers.get("host", "").rsplit(":", 1)[0] if self._local else _HERE[0]
        if host not in _HERE and request.headers.get("host") != "[::1]":
            return RequestError(
                f"this server is not {host!r}", hint="ask 127.0.0.1, or set an API key", status=403
            )
        return None
