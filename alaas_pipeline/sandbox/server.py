"""Runs the sandbox on a socket until it is told to stop."""

import asyncio
import contextlib
import json
import os
import signal
import socket
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
    from uvicorn import Config, Server


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT.

    Once requests are answered, it prints one line ``ready http://HOST:PORT/api/v1`` on standard output and
    writes ``STATE/endpoint.json`` with ``base_url`` and ``pid``, which it removes when it ends.

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


def _announced_server(config: "Config", base_url: str, endpoint: Path) -> "Server":
    from uvicorn import Server

    class AnnouncedServer(Server):
        """Says when it answers, and leaves the process to its caller after a signal."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Announces the server once its sockets listen."""
            await super().startup(sockets)
            if self.started:
                write_durably(endpoint, json.dumps({"base_url": base_url, "pid": os.getpid()}).encode())
                print(f"ready {base_url}", flush=True)

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

    return AnnouncedServer(config)


def _telling_protocol() -> type[asyncio.Protocol]:
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    class TellingProtocol(AutoHTTPProtocol):
        """Leaves its transport where requests find it: HTTP itself has no way to answer with nothing."""

        app_state: dict[str, Any]

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.app_state = self.app_state | {TRANSPORT: transport}

    return TellingProtocol


def _serve(settings: Settings, endpoint: Path) -> None:
    from uvicorn import Config

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
        config = Config(
            build_app(settings),
            http=_telling_protocol(),
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=2,
            timeout_keep_alive=30,
            server_header=False,
        )
        _announced_server(config, base_url, endpoint).run(sockets=[listener])


def _who_runs(endpoint: Path) -> str:
    try:
        running = json.loads(endpoint.read_text())
        return f"A sandbox already runs on {endpoint.parent} ({running['base_url']}, process {running['pid']})."
    except (OSError, ValueError, KeyError):
        return f"A sandbox already runs on {endpoint.parent}."
