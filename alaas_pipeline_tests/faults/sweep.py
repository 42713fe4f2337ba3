"""The controller: watches pipelines at their points, kills them there, and lets the next one go on."""

import re
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

from alaas_pipeline_tests.faults import checker
from alaas_pipeline_tests.faults.installation import ANSWER_S, NOTHING, ROUNDS, Died, Installation
from alaas_pipeline_tests.faults.points import Case, Chain, Counting, Message, Point

# Waiting is done so many times faster. A request that is late must be late on the scale of the one who looks for it.
HASTE, HASTE_WHEN_LATE = 200, 10
LATE_S = 0.8
FOR_EVER_S = 600


class Recorder:
    """Watches the reference run: its points, what it sent, and a snapshot before each era."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._counting = Counting()
        self._saved: set[int] = set()
        self.points: list[Point] = []
        self.sent: list[tuple[str, str]] = []

    def __call__(self, message: Message) -> bool:
        assert message["say"] != "failed", message
        if message["say"] == "turn":
            self._counting.turn(message["era"])
            if self._counting.era not in self._saved:
                self._saved.add(self._counting.era)
                self._installation.save(self._counting.era)
            return False
        point = self._counting.point(message)
        if message["place"] in ("unsent", "before"):
            self.points.append(point)
        if message["place"] == "sent":
            self.sent.append((message["method"], message["path"]))
        return False


@dataclass
class Swept:
    """An installation with a snapshot before each era, and what its reference run told, sent and ended with."""

    installation: Installation
    points: list[Point]
    sent: list[tuple[str, str]]
    effects: list[dict[str, Any]]
    requests: list[dict[str, Any]]
    violations: list[str]


class Trap:
    """Kills a pipeline at the first point, in the first place, that is wanted."""

    def __init__(self, installation: Installation, wanted: Callable[[Case], bool]) -> None:
        self._installation = installation
        self._wanted = wanted
        self._counting = Counting()
        # A request that is to be killed on the wire, and the rule that the server was given for it.
        self._aimed: Case | None = None
        self._request = self._rule = 0
        # A request whose answer is in, and that is to be killed at the next commit.
        self._armed: Case | None = None
        self.struck: Case | None = None

    def __call__(self, message: Message) -> bool:
        if message["say"] == "turn":
            self._counting.turn(message["era"])
        if message["say"] in ("request", "commit"):
            point = self._counting.point(message)
            self.struck = (
                self._at_commit(point, message) if point.what == "commit" else self._at_request(point, message)
            )
        return self.struck is not None

    def come_true(self) -> None:
        """Wait until the server has done what it was made to do late."""
        if self._aimed:
            self._wait(done=True)

    def _at_commit(self, point: Point, message: Message) -> Case | None:
        if self._aimed:
            return None
        if self._armed:
            return (
                self._armed
                if message["place"] == {"uncommitted": "before", "committed": "made"}[self._armed.place]
                else None
            )
        return self._first(point, message["place"])

    def _at_request(self, point: Point, message: Message) -> Case | None:
        if self._aimed:
            if (message["n"], message["place"]) != (self._request, "sent"):
                return None
            # On the wire is not enough: what a server has not read when its client dies never comes true.
            self._wait(done=self._aimed.place == "processed")
            return self._aimed
        if self._armed:
            return None
        if message["place"] == "answered":
            self._armed = self._first(point, "uncommitted", "committed")
        if message["place"] == "unsent":
            if unsent := self._first(point, "unsent"):
                return unsent
            if aimed := self._first(point, "late", "processed"):
                self._aim(aimed, message)
        return None

    def _first(self, point: Point, *places: str) -> Case | None:
        return next((case for case in (Case(point, place) for place in places) if self._wanted(case)), None)

    def _aim(self, case: Case, message: Message) -> None:
        when = (
            {"when": "before", "seconds": LATE_S} if case.place == "late" else {"when": "after", "seconds": FOR_EVER_S}
        )
        rule = {"path": re.escape(message["path"]), "method": message["method"], "do": "hang", **when}
        self._aimed, self._request = case, message["n"]
        self._rule = self._installation.admin("faults", rule)["n"]

    def _wait(self, *, done: bool) -> None:
        give_up = time.monotonic() + ANSWER_S
        while True:
            entries = [one for one in self._installation.admin("requests")["requests"] if one["fault"] == self._rule]
            if entries and (entries[0]["statuses"] or not done):
                return
            assert time.monotonic() < give_up, f"the server never came so far: {self._aimed}"
            time.sleep(0.002)


class Killer:
    """Kills pipelines of one installation one after the other, and lets the last one go on without help."""

    def __init__(self, installation: Installation, plant: str = "") -> None:
        self._installation = installation
        self._plant = plant
        self._haste = HASTE
        self._traps: list[Trap] = []
        self.killed: list[Case] = []

    def kill(self, wanted: Callable[[Case], bool]) -> dict[str, Any] | None:
        """Run a pipeline until it comes to what is wanted; return its status document if it ended before."""
        trap = Trap(self._installation, wanted)
        status = self._installation.run(trap, self._haste, self._plant)
        self._haste = HASTE
        if trap.struck:
            self.killed.append(trap.struck)
            self._traps.append(trap)
            self._haste = HASTE_WHEN_LATE if trap.struck.place == "late" else HASTE
        return status

    def violations(self, status: dict[str, Any]) -> list[str]:
        """What is wrong when all is over, in sentences."""
        for trap in self._traps:
            trap.come_true()
        return checker.violations(*checker.read(self._installation.admin_url), status, ROUNDS)


def attempt(installation: Installation, chain: Chain, plant: str = "") -> list[str]:
    """Kill at each case of a chain; return what is wrong in the end, in sentences."""
    killer = Killer(installation, plant)
    with installation.at(chain[0].point.era):
        try:
            for case in chain:
                assert killer.kill(case.__eq__) is None, f"no such point: {case}"
            status = killer.kill(lambda _: False)
        except Died as died:
            return [f"it did not go on: {died}"]
        assert status is not None
        return killer.violations(status)


def storm(installation: Installation, places: Container[str]) -> tuple[list[Case], list[str]]:
    """Kill in these places at each kind of point whenever it comes up for the first time; return the kills, and what is wrong in the end."""
    killer = Killer(installation)
    done: set[tuple[str, str]] = set()
    with installation.at(NOTHING):
        try:
            while (
                status := killer.kill(lambda case: case.place in places and (case.point.kind, case.place) not in done)
            ) is None:
                done.add((killer.killed[-1].point.kind, killer.killed[-1].place))
        except Died as died:
            return killer.killed, [f"it did not go on: {died}"]
        return killer.killed, killer.violations(status)
