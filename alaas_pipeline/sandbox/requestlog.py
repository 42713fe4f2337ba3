"""What arrived: a numbered list of every request that wants a change, whatever became of it.

It lives in memory, beside the log of effects, which is on the disk: this one knows the attempts, that one what
came of them. A restart of the server begins it anew.
"""

import time
from collections import deque
from dataclasses import dataclass, field

LIMIT = 100_000
READING = ("GET", "HEAD", "OPTIONS")


@dataclass(slots=True)
class Entry:
    """One request.

    Attributes:
        n: its number, from 1; 0 for one that only reads, which the list leaves out.
        at: when it arrived, seconds since the epoch.
        method: HTTP method.
        path: path without the query, which may hold a signature.
        processed: how often the server has begun to process it: 0, 1, or 2 if it was delivered twice.
        statuses: what the server truly answered, once for each processing that has ended.
        answered: status that the client was sent; None if it was sent none.
        delivered: whether the whole answer was handed to a connection that was still open.
        fault: number of the rule that struck it.
        do: what that rule does.
    """

    n: int
    at: float
    method: str
    path: str
    processed: int = 0
    statuses: list[int] = field(default_factory=list)
    answered: int | None = None
    delivered: bool = False
    fault: int | None = None
    do: str | None = None


class RequestLog:
    """The list of one server. It is used from the event loop alone.

    Args:
        limit: how many requests it remembers; the oldest go first.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._last = 0

    def begin(self, method: str, path: str) -> Entry:
        """The entry of a request that has just arrived; whoever serves it fills in the rest."""
        if method in READING:
            return Entry(0, time.time(), method, path)
        self._last += 1
        entry = Entry(self._last, time.time(), method, path)
        self._entries.append(entry)
        return entry

    def since(self, n: int) -> list[Entry]:
        """The remembered requests with numbers above ``n``, oldest first."""
        return [entry for entry in self._entries if entry.n > n]
