"""When to try again, and how long to wait before, with clock and sleep handed in."""

import logging
import math
import random
import threading
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
_WORTH_TELLING_S = 3.0


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
        longest_wait_s: a longer wait that the server asks for is handed back to the caller instead of slept.
    """

    attempts: int = 8
    wall_clock_s: float = 150.0
    base_s: float = 0.5
    longest_backoff_s: float = 20.0
    longest_wait_s: float = 90.0

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
        seconds = at - _server_now(headers, now)
    return min(max(seconds, 0.0), _LONGEST_HINT_S) if math.isfinite(seconds) else None


def _unix_time(http_date: str) -> float | None:
    try:
        parsed = parsedate_to_datetime(http_date)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return (parsed if parsed.tzinfo else datetime.replace(parsed, tzinfo=UTC)).timestamp()


def _server_now(headers: Mapping[str, str], now: float) -> float:
    at = _unix_time(headers.get("Date", ""))
    return now if at is None else at


class Pacer:
    """Holds the next call back when the last answer said that the minute's allowance is used up."""

    def __init__(self, timing: Timing, longest_wait_s: float) -> None:
        self._timing = timing
        self._longest_wait_s = longest_wait_s
        self._not_before = -math.inf
        self._announced = -math.inf
        self._lock = threading.Lock()

    def learn(self, headers: Mapping[str, str]) -> None:
        """Read ``X-RateLimit-Remaining`` and ``X-RateLimit-Reset`` (Unix seconds); garbage is ignored."""
        try:
            remaining = float(headers.get("X-RateLimit-Remaining", ""))
            reset = float(headers.get("X-RateLimit-Reset", ""))
        except ValueError:
            return
        wait = reset - _server_now(headers, self._timing.wall())
        if remaining < 1:
            self.hold(wait)

    def hold(self, seconds: float) -> None:
        """Let no call of any thread start within ``seconds``; too long a wait is ignored."""
        if 0 < seconds <= self._longest_wait_s:
            with self._lock:
                self._not_before = max(self._not_before, self._timing.monotonic() + seconds)

    def wait(self) -> None:
        """Sleep until the allowance is renewed, if it is known to be used up."""
        with self._lock:
            wait = self._not_before - self._timing.monotonic()
            first, self._announced = self._announced < self._not_before, self._not_before
        if wait > 0:
            if first and wait >= _WORTH_TELLING_S:
                logger.info("Avala's allowance of calls is used up; going on in %.0f s.", wait)
            self._timing.sleep(wait)


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
            wait += hint
        elif isinstance(error, RateLimited):
            # A draw near 0 would only be throttled again.
            wait = policy.backoff(attempt, 1.0) + wait
        elapsed = self._timing.monotonic() - began
        if attempt >= policy.attempts or wait > policy.longest_wait_s or elapsed + wait > policy.wall_clock_s:
            return False
        if wait >= _WORTH_TELLING_S:
            why = f"{error.status or 'no answer'} for {error.call}"
            logger.info("Avala is busy or unreachable (%s); trying again in %.0f s.", why, wait)
        self._timing.sleep(wait)
        return True
