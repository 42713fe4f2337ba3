"""A local sandbox beside the demo or the UI: the one that runs already, or one of our own that ends with us."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx

from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home

log = logging.getLogger(__name__)


@contextlib.contextmanager
def local_sandbox(home: Home, *options: str) -> Iterator[str]:
    """Yield the base URL of a sandbox on the state under `home`.

    Raises:
        UserError: it did not start.
    """
    running = _running(home)
    if running:
        log.info("using the sandbox that runs at %s", running)
        yield running
        return
    command = [sys.executable, "-m", "alaas_pipeline.cli", "sandbox", "--state", str(home.sandbox), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("ready "):
            raise UserError("The sandbox did not start; what it said stands above. Try: alaas-pipeline sandbox")
        yield line.split()[1]
    finally:
        end(process)


def end(process: subprocess.Popen) -> None:
    """Ask a process of ours to stop, with all that it started, and see to it that they do.

    It must lead a group of its own (`start_new_session`).
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            log.warning("a process did not stop in time and is ended")
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _running(home: Home) -> str | None:
    try:
        base_url = json.loads((home.sandbox / "endpoint.json").read_text(encoding="utf-8"))["base_url"]
        httpx.get(base_url.replace("/api/v1", "/_sandbox/health"), timeout=5).raise_for_status()
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        return None
    return base_url
