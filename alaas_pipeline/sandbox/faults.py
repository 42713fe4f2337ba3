"""Rules that make the server lie: which requests fare badly, how often, and how.

Each ``do`` of a rule, with the fields that go with it (times are seconds):

| do | what becomes of the request | fields |
| --- | --- | --- |
| `status` | answered with a status of 400 to 599 | `status`, `body`, `headers`, `when` |
| `redirect` | answered with 302 | `location`, `when` |
| `cut` | the connection is closed without an answer | `when` |
| `hang` | nothing happens for a while | `seconds`, `when` |
| `trickle` | the true answer comes in drops, spread over a time | `seconds` |
| `twice` | processed twice, as if it had been delivered twice | `show` (`first` or `second` answer) |
| `stale` | a list lacks what is younger than a time | `seconds` |

``when`` is `before` (the request is not processed) or `after` (it is processed, its effect is on the disk, and
then the fault strikes). A `hang` before is a late delivery: the request is processed after the wait, even if
the client has given up by then.

A `stale` rule imitates lists that are consistent in the end only: every list that its path matches lags by
``seconds``, while the object itself can be read by its uid. Where the path matches a dataset's address by owner
and slug, that lags too. It counts such reads alone, and strikes beside any other rule.

Rules live in memory: a restart of the server forgets them.
"""

import re
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from starlette.responses import HTMLResponse, JSONResponse, Response

Do = Literal["status", "redirect", "cut", "hang", "trickle", "twice", "stale"]
When = Literal["before", "after"]
Show = Literal["first", "second"]

DETAILS = {
    401: "Invalid API key.",
    403: "You do not have permission to perform this action.",
    404: "Not found.",
    429: "Request was throttled.",
    500: "Internal server error.",
}


@dataclass
class Rule:
    """One rule. `alaas_pipeline.sandbox.faults` describes the fields that follow from ``do``.

    Attributes:
        path: must match the whole path of a request, without its query.
        do: what becomes of the requests that it strikes.
        method: the requests' method; None means any.
        skip: how many of the requests that it names pass unharmed first.
        times: how many it strikes; None means every one.
        n: its number, from 1 in the order of adding.
        seen: requests that it named so far.
        fired: requests that it struck so far.
    """

    path: re.Pattern[str]
    do: Do
    method: str | None = None
    skip: int = 0
    times: int | None = 1
    when: When = "before"
    status: int = 500
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    location: str = ""
    show: Show = "second"
    n: int = 0
    added_at: float = 0.0
    seen: int = 0
    fired: int = 0

    def counts(self, method: str, path: str) -> bool:
        """Counts a request if the rule names it, and says whether it is one to strike."""
        if self.method not in (None, method) or self.path.fullmatch(path) is None:
            return False
        self.seen += 1
        return self.seen > self.skip and (self.times is None or self.fired < self.times)

    def answer(self) -> Response:
        """The made-up answer of a `status` or `redirect` rule: text as HTML, anything else as JSON."""
        if self.do == "redirect":
            return Response(status_code=302, headers={"Location": self.location})
        if isinstance(self.body, str):
            return HTMLResponse(self.body, self.status, self.headers)
        return JSONResponse(default_body(self.status) if self.body is None else self.body, self.status, self.headers)


class Faults:
    """The rules of one sandbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._last = 0

    def add(self, rule: Rule) -> Rule:
        """Adds a rule behind those that are there, and numbers it."""
        with self._lock:
            self._last += 1
            rule.n, rule.added_at = self._last, time.time()
            self._rules.append(rule)
        return rule

    def rules(self) -> list[Rule]:
        """Every rule, in the order of adding."""
        with self._lock:
            return list(self._rules)

    def clear(self) -> int:
        """Forgets every rule and returns how many there were; what they have begun, they end."""
        with self._lock:
            count = len(self._rules)
            self._rules.clear()
        return count

    def choose(self, method: str, path: str) -> Rule | None:
        """The rule that strikes a request: the first that is due. Every rule that names it counts it."""
        with self._lock:
            due = [rule for rule in self._rules if rule.do != "stale" and rule.counts(method, path)]
            if due:
                due[0].fired += 1
        return due[0] if due else None

    def lag(self, path: str) -> float:
        """Seconds by which a read of a list or of an address lags; 0 when no `stale` rule is due."""
        with self._lock:
            due = [rule for rule in self._rules if rule.do == "stale" and rule.counts("GET", path)]
            for rule in due:
                rule.fired += 1
        return max((rule.seconds for rule in due), default=0.0)


def default_body(status: int) -> dict[str, str]:
    """What Avala says along with a status, where its documents tell; else the status in words."""
    if status in DETAILS:
        return {"detail": DETAILS[status]}
    known = status in HTTPStatus._value2member_map_
    return {"detail": f"{HTTPStatus(status).phrase}." if known else f"Error {status}."}
