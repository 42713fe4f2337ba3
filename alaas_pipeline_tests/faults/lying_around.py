"""What surrounds a driven pipeline: a fast clock, a witness of all that it sends, and a person with hands on the platform."""

import json
import mmap
import os
import random
import re
import signal
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import httpx

from alaas_pipeline.avala import heed, look, observe, retry
from alaas_pipeline.avala.effects import acting
from alaas_pipeline.ledger import Ledger, database
from alaas_pipeline.ledger.commit_log import Commit
from alaas_pipeline_tests.faults.admin import ask
from alaas_pipeline_tests.faults.lying_schedule import ROUTES, Crash, Hand, Schedule

# So many seconds of the pipeline's clock are one on the wall; a wait is never longer there than a tenth of a second.
HASTE, LONGEST_WAIT_S = 100.0, 0.1

_sleep, _time, _monotonic = time.sleep, time.time, time.monotonic


class PlannedCrash(Exception):
    """A crash that the schedule wants."""


class Clock:
    """A clock that all processes of a schedule share, and that sleeping moves on."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._ahead = mmap.mmap(file.fileno(), 8)

    @property
    def ahead(self) -> float:
        return struct.unpack("d", self._ahead[:8])[0]

    def sleep(self, seconds: float) -> None:
        real = min(seconds / HASTE, LONGEST_WAIT_S)
        _sleep(real)
        self._ahead[:8] = struct.pack("d", self.ahead + seconds - real)

    def install(self) -> None:
        """Let everything that asks for the time ask this clock."""
        clock = self

        class Datetime(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + timedelta(seconds=clock.ahead)

        def monotonic() -> float:
            return _monotonic() + clock.ahead

        for module in (heed, observe, acting, database):
            module.datetime = Datetime  # type: ignore[attr-defined]
        time.sleep = self.sleep
        look.time = SimpleNamespace(sleep=self.sleep, monotonic=monotonic)  # type: ignore[attr-defined]
        retry.Timing.__init__.__defaults__ = (
            lambda: _time() + clock.ahead,
            monotonic,
            self.sleep,
            random.Random(1).random,
        )


class Witness:
    """Writes down what one pipeline sends, and crashes it when its time has come."""

    def __init__(self, root: Path, name: str, schedule: Schedule, crash: Crash | None, admin: "Admin") -> None:
        self._file = os.open(root / f"wire-{name}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._name = name
        self._schedule = schedule
        self._crash = crash
        self._admin = admin
        self._lock = threading.Lock()
        self._events: Counter[str] = Counter()
        self._before: Callable[[], Any] = dict
        self.turn = 0

    def note(self, **what: Any) -> None:
        os.write(self._file, json.dumps({"run": self._name, "turn": self.turn, "at": _time(), **what}).encode() + b"\n")

    def install(self, snapshot: Callable[[], Any]) -> None:
        handle, commit_truly, witness = httpx.HTTPTransport.handle_request, Ledger._commit, self

        def handled(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            path, sent = request.url.path, {"method": request.method, "path": request.url.path}
            changing = request.method not in ("GET", "HEAD")
            if changing:
                witness._happens("raise")
                witness._admin.before(request.method, path, witness._schedule)
                if path.endswith("/approve/"):
                    witness.note(say="about to approve", path=path, status=snapshot())
                witness.note(say="sends", **sent)
            try:
                response = handle(self, request)
                # The whole answer, so that what is written down is what the pipeline will see.
                response.read()
            except httpx.HTTPError as error:
                witness.note(say="request", **sent, error=type(error).__name__)
                raise
            witness.note(say="request", **sent, status=response.status_code)
            if changing:
                witness._happens("raise")
            return response

        def committed(self: Ledger, connection: Any, commit: Commit | None) -> None:
            if commit is None:
                commit_truly(self, connection, commit)
                return
            witness._happens("kill")
            commit_truly(self, connection, commit)
            witness._happens("kill")

        httpx.HTTPTransport.handle_request = handled
        Ledger._commit = committed

    def _happens(self, what: str) -> None:
        with self._lock:
            self._events["kill"] += 1
            self._events["raise"] += what == "raise"
            crash = self._crash
            due = (
                crash is not None
                and (what == "raise" or crash.how == "kill")
                and self._events[crash.how] == crash.event
            )
        if due and crash is not None:
            self._crash = None
            self.note(say="crash", how=crash.how)
            if crash.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise PlannedCrash("planned")


class Admin:
    """A person's hands on the platform. What was done is kept, so that each thing is done once."""

    def __init__(self, url: str, done: Path) -> None:
        self._url = url
        self._done = done

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return ask(self._url + path, body, method)

    def before(self, method: str, path: str, schedule: Schedule) -> None:
        """Do what is to be done just before this request of ours."""
        for route in ("clone", "approve", "ask for export"):
            if method == ROUTES[route][0] and re.fullmatch(ROUTES[route][1], path):
                self.at(f"POST {route}", schedule)

    def at(self, when: str, schedule: Schedule, number: int | None = None) -> None:
        """Do what is to be done now."""
        for index, hand in enumerate(schedule.hands):
            mark = self._done / str(index)
            if hand.when == when and number in (None, hand.round) and not mark.exists() and self._do(hand):
                mark.touch()

    def _do(self, hand: Hand) -> bool:
        effects = self.ask("GET", "effects")["effects"]
        made = {
            kind: [effect for effect in effects if effect["kind"] == kind] for kind in ("finalise", "clone", "export")
        }
        try:
            if hand.do.startswith("foreign_project"):
                name = made["finalise"][-1]["name"]
                self.ask(
                    "POST", "projects", {"name": name, **({"owner": "somebody"} if hand.do.endswith("another") else {})}
                )
            elif hand.do == "delete_dataset":
                self.ask("DELETE", f"datasets/{made['finalise'][-1]['uid']}")
            elif hand.do == "delete_project":
                self.ask("DELETE", f"projects/{made['clone'][-1]['uid']}")
            elif hand.do == "delete_export":
                self.ask("DELETE", f"exports/{made['export'][-1]['uid']}")
            elif hand.do == "fail_export":
                self.ask("POST", f"exports/{made['export'][-1]['uid']}/fail")
            else:
                project = f"projects/{made['clone'][-1]['uid']}/status"
                words = {"approve": "active", "pause": "paused", "cancel": "canceled", "archive": "archived"}
                self.ask("POST", project, {"status": words[hand.do.split()[0]]})
                if hand.do == "pause and resume":
                    self.ask("POST", project, {"status": "active"})
        except (HTTPError, IndexError):
            return False
        return True
