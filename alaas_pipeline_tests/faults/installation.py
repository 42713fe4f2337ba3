"""An installation that runs pipelines and a sandbox in processes of their own, to be killed from here."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import yaml

from alaas_pipeline_tests.end_to_end.world import paint, pool_entry
from alaas_pipeline_tests.faults.admin import admin_url, ask
from alaas_pipeline_tests.faults.points import Message

ROUNDS = 3
IMAGES_PER_ROUND = 2
CLASSES = {"cats": 6, "dogs": 6}
# The era that begins with nothing.
NOTHING = 0
ANSWER_S = 120.0
ROOT = Path(__file__).resolve().parent.parent.parent

# Told of each message of a pipeline; says whether to kill it there.
Watch = Callable[[Message], bool]


class Died(Exception):
    """A pipeline ended by itself where it should not; the text is what it told."""


class Zygote:
    """The process that forks pipelines and sandboxes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(120)
        with theirs, (root / "zygote.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "alaas_pipeline_tests.faults.zygote", str(theirs.fileno()), str(root)],
                pass_fds=[theirs.fileno()], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        if self._control.recv(16) != b"ready":
            raise Died((root / "zygote.log").read_text())

    def fork(self, order: dict[str, Any], descriptors: list[int]) -> int:
        socket.send_fds(self._control, [json.dumps(order).encode()], descriptors)
        return json.loads(self._control.recv(64))

    def end(self, pid: int) -> None:
        """SIGKILL, and wait until nothing is left of it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._control.send(json.dumps({"do": "reap", "pid": pid}).encode())
        self._control.recv(64)

    def close(self) -> None:
        self._control.close()
        self._process.wait(timeout=20)


class Installation:
    """One installation under `root`, with its sandbox; snapshots of both are kept beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.admin_url = ""
        paint(root / "photos", CLASSES)
        entry = pool_entry("Pets", str(root / "photos"), images_per_round=IMAGES_PER_ROUND)
        (root / "pools.yaml").write_text(yaml.safe_dump({"pools": [entry]}), encoding="utf-8")
        self.zygote = Zygote(root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.zygote.close()

    def save(self, era: int) -> None:
        """Copy everything; nobody may be at work."""
        shutil.copytree(self.home, self.root / "snapshots" / str(era))

    @contextlib.contextmanager
    def at(self, era: int) -> Iterator[None]:
        """Begin before an era, with a sandbox of its own."""
        shutil.rmtree(self.home, ignore_errors=True)
        if era != NOTHING:
            shutil.copytree(self.root / "snapshots" / str(era), self.home)
        state = self.home / "sandbox"
        state.mkdir(parents=True, exist_ok=True)
        (state / "endpoint.json").unlink(missing_ok=True)
        log = self.root / "sandbox.log"
        pid = self.zygote.fork({"do": "sandbox", "state": str(state), "log": str(log)}, [])
        try:
            self.admin_url = admin_url(state, log)
            yield
        finally:
            self.zygote.end(pid)

    def admin(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return ask(self.admin_url + path, body)

    def run(self, watch: Watch, haste: float, plant: str = "", log: str = "pipeline.log") -> dict[str, Any] | None:
        """Run a pipeline until it is done or `watch` has it killed.

        Returns:
            The status document at its end, or None if it was killed.

        Raises:
            Died: it gave up, or died by itself.
        """
        ours, theirs = socket.socketpair()
        order = {"do": "pipeline", "rounds": ROUNDS, "haste": haste, "plant": plant, "log": str(self.root / log)}
        with theirs:
            pid = self.zygote.fork(order, [theirs.fileno()])
        with ours, ours.makefile("rb") as told:
            ours.settimeout(ANSWER_S)
            try:
                for line in told:
                    message = json.loads(line)
                    if message["say"] == "done":
                        return message["status"]
                    if message["say"] == "stuck":
                        raise Died(message["why"])
                    if watch(message):
                        return None
                    ours.sendall(b"go\n")
            except TimeoutError:
                raise Died(f"nothing was heard of it for {ANSWER_S:g} s: {self._tail(log)}") from None
            finally:
                self.zygote.end(pid)
        raise Died(f"it died: {self._tail(log)}")

    def _tail(self, log: str) -> str:
        return (self.root / log).read_text(errors="replace")[-2000:]
