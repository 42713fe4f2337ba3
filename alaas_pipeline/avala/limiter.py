"""One limit on calls per API key, kept by all processes and threads of an installation together.

Avala counts the calls of a user within a minute and within a second, and announces the limit with each answer. Here
80 % of the minute is used, and a tenth of the minute's limit within a second. Who wants to call reserves the next
free moment in a small file, under a lock that is held for milliseconds, and sleeps until then without it.

From 20,000 calls a minute on, as a local sandbox announces, permits are reserved some at a time and used within a quarter
of a second, so that a call costs next to nothing. Only there another process may heed a new hold that much late.
"""

import hashlib
import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import SecretStr

from alaas_pipeline.avala.allowance import BATCH_S, DOCUMENTED_PER_MINUTE, HIGHEST_LIMIT, LONGEST_HOLD_S, State
from alaas_pipeline.avala.errors import AvalaError, RateLimited
from alaas_pipeline.avala.retry import WORTH_TELLING_S, Timing, server_now

logger = logging.getLogger(__name__)

Kind = Literal["upload", "export"]

# Avala documents 10 uploads and 5 exports at a time.
SLOTS: Mapping[Kind, int] = {"upload": 6, "export": 2}

# A minute's allowance that is renewed later than this is a header gone wrong.
_LONGEST_RESET_S = 3_600.0
_LOCK_S, _LOCK_POLL_S, _SLOT_POLL_S, _SLOT_RETRY_S = 30.0, 0.002, 0.1, 10.0
_CLOCK_GRAIN_S = 1e-3


