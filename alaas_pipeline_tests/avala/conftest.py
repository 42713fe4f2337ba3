"""A client against scripted answers, with a clock that no test has to wait for."""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import respx
from pydantic import SecretStr

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.retry import Timing
from alaas_pipeline.avala.writes import AvalaWrites
from alaas_pipeline_tests.bench import bench, empty_ledger, server

__all__ = ["bench", "empty_ledger", "server"]

BASE = "https://api.example.test/api/v1"
KEY = "avk_canary_Zx81QpLm40"


@dataclass
class FakeTime:
    """Time that passes only by sleeping."""

    now: float = 1_800_000_000.0
    sleeps: list[float] = field(default_factory=list)
    draw: float = 0.5

    @property
    def timing(self) -> Timing:
        return Timing(wall=self._read, monotonic=self._read, sleep=self._sleep, random=lambda: self.draw)

    def _read(self) -> float:
        return self.now

    def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture(params=["files", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where limits are kept: in files that processes share, or in memory."""
    return tmp_path if request.param == "files" else None


@pytest.fixture
def api() -> Iterator[respx.MockRouter]:
    """Routes below the API's base URL; a request to any other place fails the test."""
    with respx.mock(base_url=BASE, assert_all_called=False) as router:
        yield router


@pytest.fixture
def client(api: respx.MockRouter, clock: FakeTime) -> Iterator[AvalaClient]:
    with AvalaClient(BASE, SecretStr(KEY), timing=clock.timing) as client:
        yield client


@pytest.fixture
def writes(client: AvalaClient) -> AvalaWrites:
    return AvalaWrites(client)


@dataclass
class Loopback:
    """A real HTTP server on loopback; ``answers`` maps a path to a function that writes the answer."""

    url: str
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]]
    seen: list[tuple[str, dict[str, str]]]
    clients: list[AvalaClient] = field(default_factory=list)

    def client(self, clock: FakeTime, path: str = "/api/v1") -> AvalaClient:
        return AvalaClient(
            f"{self.url}{path}",
            SecretStr(KEY),
            allow_insecure_loopback=True,
            timeout_s=5,
            timing=clock.timing,
        )


@pytest.fixture
def loopback() -> Iterator[Callable[[], Loopback]]:
    """Makes real servers on free loopback ports."""
    servers: list[ThreadingHTTPServer] = []
    started: list[Loopback] = []

    def start() -> Loopback:
        answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        seen: list[tuple[str, dict[str, str]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                answer = answers.get(self.path.partition("?")[0])
                if answer is None:
                    self.send_error(404)
                else:
                    answer(self)

            do_POST = do_PUT = do_GET

            def log_message(self, format: str, *args: object) -> None:
                logging.getLogger(__name__).debug(format, *args)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        started.append(Loopback(f"http://127.0.0.1:{server.server_address[1]}", answers, seen))
        return started[-1]

    yield start
    for loop in started:
        for client in loop.clients:
            client.close()
    for one in servers:
        one.shutdown()
        one.server_close()
