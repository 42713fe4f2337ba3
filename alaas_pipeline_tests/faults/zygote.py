"""A process that has imported everything and forks pipelines and sandboxes, so that one starts within milliseconds.

It opens no database and no socket but its own, so what is forked off is as good as fresh.
"""

import gc
import json
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

BIG = 1_000_000


class Clock:
    """Sleeps, so many times faster than it is told."""

    haste = 1.0
    _sleep = staticmethod(time.sleep)

    def sleep(self, seconds: float) -> None:
        self._sleep(seconds / self.haste)


class NoPandas:
    """Says at once that there is none: DuckDB looks for it at each call, through the whole path."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def main(control: socket.socket, root: Path) -> None:
    """Serve orders until the other end is closed; end what is left then."""
    clock = Clock()
    # Modules keep, at import, what they sleep with.
    time.sleep = clock.sleep
    jobs = _prepared(clock, root)
    living: set[int] = set()
    control.send(b"ready")
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 1)
        if not data:
            break
        order = json.loads(data)
        if order["do"] == "reap":
            living.discard(order["pid"])
            answer = os.waitpid(order["pid"], 0)[1]
        else:
            answer = os.fork()
            if answer == 0:
                control.close()
                _child(jobs[order["do"]], order, descriptors)
            living.add(answer)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(json.dumps(answer).encode())
    for pid in living:
        os.kill(pid, signal.SIGKILL)


def _prepared(clock: Clock, root: Path) -> dict[str, Callable[[dict[str, Any], list[int]], None]]:
    """Import what a pipeline and a sandbox would import on the way, and return how each is run."""
    sys.meta_path.insert(0, NoPandas())
    import faiss  # noqa: F401
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401
    import polars as pl  # noqa: F401
    import pyarrow as pa  # noqa: F401
    from PIL import Image

    from alaas_pipeline.sandbox import server, settings
    from alaas_pipeline_tests.end_to_end.world import LABELS
    from alaas_pipeline_tests.faults import pipeline, plants

    Image.init()
    driven = pipeline.Pipeline(root)

    def run_pipeline(order: dict[str, Any], descriptors: list[int]) -> None:
        clock.haste = order["haste"]
        if order["plant"]:
            plants.PLANTS[order["plant"]]()
        pipeline.run(driven, socket.socket(fileno=descriptors[0]), order["rounds"])

    def run_sandbox(order: dict[str, Any], _: list[int]) -> None:
        server.run(
            settings.Settings(
                state=Path(order["state"]), truth="subfolder", labels=LABELS, pace=0, requests_per_minute=BIG, burst_per_second=BIG,
                anonymous_per_minute=BIG,
            )
        )  # fmt: skip

    # Otherwise each child would walk through all that was imported, again and again.
    gc.collect()
    gc.freeze()
    return {"pipeline": run_pipeline, "sandbox": run_sandbox}


def _child(job: Callable[[dict[str, Any], list[int]], None], order: dict[str, Any], descriptors: list[int]) -> None:
    try:
        handle = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
        job(order, descriptors)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
