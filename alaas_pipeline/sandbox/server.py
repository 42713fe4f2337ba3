"""Runs the sandbox on a socket until it is told to stop."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from alaas_pipeline.sandbox.app import build_app
from alaas_pipeline.sandbox.delivery import TRANSPORT
from alaas_pipeline.sandbox.errors import SandboxError
from alaas_pipeline.sandbox.gate import API
from alaas_pipeline.sandbox.settings import Settings
from alaas_pipeline.sandbox.state import write_durably

if TYPE_CHECKING:
    from fastapi import FastAPI
    from uvicorn import Config, Server


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT.

    Once requests are answered, it prints one line ``ready http://HOST:PORT/api/v1`` on standard output, for programs,
    and on standard error, for people, where its page is. It writes ``STATE/endpoint.json`` with ``base_url`` and
    ``pid``, which it removes when it ends.

    With `Settings.official_uploads` it also tells, at both of these places, the environment that leads the official
    client's uploads here (``environment``); see `alaas_pipeline.sandbox.proxy`.

    Args:
        settings: how the sandbox behaves.

    Raises:
        SandboxError: if the state is in use, the port is taken, or the truth cannot be read.
    """
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SandboxError(f"The state folder {settings.state} cannot be made: {error.strerror}.") from None
    endpoint = settings.state / "endpoint.json"
    # A lock of the operating system: it goes with the process, however that ends.
    lock = FileLock(settings.state / "sandbox.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SandboxError(f"{_who_runs(endpoint)} Stop it, or choose another state folder.") from None
    try:
        # What a killed server left behind points nowhere.
        endpoint.unlink(missing_ok=True)
        _serve(settings, endpoint)
    finally:
        endpoint.unlink(missing_ok=True)
        lock.release()


def _announced_server(app: "FastAPI", settings: Settings, base_url: str, endpoint: Path) -> "Server":
    from uvicorn import Server

    from alaas_pipeline.sandbox.proxy.ways import StorageOnly, open_ways

    beside = _config(StorageOnly(app))

    class AnnouncedServer(Server):
        """Says when it answers, and leaves the process to its caller after a signal."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Announces the server once its sockets listen."""
            await super().startup(sockets)
            if not self.started:
                return
            told: dict[str, Any] = {"base_url": base_url, "pid": os.getpid()}
            lines = [f"page {base_url.removesuffix(API)}/_sandbox/"]
            if settings.official_uploads is not None:
                beside.load()
                ways = await open_ways(Path(settings.official_uploads), self._storage_protocol)
                self.servers += ways.servers
                told["environment"] = ways.environment
                lines += [f"export {name}={shlex.quote(value)}" for name, value in ways.environment.items()]
            write_durably(endpoint, json.dumps(told).encode())
            print(f"ready {base_url}", flush=True)
            print("\n".join(lines), file=sys.stderr, flush=True)

        def _storage_protocol(self) -> asyncio.Protocol:
            """Answers one connection of the listener behind TLS; it is closed together with all others."""
            made: Any = beside.http_protocol_class
            return made(config=beside, server_state=self.server_state, app_state=self.lifespan.state)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Ends the server at a signal; unlike its parent, does not raise the signal again afterwards."""
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            numbers = (signal.SIGINT, signal.SIGTERM)
            before = {number: signal.signal(number, self.handle_exit) for number in numbers}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    return AnnouncedServer(_config(app))


def _telling_protocol() -> type[asyncio.Protocol]:
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    class TellingProtocol(AutoHTTPProtocol):
        """Leaves its transport where requests find it: HTTP itself has no way to answer with nothing."""

        app_state: dict[str, Any]

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.app_state = self.app_state | {TRANSPORT: transport}

    return TellingProtocol


def _config(app: Any) -> "Config":
    from uvicorn import Config

    return Config(
        app,
        http=_telling_protocol(),
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=30,
        server_header=False,
    )


def _serve(settings: Settings, endpoint: Path) -> None:
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    with contextlib.closing(listener):
        if os.name != "nt":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except (OSError, OverflowError) as error:
            raise SandboxError(
                f"Cannot listen on {settings.host} port {settings.port}: {error}. Choose another port, or 0 for a "
                "free one."
            ) from None
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        base_url = f"http://{host}:{listener.getsockname()[1]}{API}"
        _announced_server(build_app(settings), settings, base_url, endpoint).run(sockets=[listener])


def _who_runs(endpoint: Path) -> str:
    try:
        running = json.loads(endpoint.read_text())
        return f"A sandbox already runs on {endpoint.parent} ({running['base_url']}, process {running['pid']})."
    except (OSError, ValueError, KeyError):
        return f"A sandbox already runs on {endpoint.parent}."
