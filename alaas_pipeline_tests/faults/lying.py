"""Plays a schedule: the pipeline runs against a platform that lies until it has landed or stops, then a person does what it says."""

import contextlib
import json
import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import yaml

from alaas_pipeline_tests import forking
from alaas_pipeline_tests.end_to_end.world import paint, pool_entry
from alaas_pipeline_tests.faults.admin import admin_url, ask
from alaas_pipeline_tests.faults.lying_schedule import Crash, Schedule

STORM, HELPS = 6, 6
# A machine that is busy with other things is slow, not stuck.
LONGEST_S = 200.0
CLASSES = {"cats": 4, "dogs": 4}
ENDED = ("refused", "canceled", "archived", "exhausted")
MENDING, GIVING_UP = ("reconcile", "retry", "approve", "resume"), ("refuse", "cancel", "archive")
WORDS = re.compile(
    r"alaas-pipeline ((?:retry|refuse|cancel|archive|approve|resume|reconcile|status)(?: --?[a-z]+| [0-9a-f]{16}| [a-z_]+\.r\d{4}| pets)*)"
)


@dataclass
class Played:
    """What became of a schedule: all that a checker may look at."""

    schedule: Schedule
    effects: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    tasks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    wire: list[dict[str, Any]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    fired: list[dict[str, Any]] = field(default_factory=list)
    photos: dict[str, bytes] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    crashes: int = 0
    cpu: float = 0.0

    @property
    def status(self) -> dict[str, Any]:
        """The last status document."""
        return next(one["status"] for one in reversed(self.told) if "status" in one)

    @property
    def ending(self) -> str:
        """The states of the rounds at the end."""
        return ", ".join(one["state"] for pool in self.status["pools"] for one in pool["rounds"])

    def story(self) -> str:
        """What was told by run after run."""
        lines = []
        for one in self.told:
            rounds = [one for pool in one.get("status", {}).get("pools", []) for one in pool["rounds"]]
            lines.append(
                f"{one['run']}: {one['ended']} {one.get('why') or one.get('output') or one.get('traceback') or ''}".strip()
            )
            lines += [f"    {entry['round']} {entry['state']}: {entry['note']}" for entry in rounds]
        fired = [
            f"{rule['method']} {rule['path']} {rule['do']} fired {rule['fired']}"
            for rule in self.fired
            if rule["fired"]
        ]
        return "\n".join([*lines, *fired])


class Stage:
    """One installation under `root` with a sandbox of its own."""

    def __init__(self, root: Path, schedule: Schedule, prepared: Path) -> None:
        self.root = root
        self.schedule = schedule
        self.played = Played(schedule)
        self.admin_url = ""
        shutil.copytree(prepared, root, dirs_exist_ok=True)
        files = (path for path in (root / "photos").rglob("*.png"))
        self.played.photos = {str(path.relative_to(root / "photos")): path.read_bytes() for path in files}
        _declare(root, schedule)
        (root / "clock").write_bytes(bytes(8))
        (root / "hands").mkdir()
        self._runs = 0

    @contextlib.contextmanager
    def sandbox(self) -> Iterator[None]:
        state = self.root / "home" / "sandbox"
        state.mkdir(parents=True)
        log = self.root / "sandbox.log"
        serving = start("serve", state, log, dict(self.schedule.sandbox))
        try:
            self.admin_url = admin_url(state, log, serving.is_alive)
            yield
        finally:
            self.played.cpu += sum(map(int, Path(f"/proc/{serving.pid}/stat").read_text().split()[13:15])) / 100
            serving.kill()
            serving.join()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return ask(self.admin_url + path, body, method)

    def run(
        self, crash: Crash | None = None, twins: bool = False, command: list[str] | None = None
    ) -> list[dict[str, Any]]:
        """Run one pipeline, or two at once, or one command; return what each told, nothing if it was killed."""
        self._runs += 1
        names = [f"{self._runs}{letter}" for letter in ("ab" if twins else "a")]
        crashes = dict(zip(names, (crash, None), strict=False))
        running = {
            name: start("run", self.root, self.admin_url, self.schedule, name, crashes[name], command) for name in names
        }
        told = []
        for name, process in running.items():
            process.join(LONGEST_S)
            if process.is_alive():
                process.kill()
                process.join()
                found: dict[str, Any] = {"ended": "hung"}
            else:
                path = self.root / f"told-{name}.json"
                found = json.loads(path.read_text()) if path.exists() else {"ended": "crashed"}
            if found["ended"] == "crashed" and crashes[name] is None:
                found = {"ended": "died", "traceback": (self.root / f"run-{name}.log").read_text()[-3000:]}
            self.played.crashes += found["ended"] == "crashed"
            told.append({"run": name, "command": command, **found})
        self.played.told += told
        return told

    def collect(self) -> Played:
        """Everything that is left to see."""
        played = self.played
        played.effects = self.ask("GET", "effects")["effects"]
        played.requests = self.ask("GET", "requests")["requests"]
        for uid in {effect["uid"] for effect in played.effects if effect["kind"] in ("approve", "by_hand:approve")}:
            with contextlib.suppress(HTTPError):
                played.tasks[uid] = self.ask("GET", f"projects/{uid}/tasks")["tasks"]
        for path in sorted(self.root.glob("wire-*.jsonl")):
            played.wire += [json.loads(line) for line in path.read_text().splitlines()]
        for path in self.root.rglob("*"):
            if path.is_file() and self.root / "home" / "sandbox" not in path.parents:
                content = path.read_bytes()
                played.leaks += [path.name for word in (b"avk_sandbox", b"X-Amz-Signature") if word in content]
        return played

    def clear(self) -> None:
        """End all faults; what they did is kept."""
        self.played.fired += self.ask("GET", "faults")["faults"]
        self.ask("DELETE", "faults")


def start(what: str, *args: Any) -> ForkServerProcess:
    """Fork a process that does one of the things that the driven side can."""
    return forking.start(_child, what, *args)


def prepare(root: Path) -> Path:
    """Make an installation whose pool has vectors: what each schedule begins with."""
    paint(root / "photos", CLASSES)
    _declare(root, Schedule(0))
    process = start("prepare", root)
    process.join()
    assert process.exitcode == 0, (root / "prepare.log").read_text()
    return root


def _declare(root: Path, schedule: Schedule) -> None:
    approval = {"policy": "auto", "max_images_per_round": 6, "max_money_per_round": "1.00"}
    entry = pool_entry(
        "Pets", str(root / "photos"), images_per_round=schedule.images,
        approval=approval if schedule.policy == "auto" else {"policy": "manual"},
    )  # fmt: skip
    (root / "pools.yaml").write_text(yaml.safe_dump({"pools": [entry]}), encoding="utf-8")


def _child(what: str, *args: Any) -> None:
    from alaas_pipeline_tests.faults import lying_driven

    parent = parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()

    getattr(lying_driven, what)(*args)


def play(schedule: Schedule, root: Path, prepared: Path) -> Played:
    """Play a schedule to its end in an empty folder, on an installation that `prepare` has made."""
    stage = Stage(root, schedule, prepared)
    with stage.sandbox():
        for rule in schedule.rules:
            stage.ask("POST", "faults", rule)
        _storm(stage)
        stage.clear()
        _calm(stage)
        return stage.collect()


def _storm(stage: Stage) -> None:
    """Pipeline after pipeline, as long as the schedule has crashes; a yes that is asked for is given."""
    crashes = list(stage.schedule.crashes)
    for _ in range(STORM):
        told = stage.run(crashes.pop(0) if crashes else None, stage.schedule.twins)
        ends = {one["ended"] for one in told}
        if "asked" in ends:
            _accept(stage)
        elif not crashes and "crashed" not in ends:
            return


def _calm(stage: Stage) -> None:
    """A person does what the pipeline says, until it has come to an end."""
    gives_up, before = stage.schedule.gives_up, Counter[str]()
    for _ in range(HELPS):
        (told,) = stage.run()
        newest = _newest(stage.played)
        if told["ended"] in ("landed", "died", "hung") or newest is None or newest["state"] in ENDED:
            return
        if told["ended"] == "asked" or (newest["state"] == "cloned" and newest["decision"] is None):
            _accept(stage)
            continue
        commands = commands_in(newest["note"] or "")
        if newest["state"] == "paused" and not commands:
            commands = [["resume", newest["round"]]]
        asked = str(commands or newest["note"])
        before[asked] += 1
        if before[asked] > 2 and not commands:
            return
        mending, ending = ([one for one in commands if one[0] in words] for words in (MENDING, GIVING_UP))
        # Who tried twice what a message says tries the other thing.
        chosen = ending if ending and (gives_up or not mending or before[asked] > 2) else mending
        for command in chosen:
            stage.run(command=command)


def commands_in(text: str) -> list[list[str]]:
    """The commands that a message names."""
    return [found.split() for found in WORDS.findall(text)]


def _accept(stage: Stage) -> None:
    newest = _newest(stage.played)
    assert newest is not None
    if newest["quote"]:
        stage.run(command=["approve", newest["round"], "--quote", newest["quote"]["digest"], "--by", "a person"])


def _newest(played: Played) -> dict[str, Any] | None:
    rounds = [one for pool in played.status["pools"] for one in pool["rounds"]]
    return rounds[-1] if rounds else None
