"""When to try again, and how long to wait before, with clock and sleep handed in."""

import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from alaas_pipeline.avala.errors import AvalaError, RateLimited, TransportFailure

logger = logging.getLogger(__name__)

RETRIED_STATUSES = frozenset({408, 429}) | frozenset(range(500, 600))
_LONGEST_HINT_S = 86_400.0
# Shorter waits are part of ordinary work, such as staying below a limit per second.
WORTH_TELLING_S = 3.0


@dataclass(frozen=True)
class Timing:
    """Clocks and sleep, in seconds; tests hand in their own."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random


@dataclass(frozen=True)
class RetryPolicy:
    """Bounds on trying again; all times in seconds.

    Attributes:
        attempts: how often one call is sent at most.
        wall_clock_s: no retry is begun that would start later than this after the first attempt.
        base_s: the first back-off is drawn from 0 to this, the next from 0 to twice this, and so on.
        longest_backoff_s: cap of one back-off.
        longest_wait_s: a longer wait, asked for by the server or needed to stay below its limits, is handed back to the
            caller instead of slept.
    """

    attempts: int = 8
    wall_clock_s: float = 150.0
    base_s: float = 0.5
    longest_backoff_s: float = 20.0
    longest_wait_s: float = 60.0

    def backoff(self, attempt: int, draw: float) -> float:
        """Exponential back-off with full jitter after attempt ``attempt`` (from 1), ``draw`` in [0, 1).

        Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
        """
        return draw * min(self.longest_backoff_s, self.base_s * 2.0 ** (attempt - 1))


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that ``Retry-After`` asks for: integer, decimal or HTTP-date; ``None`` if absent or garbage.

    Args:
        headers: response headers, looked up without regard to case by the mapping itself.
        now: Unix time in seconds; the answer's own ``Date`` is preferred, so that a wrong clock does no harm.
    """
    raw = headers.get("Retry-After", "").strip()
    if not raw:
        return None
    try:
        seconds = float(raw)
    except ValueError:
        at = _unix_time(raw)
        if at is None:
            return None
        seconds = at - server_now(headers, now)
    return min(max(seconds, 0.0), _LONGEST_HINT_S) if math.isfinite(seconds) else None


def _unix_time(http_date: str) -> float | None:
    try:
        parsed = parsedate_to_datetime(http_date)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return (parsed if parsed.tzinfo else datetime.replace(parsed, tzinfo=UTC)).timestamp()


def server_now(headers: Mapping[str, str], now: float) -> float:
    """Unix time in seconds by the server's own clock, as its answer tells it, else ``now``."""
    at = _unix_time(headers.get("Date", ""))
    return now if at is None else at


def passing(error: AvalaError) -> bool:
    """Whether a call that may be repeated at will, and ended like this, is worth another attempt."""
    return isinstance(error, TransportFailure) or error.status in RETRIED_STATUSES


def nothing_happened(error: AvalaError) -> bool:
    """Whether a state-changing call that ended like this certainly changed nothing and may succeed later."""
    return isinstance(error, RateLimited) or (isinstance(error, TransportFailure) and error.sent is False)


class Retrying:
    """Runs one call within the bounds of a policy."""

    def __init__(self, policy: RetryPolicy, timing: Timing) -> None:
        self._policy = policy
        self._timing = timing

    def run(self, once: Callable[[], tuple[Any, float | None]], repeatable: Callable[[AvalaError], bool]) -> Any:
        """Call ``once`` until it gives something else than an error.

        Args:
            once: returns (result or error, seconds that the server asked to wait or ``None``).
            repeatable: whether an attempt that ended so may be repeated.

        Raises:
            AvalaError: the last one, when it may not be repeated or the bounds are reached.
        """
        began = self._timing.monotonic()
        for attempt in range(1, self._policy.attempts + 1):
            outcome, hint = once()
            if not isinstance(outcome, AvalaError):
                return outcome
            if not repeatable(outcome) or not self._pause(outcome, attempt, began, hint):
                raise outcome
        raise AssertionError("the last attempt either returns or raises")

    def _pause(self, error: AvalaError, attempt: int, began: float, hint: float | None) -> bool:
        """Sleep before the next attempt, or say False when the bounds forbid one."""
        policy = self._policy
        wait = policy.backoff(attempt, self._timing.random())
        if hint is not None:
            # The jitter makes no wait too long that would not be so without it.
            wait = max(hint, min(hint + wait, policy.longest_wait_s))
        elif isinstance(error, RateLimited):
            # A draw near 0 would only be throttled again.
            wait = policy.backoff(attempt, 1.0) + wait
        elapsed = self._timing.monotonic() - began
        if attempt >= policy.attempts or wait > policy.longest_wait_s or elapsed + wait > policy.wall_clock_s:
            return False
        if wait >= WORTH_TELLING_S:
            why = f"{error.status or 'no answer'} for {error.call}"
            logger.info("Avala is busy or unreachable (%s); trying again in %.0f s.", why, wait)
        self._timing.sleep(wait)
        return True
