"""The peers' virtual environments in the cache folder, and the processes that answer there."""

import json
import logging
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

LIMIT_S = 300.0
# One environment each, so that no peer holds back another's versions.
PACKAGES = {
    "activeml": ["scikit-activeml==1.0.1"],
    "mundig": ["lightly-mundig==0.1.16", "numpy==2.4.6"],
    "apricot": ["apricot-select==0.6.1", "scikit-learn==1.9.1"],
    "faiss": ["faiss-cpu==1.15.1"],
}


class PeerFailed(Exception):
    """A peer gave no answer; the message says why."""


@dataclass
class Peers:
    """All peers that were installed, started when they are first asked; they end with this process.

    Attributes:
        cache: Where the environments stand, or will.
        broken: Environments that cannot be had, and why: what `install` returned.
        limit_s: Seconds after which a question is given up.
    """

    cache: Path
    broken: dict[str, str]
    limit_s: float = LIMIT_S
    _running: dict[str, "_Worker"] = field(default_factory=dict)

    def ask(self, environment: str, question: dict[str, Any]) -> tuple[list[int], float]:
        """Has one selection made.

        Returns:
            Rows in picking order, and the seconds that it took.

        Raises:
            PeerFailed: The peer was not installed, failed, died, took too long or gave impossible picks.
        """
        if environment in self.broken:
            raise PeerFailed(self.broken[environment])
        worker = self._running.get(environment)
        if worker is None or worker.dead:
            worker = self._running[environment] = _Worker(_python(self.cache, environment), self.limit_s)
        told = worker.ask(question)
        picks = told["picks"]
        if len(set(picks)) != question["k"] or len(picks) != question["k"] or set(picks) & set(question["selected"]):
            raise PeerFailed(f"{len(set(picks) - set(question['selected']))} new picks instead of {question['k']}")
        return picks, told["seconds"]


class _Worker:
    def __init__(self, python: Path, limit_s: float) -> None:
        self.limit_s = limit_s
        self._process = subprocess.Popen(
            [str(python), str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._last: deque[str] = deque(maxlen=1)
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def dead(self) -> bool:
        return self._process.poll() is not None

    def _listen(self) -> None:
        assert self._process.stderr is not None
        self._last.extend(line.strip() for line in self._process.stderr if line.strip())

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(self.limit_s, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            alive = timer.is_alive()
            timer.cancel()
        if not line:
            self._process.wait()
            why = f"died: {' '.join(self._last)}" if alive else f"no answer within {self.limit_s:.0f} s"
            raise PeerFailed(why)
        told = json.loads(line)
        if "error" in told:
            raise PeerFailed(told["error"].splitlines()[0][:200])
        return told


def install(cache: Path) -> dict[str, str]:
    """Makes the environments that are not there yet; returns those that cannot be had, and why."""
    broken = {}
    for environment, packages in PACKAGES.items():
        ready = cache / "peers" / environment / " ".join(packages)
        if ready.exists():
            continue
        log.info("Installing %s in a virtual environment of its own.", packages[0])
        python = _python(cache, environment)
        for command in (
            [sys.executable, "-m", "venv", str(python.parents[1])],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = (done.stderr or done.stdout).strip().splitlines()
                broken[environment] = f"{packages[0]} was not installed: {last[-1] if last else 'no reason given'}"
                break
        else:
            ready.touch()
    return broken


def _python(cache: Path, environment: str) -> Path:
    return cache / "peers" / environment / "bin" / "python"
