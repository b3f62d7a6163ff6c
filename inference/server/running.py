"""Running the application until it is told to end, and ending it in order.

On Ctrl-C or SIGTERM no more connections are taken. Requests that wait or run have some seconds left; those that are not
done by then are answered with 503. A second signal has them answered so at once, a third one ends the process.
"""

from __future__ import annotations

import asyncio
import socket
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from typing_extensions import override

from inference.server.service import Service

_MARGIN = 5
"""Seconds after which connections are cut that did not even take an error."""


class GracefulServer(uvicorn.Server):
    """A server that drops what runs some seconds after it was told to end."""

    def __init__(self, config: uvicorn.Config, service: Service, grace: int) -> None:
        super().__init__(config)
        self._service = service
        self._grace = grace
        self._hurried = False

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit and not self._hurried:
            self._hurried = True
            self._service.worker.drop()
        else:
            super().handle_exit(sig, frame)

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        timer = asyncio.get_running_loop().call_later(self._grace, self._service.worker.drop)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()


def server(app: Starlette, *, grace: int, log_level: str = "warning") -> GracefulServer:
    """Return the server of an application, to be run at a listening socket: `server.run(sockets=[...])`."""
    config = uvicorn.Config(
        app, log_level=log_level, access_log=False, timeout_graceful_shutdown=grace + _MARGIN
    )
    return GracefulServer(config, app.state.service, grace)
