"""How often a user may call: a sliding minute and a sliding second, announced in headers."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable


class Limiter:
    """Counts the accepted requests of each caller. It forgets them at a restart, as a cache does.

    Args:
        burst_per_second: requests within one second.
        clock: seconds since the epoch; replaced in tests.
    """

    def __init__(self, burst_per_second: int, clock: Callable[[], float] = time.time) -> None:
        self._burst = burst_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, deque[float]] = {}

    def take(self, caller: str, per_minute: int) -> tuple[dict[str, str], int | None]:
        """Counts one request.

        Args:
            caller: user or address.
            per_minute: requests that this caller may send within 60 s.

        Returns:
            The three rate-limit headers, and the seconds to wait if the request is refused (else None).
        """
        now = self._clock()
        with self._lock:
            seen = self._seen.setdefault(caller, deque())
            while seen and seen[0] <= now - 60:
                seen.popleft()
            wait = None
            if len(seen) >= per_minute:
                wait = seen[0] + 60 - now
            elif len(seen) >= self._burst and seen[-self._burst] > now - 1:
                wait = seen[-self._burst] + 1 - now
            else:
                seen.append(now)
            headers = {
                "X-RateLimit-Limit": str(per_minute),
                "X-RateLimit-Remaining": str(max(0, per_minute - len(seen))),
                "X-RateLimit-Reset": str(math.ceil((seen[0] if seen else now) + 60)),
            }
        return headers, None if wait is None else max(1, math.ceil(wait))
