"""The supported way to run: web server, daemon, code location, runs, CI and people, each a process of its own, on one ALAAS_HOME."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.home import prepare_dagster_home, shipped_file
from alaas_pipeline.ledger import Ledger
from alaas_pipeline.ledger.status import status
from alaas_pipeline_tests.end_to_end.typed import environment, shell
from alaas_pipeline_tests.end_to_end.world import World, paint, pool_entry

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

PATIENCE_S = 480
NEVER = (
    "Could not set lock",
    "Conflicting lock",
    "IO Error",
    "TransactionContext",
    "database is locked",
    "was in use for",
)


@contextmanager
def process(name: str, *command: str, cwd: Path, **variables: str) -> Iterator[Path]:
    """A process that writes to a log file, ended with all that it started."""
    log = cwd / f"{name}.log"
    with log.open("wb") as stream:
        started = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=cwd, env=environment(**variables), stdout=stream, stderr=stream, start_new_session=True
        )  # fmt: skip
    try:
        yield log
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, 15)
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, 9)
            started.wait(20)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def landed(world: World) -> dict[str, int]:
    if not world.home.ledger.exists():
        return {}
    pools: list[dict[str, Any]] = status(Ledger(world.home.ledger))["pools"]
    return {pool["pool"]: sum(one["state"] == "landed" for one in pool["rounds"]) for pool in pools}


def wait_for_page(port: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with suppress(urllib.error.URLError, ConnectionError):
            if urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=2).status == 200:
                return
        time.sleep(0.5)
    raise AssertionError("the web server did not answer")


def test_everything_at_once_on_one_home(world: World, tmp_path: Path) -> None:
    names = ("cats", "dogs")
    for number, name in enumerate(names):
        paint(tmp_path / name, {"tabby": 6, "black": 6}, seed=number)
    world.declare(*(pool_entry(name.capitalize(), str(tmp_path / name), images_per_round=3) for name in names))
    world.start_sandbox()
    os.environ.pop("DAGSTER_HOME", None)
    home = str(prepare_dagster_home(world.home))
    told: dict[str, Any] = {
        "ALAAS_SENSOR_INTERVAL_S": "2",
        "DAGSTER_HOME": home,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    workspace, port = str(shipped_file("workspace.yaml")), free_port()
    with (
        process("web", "dagster_webserver", "-w", workspace, "-p", str(port), cwd=tmp_path, **told) as web,
        process("daemon", "dagster._daemon", "run", "-w", workspace, cwd=tmp_path, **told) as daemon,
    ):
        wait_for_page(port)
        shell(f"dagster sensor start -w {workspace} --start-all", cwd=tmp_path, **told)
        said, deadline = [], time.monotonic() + PATIENCE_S
        while min((landed(world).get(name, 0) for name in names), default=0) < 1:
            assert time.monotonic() < deadline, (landed(world), daemon.read_text()[-3000:])
            # People and CI, at the same time.
            said.append(shell("alaas-pipeline status", cwd=tmp_path, **told).stdout)
            again = "dagster asset materialize -m alaas_pipeline.definitions --select cats/images"
            said.append(shell(again, cwd=tmp_path, **told).stderr)
            said.append(shell("alaas-pipeline reconcile || test $? = 2", cwd=tmp_path, **told).stdout)
        logs = web.read_text() + daemon.read_text()
    for never in NEVER:
        assert never not in "".join(said) + logs, never
    for kind in ("finalise", "clone", "approve"):
        made = [effect["name"] for effect in world.sandbox.effects(kind)]
        assert len(made) == len(set(made)), (kind, made)
