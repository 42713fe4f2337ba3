"""What happens to every request before a handler sees it: faults, slashes, keys and rate limits."""

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alaas_pipeline.sandbox.auth import HEADER, identify
from alaas_pipeline.sandbox.box import Box
from alaas_pipeline.sandbox.delivery import Delivery
from alaas_pipeline.sandbox.errors import ApiError, throttled
from alaas_pipeline.sandbox.limits import Limiter

API = "/api/v1"
STORAGE = "/_storage"
ADMIN = "/_sandbox"
LOOPBACK = ("127.0.0.1", "::1")


class Gate:
    """ASGI middleware around the whole application.

    Args:
        app: the application.
        box: the sandbox.
    """

    def __init__(self, app: ASGIApp, box: Box) -> None:
        self._app = app
        self._box = box
        self._limiter = Limiter(box.settings.burst_per_second)
        self._delivery = Delivery(box.faults, box.requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == API or scope["path"].startswith(API + "/"):
            await self._delivery.serve(self._api, scope, receive, send)
        elif scope["path"].startswith(STORAGE + "/"):
            await self._delivery.serve(self._app, scope, receive, send)
        elif scope["path"].startswith(ADMIN) and not self._may_administer(scope):
            body = {"detail": "This address may not use /_sandbox/: start the server with --admin-from-anywhere."}
            await JSONResponse(body, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _api(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings = self._box.settings
        key = Headers(scope=scope).get(HEADER)
        refusal: ApiError | None = None
        try:
            actor = await run_in_threadpool(identify, self._box.state, key)
            scope.setdefault("state", {})["actor"] = actor
            headers, wait = self._limiter.take(actor.uid, settings.requests_per_minute)
        except ApiError as error:
            refusal = error
            client = scope.get("client") or ("unknown", 0)
            headers, wait = self._limiter.take(f"anonymous {client[0]}", settings.anonymous_per_minute)

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        if wait is not None:
            refusal = throttled(wait, settings.retry_after)
        if not scope["path"].endswith("/") and wait is None:
            answer = _slashless(scope)
        elif refusal is not None:
            answer = JSONResponse(refusal.body, refusal.status_code, refusal.headers)
        else:
            answer = self._app
        await answer(scope, receive, send_with_limits)

    def _may_administer(self, scope: Scope) -> bool:
        client = scope.get("client")
        return self._box.settings.admin_from_anywhere or client is None or client[0] in LOOPBACK


def _slashless(scope: Scope) -> ASGIApp:
    if scope["method"] not in ("GET", "HEAD"):
        return JSONResponse({"detail": "Not found. The path lacks its trailing slash."}, 404)
    path = scope.get("raw_path", scope["path"].encode()).decode("ascii").split("?")[0] + "/"
    query = scope["query_string"].decode("ascii")
    return RedirectResponse(f"{path}?{query}" if query else path, 301)
