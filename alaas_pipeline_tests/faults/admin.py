"""What a test does to its sandbox by hand: waits until it listens, and sends JSON to the addresses that are for tests."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

START_S, ANSWER_S = 120.0, 60.0


def admin_url(state: Path, log: Path, alive: Callable[[], bool] = lambda: True) -> str:
    """Wait until a sandbox listens; return what its addresses for tests begin with."""
    endpoint, give_up = state / "endpoint.json", time.monotonic() + START_S
    while not endpoint.exists():
        assert alive(), log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.002)
    return json.loads(endpoint.read_text())["base_url"].removesuffix("/api/v1") + "/_sandbox/"


def ask(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    """Send a request, GET or with a body POST unless `method` says another; return the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urlopen(request, timeout=ANSWER_S) as answer:
        return json.loads(answer.read() or b"null")
