"""The service: requests in, responses out; what the endpoints do, whatever serves them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from grammars.json_text import read_json
from inference.diagnostics import Cost
from inference.engines.base import Engine
from inference.server.answering import Answer, Listener, answer
from inference.server.asked import Asked, Limits
from inference.server.errors import RequestError, request_error
from inference.server.metrics import CONTENT_TYPE, Metrics
from inference.server.reading import Reader, unknown_model
from inference.server.replies import Reply
from inference.server.streaming import event, events
from inference.server.worker import Job, Worker

logger = logging.getLogger(__name__)

_GONE = Response(status_code=499)  # nobody reads it


class Service:
    """What is served of one model.

    Parameters
    ----------
    lm, name:
        The model, and the name by which clients know it.
    worker:
        Where it runs.
    limits:
        What a request may ask for.
    """

    def __init__(self, lm: Engine, name: str, worker: Worker, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.worker = worker
        self.metrics = Metrics()
        self._reader = Reader(lm, name, limits)
        self._reading = ThreadPoolExecutor(1, "ppl-reading")  # off the loop: grammars take a while to compile
        self._born = int(time.time())

    def close(self) -> None:
        """Drop all requests and end the threads."""
        self._reading.shutdown(cancel_futures=True)
        self.worker.close()

    async def chat(self, request: Request) -> Response:
        """Answer `POST /v1/chat/completions`."""
        return await self._answer(request, self._reader.chat)

    async def completion(self, request: Request) -> Response:
        """Answer `POST /v1/completions`."""
        return await self._answer(request, self._reader.completion)

    async def models(self, request: Request) -> Response:
        """Answer `GET /v1/models`, and that of a single one."""
        model = {"id": self.name, "object": "model", "created": self._born, "owned_by": "ppl"}
        wanted = request.path_params.get("model")
        if wanted is None:
            return JSONResponse({"object": "list", "data": [model]})
        if wanted != self.name:
            return self.refusal(request, unknown_model(wanted, self.name))
        return JSONResponse(model)

    async def health(self, request: Request) -> Response:
        """Answer `GET /health`: 200 while requests get done."""
        alive = self.worker.alive
        return JSONResponse({"status": "ok" if alive else "closing"}, status_code=200 if alive else 503)

    async def prometheus(self, request: Request) -> Response:
        """Answer `GET /metrics`."""
        now = {
            "ppl_rounds_total": self.worker.rounds,
            "ppl_requests_running": self.worker.running,
            "ppl_requests_waiting": self.worker.waiting,
        }
        return PlainTextResponse(self.metrics.text(now), headers={"Content-Type": CONTENT_TYPE})

    def refusal(self, request: Request, error: RequestError) -> Response:
        """Return the response for an error, and count it."""
        self._count(request, error.outcome)
        return JSONResponse(error.body(), status_code=error.status, headers=error.headers)

    async def _answer(self, request: Request, read: Callable[[Any], Asked]) -> Response:
        start = time.monotonic()
        try:
            data = await self._json(request)
            asked = await asyncio.get_running_loop().run_in_executor(self._reading, read, data)
            jobs, listeners, pieces = self._submit(asked)
        except ClientDisconnect:
            self._count(request, "left")
            return _GONE
        except Exception as error:
            return self.refusal(request, self._told(error))
        reply = Reply(asked, self.name)
        if asked.stream:
            stream = self._stream(request, reply, jobs, listeners, pieces, start)
            return StreamingResponse(
                stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
            )
        try:
            found = await self._unless_left(request, jobs)
        except Exception as error:
            return self.refusal(request, self._told(error))
        if found is None:
            self._count(request, "left")
            return _GONE
        self._done(request, found, start)
        return JSONResponse(reply.whole(found))

    async def _json(self, request: Request) -> Any:
        """Return the body of a request, which is read no further than the limit."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # which a page of another site cannot send without asking
            raise RequestError(
                f"the content type is {kind or 'missing'}", hint="Content-Type: application/json", status=415
            )
        body, limit = bytearray(), self.limits.max_body
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise RequestError(f"the request has more than {limit} bytes", hint="--max-body", status=413)
        try:
            return read_json(bytes(body))
        except ValueError as error:
            raise RequestError(f"the request is not JSON: {error}", code="invalid_json") from error

    def _submit(
        self, asked: Asked
    ) -> tuple[list[Job[Answer]], list[Listener], asyncio.Queue[tuple[int, bytes]]]:
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[tuple[int, bytes]]()

        def spelled(k: int, data: bytes) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, (k, data))

        told = asked.stream and asked.token_by_token
        listeners = [Listener(partial(spelled, k) if told else None) for k in range(len(asked.prompts))]
        jobs = [
            Job[Answer](partial(answer, asked, prompt, listener))
            for prompt, listener in zip(asked.prompts, listeners, strict=True)
        ]
        self.worker.submit(*jobs)
        return jobs, listeners, pieces

    async def _unless_left(self, request: Request, jobs: Sequence[Job[Answer]]) -> list[Answer] | None:
        """Return the answers; None if the client leaves before, with which the runs end."""
        results = _results(jobs)
        pending, left = list(results), asyncio.ensure_future(_left(request))
        try:
            while pending:
                either: set[asyncio.Future[Any]] = {*pending, left}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                for result in results:
                    if result.done():
                        result.result()  # an error of one is that of the request
                pending = [result for result in results if not result.done()]
                if pending and left.done():
                    return None
            return [result.result() for result in results]
        finally:
            left.cancel()
            _cancel(jobs)

    async def _stream(
        self,
        request: Request,
        reply: Reply,
        jobs: Sequence[Job[Answer]],
        listeners: Sequence[Listener],
        pieces: asyncio.Queue[tuple[int, bytes]],
        start: float,
    ) -> AsyncIterator[str]:
        results = _results(jobs)
        outcome = "left"
        try:
            async for each in events(reply, results, listeners, pieces):
                yield each
            self._done(request, [result.result() for result in results], start)
            outcome = ""
        except Exception as error:
            told = self._told(error)
            outcome = told.outcome
            yield event(told.body())
        finally:
            _cancel(jobs)
            if outcome:
                self._count(request, outcome)

    def _done(self, request: Request, found: Sequence[Answer], start: float) -> None:
        cost = Cost.total(answer.posterior.cost for answer in found)
        self.metrics.answered(time.monotonic() - start, cost)
        self._count(request, "ok")

    def _told(self, error: Exception) -> RequestError:
        """Return what the client is told; the log has what it is not."""
        told = request_error(error)
        if told.status == 500:
            logger.error("a request failed", exc_info=error)
        return told

    def _count(self, request: Request, outcome: str) -> None:
        route = request.scope.get("route")
        self.metrics.request(getattr(route, "path", "none"), outcome)


def _results(jobs: Sequence[Job[Answer]]) -> list[asyncio.Future[Answer]]:
    """Return what the jobs will come to; of several errors the first is told, and asyncio misses none of the others."""
    results = [asyncio.wrap_future(job.future) for job in jobs]
    for result in results:
        result.add_done_callback(lambda done: done.cancelled() or done.exception())
    return results


def _cancel(jobs: Sequence[Job[Answer]]) -> None:
    """Have the jobs dropped that are not done."""
    for job in jobs:
        job.future.cancel()


async def _left(request: Request) -> None:
    """Return when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