class Limiter:
    """Permits to call, for one key at one server.

    Args:
        folder: where the state is kept for all processes; made if missing. None keeps it in this object alone.
        origin: the server, as scheme, host and port.
        key: its hash names the files; it is kept nowhere.
        timing: clocks and sleep.
    """

    def __init__(self, folder: Path | None, origin: str, key: SecretStr, timing: Timing) -> None:
        digest = hashlib.sha256(f"{origin}\n{key.get_secret_value()}".encode()).hexdigest()
        self._base = None if folder is None else folder / f"avala-{digest[:16]}"
        self._timing = timing
        self._threads = threading.Lock()
        self._file_lock = None
        if self._base is not None:
            self._file_lock = FileLock(f"{self._base}.lock", timeout=_LOCK_S, poll_interval=_LOCK_POLL_S)
        self._own_state: State | None = None
        self._own_slots = {kind: threading.Semaphore(count) for kind, count in SLOTS.items()}
        self._limit: int | None = None
        self._batch_from, self._batch_left = 0.0, 0
        self._told_until = -math.inf

    def wait(self, longest_s: float) -> None:
        """Take a permit for one call, and sleep until it holds.

        Args:
            longest_s: the longest sleep, in seconds.

        Raises:
            RateLimited: it would take longer; nothing is taken.
            AvalaError: the state cannot be kept.
        """
        give_up = self._timing.monotonic() + longest_s
        while not self._from_batch():
            pause = self._reserve(give_up - self._timing.monotonic())
            if pause <= 0:
                return
            self._tell(pause)
            self._timing.sleep(pause)
            # Somebody may have been told in the meantime to hold.
            if self._held() <= _CLOCK_GRAIN_S:
                return

    def learn(self, headers: Mapping[str, str]) -> None:
        """Heed ``X-RateLimit-Limit``, ``-Remaining`` and ``-Reset`` (Unix seconds) of an answer; garbage is ignored.

        When the allowance is almost used up, by whomever, all processes hold until it is renewed.
        """
        announced = _number(headers, "X-RateLimit-Limit")
        limit = int(announced) if announced is not None and 1 <= announced <= HIGHEST_LIMIT else None
        remaining, reset = _number(headers, "X-RateLimit-Remaining"), _number(headers, "X-RateLimit-Reset")
        pause = 0.0
        if remaining is not None and reset is not None:
            known = limit or self._limit or DOCUMENTED_PER_MINUTE
            until_reset = reset - server_now(headers, self._timing.wall())
            if remaining < max(1, known // 20) and until_reset <= _LONGEST_RESET_S:
                pause = until_reset
        if pause > 0 or limit not in (None, self._limit):
            self._note(limit, pause)

    def hold(self, seconds: float) -> None:
        """Let no call of any process start within so many seconds (a day at most)."""
        if seconds > 0:
            self._note(None, min(seconds, LONGEST_HOLD_S))

    def blocked_for(self) -> float:
        """Seconds until a call may start; 0 if it may now.

        Raises:
            AvalaError: the state cannot be read.
        """
        with self._exclusive() as (state, now):
            return state.next_free(now, 1) - now

    @contextmanager
    def slot(self, kind: Kind, longest_s: float = 60.0) -> Iterator[None]:
        """Be one of the few uploads, or exports in the making, of all processes; a slot ends with its process.

        Args:
            kind: which of the two.
            longest_s: the longest wait for a slot, in seconds.

        Raises:
            RateLimited: none became free.
            AvalaError: the lock files cannot be used.
        """
        give_up = self._timing.monotonic() + longest_s
        while (release := self._free_slot(kind)) is None:
            left = give_up - self._timing.monotonic()
            if left <= 0:
                raise RateLimited(
                    f"All {SLOTS[kind]} places for an {kind} to Avala are taken by runs of this API key; nothing was sent.",
                    retry_after=_SLOT_RETRY_S,
                    now=self._timing.wall(),
                )
            self._timing.sleep(min(_SLOT_POLL_S, left))
        try:
            yield
        finally:
            release()

    def _from_batch(self) -> bool:
        with self._threads:
            age = self._timing.monotonic() - self._batch_from
            if self._batch_left < 1 or not 0 <= age <= BATCH_S:
                return False
            self._batch_left -= 1
            return True

    def _reserve(self, longest_s: float) -> float:
        """Reserve the next free moment, if it is near enough, and return the seconds until then."""
        with self._exclusive() as (state, now):
            count = state.batch
            pause = state.next_free(now, count) - now
            if pause <= max(longest_s, 0.0):
                # What may be used until the end of the batch's life counts as used at its end.
                state.take(now, now + pause + state.batch_s, count)
                self._save(state, now)
                self._batch_from, self._batch_left = self._timing.monotonic() + pause, count - 1
                return pause
        raise RateLimited(
            "The calls that Avala allows this API key are used up for now; nothing was sent.",
            retry_after=pause,
            now=now,
        )

    def _held(self) -> float:
        with self._exclusive() as (state, now):
            return state.held_until - now

    def _note(self, limit: int | None, pause: float) -> None:
        """Write down what an answer taught. Never an error: the answer itself must not be lost over it."""
        try:
            with self._exclusive() as (state, now):
                before = state.limit, state.held_until
                state.limit = limit or state.limit
                state.held_until = max(state.held_until, now + pause if pause > 0 else -math.inf)
                if (state.limit, state.held_until) != before:
                    self._save(state, now)
                self._limit, self._batch_left = state.limit, 0
        except AvalaError as error:
            logger.warning("%s", error)

    def _tell(self, pause: float) -> None:
        now = self._timing.monotonic()
        with self._threads:
            first, until = now >= self._told_until, now + pause
            if pause >= WORTH_TELLING_S and first:
                self._told_until = until
                logger.info("The calls that Avala allows are used up for now; going on in %.0f s.", pause)

    @contextmanager
    def _exclusive(self) -> Iterator[tuple[State, float]]:
        """The state and the time, while no other thread or process has them."""
        with self._threads:
            if self._base is None or self._file_lock is None:
                now = self._timing.wall()
                yield self._read(self._own_state, now), now
                return
            with self._told_plainly():
                self._base.parent.mkdir(parents=True, exist_ok=True)
                with self._file_lock:
                    now = self._timing.wall()
                    yield self._read(self._load(), now), now

    def _read(self, state: State | None, now: float) -> State:
        state = state or State(written=now)
        try:
            if state.to_clock(now):
                self._save(state, now)
        except ValueError:
            state = State(written=now)
        self._limit = state.limit
        return state

    def _load(self) -> State | None:
        # A file that is missing, torn or not ours is begun anew: what is lost is the count of one minute.
        with suppress(FileNotFoundError, ValueError):
            return State.model_validate_json(Path(f"{self._base}.json").read_bytes())
        return None

    def _save(self, state: State, now: float) -> None:
        state.written = now
        if self._base is None:
            self._own_state = state
            return
        # Only the holder of the lock writes it, so the name need not be unique.
        part = Path(f"{self._base}.json.part")
        part.write_bytes(state.model_dump_json().encode())
        part.replace(f"{self._base}.json")

    def _free_slot(self, kind: Kind) -> Callable[[], object] | None:
        """Take a free slot and return how to give it back."""
        if self._base is None:
            own = self._own_slots[kind]
            return own.release if own.acquire(blocking=False) else None
        with self._told_plainly():
            self._base.parent.mkdir(parents=True, exist_ok=True)
            for number in range(1, SLOTS[kind] + 1):
                lock = FileLock(f"{self._base}.{kind}-{number}.lock", thread_local=False)
                with suppress(Timeout):
                    lock.acquire(blocking=False)
                    return lock.release
        return None

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            assert self._base is not None
            raise AvalaError(
                f"The count of calls to Avala cannot be kept in {self._base.parent} ({error.strerror or 'its lock is not given free'}); "
                "nothing was sent. Make it a folder that can be written to, or set ALAAS_LIMITS_DIR to another one."
            ) from None


def _number(headers: Mapping[str, str], name: str) -> float | None:
    try:
        number = float(headers.get(name, ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
