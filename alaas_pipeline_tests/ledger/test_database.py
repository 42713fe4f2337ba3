import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest
from filelock import FileLock

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, Transaction, database
from alaas_pipeline.ledger.database import now

ENTRIES = "SELECT operation_id FROM credit_entries ORDER BY operation_id"


def enter(tx: Transaction, *names: str) -> None:
    tx.insert("credit_entries", [entry(name) for name in names])


def entry(name: str, **changes: Any) -> dict[str, Any]:
    row = {
        "operation_id": name, "kind": "grant", "pool": "cats", "round": None, "from_account": "granted",
        "to_account": "spendable", "credits": 1, "note": "", "entered_at": now(),
    }  # fmt: skip
    return row | changes


def write_some(path: Path, who: str, count: int) -> None:
    ledger = Ledger(path)
    for number in range(count):
        with ledger.transaction() as tx:
            enter(tx, f"{who}:{number}")


def test_a_fresh_ledger_gets_every_schema_file(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "ledger.duckdb"
    with Ledger(path).transaction() as tx:
        versions = tx.column("SELECT version FROM schema_versions ORDER BY version")
        assert tx.value("SELECT count(*) FROM pools") == 0
    assert versions == [version for version, _, _ in database._migrations()]
    assert versions[0] == 1
    assert not path.with_name("ledger.duckdb.wal").exists()


def test_reopening_keeps_what_is_there_and_applies_nothing_twice(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        enter(tx, "a")
        before = tx.rows("SELECT * FROM schema_versions")
    with Ledger(ledger.path).transaction() as tx:
        assert tx.column(ENTRIES) == ["a"]
        assert tx.rows("SELECT * FROM schema_versions") == before


def test_the_next_schema_file_is_applied_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    known = database._migrations()
    later = [*known, (known[-1][0] + 1, "more.sql", "CREATE TABLE more (x INTEGER); INSERT INTO more VALUES (1)")]
    monkeypatch.setattr(database, "_migrations", lambda: later)
    for _ in range(2):
        with Ledger(ledger.path).transaction() as tx:
            assert tx.column("SELECT x FROM more") == [1]


def test_a_schema_file_that_fails_leaves_no_trace(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    known = database._migrations()
    bad = [*known, (known[-1][0] + 1, "bad.sql", "CREATE TABLE half (x INTEGER); SELECT * FROM nowhere")]
    with monkeypatch.context() as patch:
        patch.setattr(database, "_migrations", lambda: bad)
        with pytest.raises(duckdb.Error, match="nowhere"), ledger.transaction():
            pass
    with ledger.transaction() as tx:
        assert tx.value("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'half'") == 0
        assert tx.value("SELECT max(version) FROM schema_versions") == known[-1][0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "UPDATE schema_versions SET checksum = 'other' WHERE version = 1",
            r"Schema file 0001_\w+\.sql differs from the one",
        ),
        (
            "INSERT INTO schema_versions VALUES (99, 'x', 'y', 'z')",
            r"schema version 99, newer than .* Upgrade alaas-pipeline",
        ),
    ],
)
def test_a_ledger_of_another_program_is_refused(ledger: Ledger, change: str, says: str) -> None:
    with ledger.transaction() as tx:
        tx.run(change)
    with pytest.raises(UserError, match=says), Ledger(ledger.path).transaction():
        pass


def test_a_block_that_raises_leaves_nothing(ledger: Ledger) -> None:
    def fail() -> None:
        with ledger.transaction() as tx:
            enter(tx, "a", "b")
            tx.run("UPDATE pools SET name = 'other'")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with ledger.transaction() as tx:
        assert tx.column(ENTRIES) == []
        assert tx.value("SELECT name FROM pools") == "Cats"


def test_a_broken_key_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(duckdb.ConstraintException), ledger.transaction() as tx:
        enter(tx, "a", "b", "a")
    with ledger.transaction() as tx:
        assert tx.column(ENTRIES) == []


def test_threads_that_write_at_once_lose_nothing(ledger: Ledger) -> None:
    start = threading.Barrier(4)

    def work(who: int) -> None:
        start.wait()
        for number in range(4):
            with ledger.transaction() as tx:
                enter(tx, f"{who}:{number}")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    with ledger.transaction() as tx:
        assert tx.column(ENTRIES) == [f"{who}:{number}" for who in range(4) for number in range(4)]


def test_processes_that_write_at_once_lose_nothing(ledger: Ledger) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=write_some, args=(ledger.path, who, 5)) for who in "xy"]
    for worker in workers:
        worker.start()
    write_some(ledger.path, "here", 5)
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    with ledger.transaction() as tx:
        assert tx.column(ENTRIES) == sorted(f"{who}:{number}" for who in ("here", "x", "y") for number in range(5))


