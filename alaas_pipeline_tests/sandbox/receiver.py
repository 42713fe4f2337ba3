"""A listener on loopback that webhooks are sent to."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_S = 15.0


@dataclass
class Received:
    """One request that came in."""

    event: str
    delivery: str
    signature: str
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """A listener on loopback, which answers with statuses in turn, then with 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    held: threading.Event | None = None

    def wait_for(self, count: int) -> list[Received]:
        until(lambda: len(self.received) >= count)
        return self.received

    def events(self) -> list[str]:
        return [one.event for one in self.received]


def until(there: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not there():
        assert time.monotonic() < give_up, "It did not happen in time."
        time.sleep(0.01)


@contextlib.contextmanager
def listening() -> Iterator[Receiver]:
    """Listens on a free port until the block ends."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if made.held is not None:
                made.held.wait(PATIENCE_S)
            named = [self.headers[f"X-Avala-Webhook-{name}"] for name in ("Event", "Delivery", "Signature")]
            made.received.append(Received(named[0], named[1], named[2], body))
            self.send_response(made.statuses.pop(0) if made.statuses else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
