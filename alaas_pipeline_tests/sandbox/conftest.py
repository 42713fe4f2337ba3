import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.sandbox import Settings
from alaas_pipeline.sandbox.app import build_app
from alaas_pipeline_tests.sandbox.api import Api

Serve = Callable[..., Api]
UNLIMITED: dict[str, Any] = {"requests_per_minute": 10**6, "burst_per_second": 10**6, "anonymous_per_minute": 10**6}


@contextlib.contextmanager
def serving(state: Path, **settings: Any) -> Iterator[Api]:
    """A real server on a free loopback port, in a thread of this process."""
    import uvicorn

    app = build_app(Settings(state=state, **(UNLIMITED | settings)))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.002)
        with Api(f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1") as api:
            yield api
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers with settings of the test's own; each has a fresh state unless ``state`` is given."""
    with contextlib.ExitStack() as stack:

        def start(state: Path | None = None, **settings: Any) -> Api:
            return stack.enter_context(serving(state or tmp_path / f"state{time.monotonic_ns()}", **settings))

        yield start


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for the tests of a module, whose annotators know sub-folders and work in no time."""
    with serving(tmp_path_factory.mktemp("sandbox"), truth="subfolder", pace=0, creating_reads=1) as running:
        yield running