def test_no_lock_is_held_between_transactions_and_a_busy_ledger_says_so(ledger: Ledger) -> None:
    with ledger.transaction():
        pass
    with FileLock(f"{ledger.path}.lock", timeout=0):
        hasty = Ledger(ledger.path, lock_timeout_s=0.05)
        with pytest.raises(UserError) as caught, hasty.transaction():
            pass
    told = str(caught.value)
    assert told.startswith(f"The ledger {ledger.path} was in use for 0.05 s by process {os.getpid()} (")
    assert "Nothing was changed;" in told
    with hasty.transaction() as tx:
        assert tx.value("SELECT 1") == 1


def image(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "pool": "cats", "digest": f"{number:04d}", "image_id": f"猫/{number}'\"; --.png", "bytes": number * 2**33, "state": "accepted",
        "reason": None, "unfit_reason": "gif" if number % 7 == 3 else None, "format": None, "mode": "RGB", "width": number or None,
        "height": 2, "shown_width": None, "shown_height": None, "frames": 1, "near_duplicate_of": None, "added_at": now(), "orientation": number % 8 + 1,
    }  # fmt: skip
    return row | changes


@pytest.mark.parametrize("count", [1, 50, 51, 300])
def test_many_rows_go_in_as_few_do(tx: Transaction, count: int) -> None:
    rows = [image(number) for number in range(count)]
    tx.insert("images", rows)
    assert tx.rows("SELECT * FROM images ORDER BY digest") == rows
    kinds = dict(
        tx._connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'images'"
        ).fetchall()
    )
    assert (kinds["width"], kinds["reason"]) == ("BIGINT", "VARCHAR")


@pytest.mark.parametrize("count", [3, 120])
def test_rows_replace_those_of_the_same_key(tx: Transaction, count: int) -> None:
    tx.insert("images", [image(number) for number in range(count)])
    changed = [image(number, reason="new", mode=None, width=None) for number in range(1, count + 2)]
    tx.insert("images", changed, replace_on="pool, digest")
    found = tx.rows("SELECT * FROM images ORDER BY digest")
    assert found[0]["reason"] is None
    assert found[1:] == changed


@pytest.mark.parametrize("count", [3, 120])
def test_without_replacing_a_key_that_is_there_is_refused(ledger: Ledger, count: int) -> None:
    with ledger.transaction() as tx:
        tx.insert("images", [image(0)])
    with pytest.raises(duckdb.ConstraintException), ledger.transaction() as tx:
        tx.insert("images", [image(number) for number in range(count)])


def test_no_rows_are_nothing(tx: Transaction) -> None:
    tx.insert("images", [])
    assert tx.rows("SELECT * FROM images") == []


@pytest.mark.parametrize(
    ("ask", "none"),
    [
        (lambda tx: tx.row("SELECT 1 AS x WHERE false"), None),
        (lambda tx: tx.value("SELECT 1 AS x WHERE false"), None),
        (lambda tx: tx.column("SELECT 1 AS x WHERE false"), []),
        (lambda tx: tx.rows("SELECT ? AS x, ? AS y", "'; --", None), [{"x": "'; --", "y": None}]),
    ],
)
def test_answers(tx: Transaction, ask: Callable[[Transaction], object], none: object) -> None:
    assert ask(tx) == none


def test_times_sort_as_text() -> None:
    times = [now() for _ in range(50)]
    assert times == sorted(times)
    assert all(len(time) == 27 and time.endswith("Z") for time in times)
