"""Locks between the processes of one installation, which die with their process and name who holds them."""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from alaas_pipeline.errors import UserError

log = logging.getLogger(__name__)

POLL_S = 0.01
# A longer wait is told.
PATIENCE_S = 5.0


@contextmanager
def locked(path: Path, what: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock at `path`; others, threads of this process too, wait for it.

    Args:
        path: the lock file; beside it stands a note of who holds it.
        what: names the thing for people, as in "the ledger".
        timeout_s: the longest wait, in seconds.

    Raises:
        UserError: somebody else held it all that time; the message names them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    note = path.with_name(f"{path.name}.holder")
    try:
        _acquire(lock, note, what, timeout_s)
    except Timeout:
        raise UserError(
            f"{what[0].upper()}{what[1:]} was in use for {timeout_s:g} s{_holder(note)}. Nothing was changed; try again, or end "
            "that process if it hangs: the lock goes with it."
        ) from None
    try:
        _sign(note)
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, note: Path, what: str, timeout_s: float) -> None:
    """Wait for the lock in turn, and say so when it takes longer than a moment.

    One process at a time waits at the lock itself, the others for its place: else whoever lets go takes it again before the others look.
    """
    began = time.monotonic()
    place = FileLock(f"{lock.lock_file}.next", poll_interval=POLL_S)
    for patience in (min(timeout_s, PATIENCE_S), timeout_s):
        try:
            with place.acquire(timeout=max(0.0, began + patience - time.monotonic())):
                lock.acquire(timeout=max(0.0, began + patience - time.monotonic()), poll_interval=POLL_S / 10)
            return
        except Timeout:
            if patience >= timeout_s:
                raise
            log.warning("waiting: %s is in use%s", what, _holder(note))


def _sign(note: Path) -> None:
    """Say who holds the lock. Only for messages: a note that cannot be written must not stop the work."""
    command = " ".join([Path(sys.argv[0] or "python").name, *sys.argv[1:2]])[:80]
    with suppress(OSError):
        note.write_text(json.dumps({"pid": os.getpid(), "command": command, "since": time.time()}), encoding="utf-8")


def _holder(note: Path) -> str:
    try:
        held = json.loads(note.read_text(encoding="utf-8"))
        return f" by process {held['pid']} ({held['command']}), for {max(0.0, time.time() - held['since']):.0f} s now"
    except (OSError, ValueError, KeyError, TypeError):
        return " by another process"
