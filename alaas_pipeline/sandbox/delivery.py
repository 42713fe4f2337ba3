"""How one request is delivered: as it should be, or as a fault wants it."""

import asyncio
from contextlib import suppress

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alaas_pipeline.sandbox.faults import Faults, Rule
from alaas_pipeline.sandbox.requestlog import Entry, RequestLog

# Where the server leaves a connection's transport in the state of each of its requests.
TRANSPORT = "transport"
MAX_DROPS = 1000


class Delivery:
    """Stands between the connection and whatever handles requests.

    Args:
        faults: the rules; they are asked once for each request.
        requests: where requests are written down.
    """

    def __init__(self, faults: Faults, requests: RequestLog) -> None:
        self._faults = faults
        self._requests = requests

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request.

        Args:
            app: what handles it truly.
            scope: ASGI scope of the request.
            receive: ASGI receive channel.
            send: ASGI send channel.

        Raises:
            RuntimeError: for a `cut` under a server that does not tell its transport.
        """
        entry = self._requests.begin(scope["method"], scope["path"])
        rule = self._faults.choose(scope["method"], scope["path"])
        send = _noting(entry, scope, send)
        if rule is None:
            entry.processed += 1
            await app(scope, receive, send)
            if entry.answered is not None:
                entry.statuses.append(entry.answered)
            return
        entry.fault, entry.do = rule.n, rule.do
        body = await _whole_body(receive)
        if body is not None:
            await _Struck(rule, app, scope, body, entry).serve(receive, send)


class _Struck:
    """A request that has arrived whole and is struck by a rule."""

    def __init__(self, rule: Rule, app: ASGIApp, scope: Scope, body: bytes, entry: Entry) -> None:
        self._rule = rule
        self._app = app
        self._scope = scope
        self._body = body
        self._entry = entry

    async def serve(self, receive: Receive, send: Send) -> None:
        rule, answer = self._rule, Response(status_code=500)
        if rule.do == "hang" and rule.when == "before":
            await asyncio.sleep(rule.seconds)
        if rule.when == "after" or rule.do in ("hang", "trickle", "twice"):
            answer = await self._process()
        if rule.do == "twice":
            again = await self._process()
            answer = again if rule.show == "second" else answer
        if rule.do == "hang" and rule.when == "after":
            await _wait(rule.seconds, receive)
        if rule.do in ("status", "redirect"):
            answer = rule.answer()
        if rule.do == "cut":
            await self._cut(receive)
        elif rule.do == "trickle":
            await _trickle(answer, rule.seconds, receive, send)
        else:
            await answer(self._scope, receive, send)

    async def _process(self) -> Response:
        """The true answer, once what the request wants has been done."""
        self._entry.processed += 1
        messages: list[Message] = [{"type": "http.request", "body": self._body, "more_body": False}]
        answer = Response()
        body = bytearray()

        async def receive() -> Message:
            if not messages:
                # Whoever waits for the client to go waits in vain: what has arrived is processed to its end.
                await asyncio.Event().wait()
            return messages.pop()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status_code = message["status"]
                answer.raw_headers = list(message.get("headers", []))
            else:
                body.extend(message.get("body", b""))

        # A handler leaves its traces in the scope: each processing has one of its own.
        await self._app({**self._scope, "state": dict(self._scope.get("state", {}))}, receive, keep)
        answer.body = bytes(body)
        self._entry.statuses.append(answer.status_code)
        return answer

    async def _cut(self, receive: Receive) -> None:
        transport = _transport(self._scope)
        if transport is None:
            raise RuntimeError("This server does not tell its transport: nothing can be cut here.")
        transport.abort()
        # The server would answer 500 for us if we returned before it knows that the connection is gone.
        await _wait(None, receive)


def _noting(entry: Entry, scope: Scope, send: Send) -> Send:
    transport = _transport(scope)

    async def noting(message: Message) -> None:
        here = transport is None or not transport.is_closing()
        await send(message)
        if message["type"] == "http.response.start":
            entry.answered = message["status"]
        elif not message.get("more_body", False):
            entry.delivered = here

    return noting


def _transport(scope: Scope) -> asyncio.Transport | None:
    return scope.get("state", {}).get(TRANSPORT)


async def _whole_body(receive: Receive) -> bytes | None:
    """The body of a request, or None if its sender has gone before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def _wait(seconds: float | None, receive: Receive) -> None:
    """Waits for a time, at most until the client has gone."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass


async def _trickle(answer: Response, seconds: float, receive: Receive, send: Send) -> None:
    body = bytes(answer.body)
    size = max(1, -(-len(body) // MAX_DROPS))
    drops = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    for drop in drops:
        await _wait(seconds / len(drops), receive)
        await send({"type": "http.response.body", "body": drop, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
