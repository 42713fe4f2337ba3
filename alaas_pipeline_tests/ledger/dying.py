"""What runs in processes that are killed."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, Transaction, credits, database


def die() -> None:
    """As the kernel does it: nothing is flushed, nothing is closed."""
    os.kill(os.getpid(), signal.SIGKILL)


def step(tx: Transaction) -> int:
    """Counts on by one in two tables at once, so that half a transaction shows."""
    number = state(tx) + 1
    credits.grant_up_to(tx, "cats", number)
    tx.run("UPDATE pools SET name = ? WHERE pool = 'cats'", f"{number} {'x' * (37 * number % 301)}")
    return number


def state(tx: Transaction) -> int:
    """The number of steps that were made; a torn one is told."""
    granted, name = credits.credits(tx, "cats").granted, tx.value("SELECT name FROM pools WHERE pool = 'cats'")
    told = 0 if name == "Cats" else int(name.split()[0])
    assert granted == told, f"torn: {granted} credits are granted, and {told} is written"
    return granted


class Counting:
    """A connection that takes a schema file statement by statement and kills its process after so many calls."""

    def __init__(self, last: int) -> None:
        self._connection, self._left = duckdb.connect(), last

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self._count(getattr(self._connection, name)(*args))

    def execute(self, sql: str, *values: Any) -> Any:
        found = None
        for statement in [sql] if values else self._connection.extract_statements(sql):
            found = self._count(self._connection.execute(statement, *values))
        return found

    def _count(self, answer: Any) -> Any:
        if self._left == 0:
            die()
        self._left -= 1
        return answer


def open_and_die(path: Path, last: int) -> None:
    """Opens a ledger, and dies in the middle unless that takes fewer calls than `last`."""
    connection = Counting(last)
    database._engine = lambda: connection  # type: ignore[assignment, return-value]
    with Ledger(path).transaction():
        pass


def open_only(path: Path, started: Path) -> None:
    """Opens a ledger, to be killed from outside."""
    started.touch()
    with Ledger(path).transaction():
        pass


class Staying(Ledger):
    """A ledger that stays attached from one transaction to the next, so that all commits are in the write-ahead file."""

    stack: ExitStack | None = None

    @contextmanager
    def _attached(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if self.stack is None:
            self.stack = ExitStack()
            self.connection = self.stack.enter_context(super()._attached())
        yield self.connection


def commit_and_die(path: Path, times: int) -> None:
    """Makes steps and dies before any of them is folded into the file."""
    ledger = Staying(path)
    for _ in range(times):
        with ledger.transaction() as tx:
            step(tx)
    die()


def write_on(path: Path, told: Path) -> None:
    """Makes step after step, and says each one that is done, until it is killed."""
    ledger = Ledger(path)
    handle = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        with ledger.transaction() as tx:
            number = step(tx)
        os.write(handle, f"{number}\n".encode())


def write_many(path: Path, who: str, count: int, waits: Path) -> None:
    """Makes steps as fast as the others let it; writes how long each took, in seconds."""
    ledger, took = Ledger(path), []
    for number in range(count):
        begun = time.perf_counter()
        with ledger.transaction() as tx:
            step(tx)
            credits.reserve(tx, "cats", f"{who}:{number}", 1, "load")
        took.append(time.perf_counter() - begun)
    waits.write_text("\n".join(map(str, took)))


def write_on_a_full_disk(path: Path, limit: int, told: Path) -> None:
    """Makes a step with a note of 10,000 bytes while no file may grow beyond `limit` bytes; says what came of it."""
    free = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    ledger, answer = Ledger(path), "done"
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with ledger.transaction() as tx:
            step(tx)
            tx.note(os.urandom(5000).hex())
    except UserError as error:
        answer = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, free)
    # The disk has room again, and the same process goes on.
    with ledger.transaction() as tx:
        told.write_text(f"{state(tx)}\n{answer}")
        step(tx)
