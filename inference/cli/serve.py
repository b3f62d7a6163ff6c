"""`ppl serve`: a model behind the OpenAI protocol, on this machine."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Annotated

import typer

from inference.cli.exit_codes import BadInput, say
from inference.cli.groups import command
from inference.cli.options import ModelChoice

commands = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class Serving:
    """Where it listens, and what it takes."""

    host: Annotated[
        str, typer.Option(help="The address to listen at; beyond this machine only with a key.")
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any free one, which is shown.")] = 8000
    name: Annotated[
        str | None, typer.Option(help="The model's name for clients.", show_default="that of --model")
    ] = None
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="PPL_API_KEY", help="What clients must send as a bearer token.", show_default=False
        ),
    ] = None
    concurrency: Annotated[int, typer.Option(min=1, help="Requests that run together.")] = 8
    queue: Annotated[int, typer.Option(min=0, help="Requests that wait; more get 429.")] = 32
    max_tokens: Annotated[int, typer.Option(min=1, help="Of a text whose request does not say.")] = 256
    max_moves: Annotated[int, typer.Option(min=1, help="Particles times tokens of a request, at most.")] = (
        1 << 18
    )
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request, at most.")] = 1 << 20
    grace: Annotated[
        int, typer.Option(min=0, help="Seconds that requests have left after Ctrl-C or SIGTERM.")
    ] = 10


@commands.command("serve")
@command
def serve(model: ModelChoice, how: Serving) -> None:
    """Serve chat completions and completions in the OpenAI protocol."""
    if how.api_key == "":
        raise BadInput("the API key is empty", hint="--api-key KEY, or unset PPL_API_KEY")
    if how.api_key is None and not _is_loopback(how.host):
        raise BadInput(
            f"--host {how.host} is open to others, without a key", hint="--api-key KEY, or PPL_API_KEY"
        )
    try:
        from inference.server.app import application
        from inference.server.running import server
    except ImportError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        from inference.errors import MissingDependency

        raise MissingDependency(
            f"the server needs starlette and uvicorn: {error}", hint="install them: pip install 'ppl[server]'"
        ) from error
    from inference.server.asked import Limits

    name = how.name or model.name
    listening = _listen(how.host, how.port)
    app = application(
        model.load(),
        name,
        concurrency=how.concurrency,
        queue=how.queue,
        limits=Limits(how.max_tokens, how.max_moves, how.max_body),
        api_key=how.api_key,
    )
    host, port = listening.getsockname()[:2]
    say(f"{name} at http://{f'[{host}]' if ':' in host else host}:{port}/v1")
    server(app, grace=how.grace).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
