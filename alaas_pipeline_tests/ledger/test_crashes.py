"""Real processes are killed, real files are damaged: a ledger always opens, and what it acknowledged is there or is told."""

import random
import re
import shutil
import signal
import time
from itertools import count
from pathlib import Path

import duckdb
import pytest

from alaas_pipeline.ledger import Ledger, database, losses
from alaas_pipeline_tests import forking
from alaas_pipeline_tests.ledger import dying
from alaas_pipeline_tests.ledger.dying import state, step

KILLED = -signal.SIGKILL
TABLES = "SELECT table_name, column_name, data_type, is_nullable, column_default FROM duckdb_columns() ORDER BY ALL"
VALUES = {"VARCHAR": "'x' || i", "BIGINT": "i", "INTEGER": "i", "DOUBLE": "i / 7"}


def copy_of(ledger: Path, folder: Path) -> Path:
    """The ledger's files in another folder."""
    folder.mkdir()
    for path in ledger.parent.glob(f"{ledger.name}*"):
        if ".lock" not in path.name:
            shutil.copy(path, folder)
    return folder / ledger.name


@pytest.fixture(scope="module")
def first_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger as the first release left it, with three rows in each table."""
    path = tmp_path_factory.mktemp("first") / "ledger.duckdb"
    version, name, sql = database._migrations()[0]
    with pytest.MonkeyPatch.context() as patch, duckdb.connect(str(path)) as connection:
        patch.setattr(database, "_migrations", lambda: [(version, name, sql)])
        database._migrate(connection)
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            if table == "schema_versions":
                continue
            kinds = connection.execute(
                "SELECT data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [table]
            ).fetchall()
            values = ", ".join(VALUES[kind] for (kind,) in kinds)
            connection.execute(f"INSERT INTO {table} SELECT {values} FROM range(3) t(i)")
    return path


def rows(path: Path, of: Path) -> dict[str, list[tuple]]:
    """What is in the tables and columns that the ledger `of` has."""
    with duckdb.connect() as connection:
        for name, file in (("old", of), ("new", path)):
            connection.execute(f"ATTACH '{file}' AS {name} (READ_ONLY)")
        tables = connection.execute(
            "SELECT table_name, string_agg(column_name, ', ' ORDER BY column_index) FROM duckdb_columns() "
            "WHERE database_name = 'old' GROUP BY ALL"
        ).fetchall()
        return {
            table: connection.execute(f"SELECT {columns} FROM new.{table} ORDER BY ALL").fetchall()
            for table, columns in tables
            if table != "schema_versions"
        }


def schema(path: Path) -> list[tuple]:
    """Opens a ledger, writes to it, and returns all tables and columns."""
    with Ledger(path).transaction() as tx:
        tx.insert("history", [{"number": 0, "committed_at": "x", "what": "x"}])
        assert tx.column("SELECT version FROM schema_versions ORDER BY 1") == [n for n, _, _ in database._migrations()]
        assert losses.unreconciled(tx) == []
        return [tuple(row.values()) for row in tx.rows(TABLES)]


@pytest.mark.parametrize("populated", [True, pytest.param(False, marks=pytest.mark.faults)])
def test_a_ledger_opens_wherever_a_migration_was_killed(tmp_path: Path, first_schema: Path, populated: bool) -> None:
    whole = schema(tmp_path / "whole.duckdb")
    last = 0
    for last in count():
        folder = tmp_path / str(last)
        path = folder / "ledger.duckdb"
        if populated:
            copy_of(first_schema, folder)
        child = forking.start(dying.open_and_die, path, last)
        child.join(60)
        assert schema(path) == whole, f"killed after call {last}"
        if populated:
            assert rows(path, first_schema) == rows(first_schema, first_schema)
        if child.exitcode == 0:
            break
        assert child.exitcode == KILLED
    statements = sum(
        len(duckdb.extract_statements(sql)) for _, _, sql in database._migrations()[1 if populated else 0 :]
    )
    assert last > statements


@pytest.mark.parametrize("times", [10, pytest.param(100, marks=pytest.mark.faults)])
def test_a_ledger_opens_whenever_a_migration_was_killed(tmp_path: Path, first_schema: Path, times: int) -> None:
    chance, ended = random.Random(times), 0
    whole = schema(tmp_path / "whole.duckdb")
    for number in range(times):
        path = copy_of(first_schema, tmp_path / str(number))
        child = forking.start(dying.open_only, path, path.with_name("started"))
        while not path.with_name("started").exists():
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.08))
        child.kill()
        child.join(60)
        ended += child.exitcode == 0
        assert schema(path) == whole
        assert rows(path, first_schema) == rows(first_schema, first_schema)
    assert ended < times, "none was killed in time"


STEPS = 15


@pytest.fixture(scope="module")
def with_wal(empty_ledger: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger whose process died when its fifteen commits were in the write-ahead file only."""
    path = copy_of(empty_ledger, tmp_path_factory.mktemp("wal") / "x")
    child = forking.start(dying.commit_and_die, path, STEPS)
    child.join(60)
    assert child.exitcode == KILLED
    return path


def check_damaged(path: Path) -> tuple[int, bool]:
    """Opens a ledger with a damaged write-ahead file; returns its steps, and whether that file was put aside."""
    wal = path.with_name("ledger.duckdb.wal")
    damaged = wal.read_bytes()
    ledger = Ledger(path)
    acknowledged = ledger.log.last()
    with ledger.transaction() as tx:
        steps, lost = state(tx), losses.unreconciled(tx)
    # The first commit made the pool; each other one is a step.
    told = [number for loss in lost for number in range(loss.first_commit, loss.last_commit + 1)]
    assert told == list(range(steps + 2, acknowledged + 1))
    words = [line.split("Z ")[1] for loss in lost for line in loss.what]
    assert words == [f"cats: grant 1 credits (grant:cats:{number})" for number in range(steps + 1, STEPS + 1)]
    aside = list(path.parent.glob("ledger.duckdb.wal.damaged-2*Z"))
    assert [one.read_bytes() for one in aside] in ([], [damaged])
    # Nothing is lost from here on.
    with ledger.transaction() as tx:
        step(tx)
    with Ledger(path).transaction() as tx:
        assert state(tx) == steps + 1
        assert losses.unreconciled(tx) == lost
    assert ledger.log.last() == acknowledged + 1
    return steps, bool(aside)


def test_an_untouched_write_ahead_file_brings_all_back(with_wal: Path, tmp_path: Path) -> None:
    assert check_damaged(copy_of(with_wal, tmp_path / "x")) == (STEPS, False)


def test_a_torn_write_ahead_file_loses_its_end_and_says_so(with_wal: Path, tmp_path: Path) -> None:
    size = with_wal.with_name("ledger.duckdb.wal").stat().st_size
    lengths = sorted({*range(0, 40, 8), *range(40, size, size // 46), size - 1})
    assert len(lengths) >= 50
    kept = []
    for length in lengths:
        path = copy_of(with_wal, tmp_path / str(length))
        with path.with_name("ledger.duckdb.wal").open("r+b") as file:
            file.truncate(length)
        kept.append(check_damaged(path)[0])
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (0, STEPS - 1)
    assert len(set(kept)) > STEPS // 2


@pytest.mark.parametrize("flips", [30, pytest.param(300, marks=pytest.mark.faults)])
def test_a_damaged_write_ahead_file_is_kept_aside_and_its_losses_are_told(
    with_wal: Path, tmp_path: Path, flips: int
) -> None:
    chance, put_aside = random.Random(flips), 0
    whole = with_wal.with_name("ledger.duckdb.wal").read_bytes()
    for number in range(flips):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path = copy_of(with_wal, tmp_path / str(number))
        path.with_name("ledger.duckdb.wal").write_bytes(damaged)
        put_aside += check_damaged(path)[1]
    assert put_aside > flips // 2


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.faults)])
def test_a_writer_killed_at_any_moment_loses_nothing_it_acknowledged(
    ledger: Ledger, tmp_path: Path, kills: int
) -> None:
    chance, told, steps = random.Random(kills), tmp_path / "told", 0
    for _ in range(kills):
        told.write_text("")
        child = forking.start(dying.write_on, ledger.path, told)
        while not told.stat().st_size:
            time.sleep(0.001)
            assert child.is_alive()
        time.sleep(chance.uniform(0, 0.05))
        child.kill()
        child.join(60)
        assert child.exitcode == KILLED
        # A line may be torn as well.
        acknowledged = max(int(line) for line in told.read_text().splitlines(keepends=True) if line.endswith("\n"))
        logged = ledger.log.last()
        with ledger.transaction() as tx:
            steps = state(tx)
            assert acknowledged <= steps <= acknowledged + 1
            assert logged <= tx.value("SELECT number FROM commits")
            assert losses.unreconciled(tx) == []
    assert steps >= kills


@pytest.mark.parametrize(
    ("limit", "done", "says"),
    [
        (100, False, "cannot be written: .* File too large. Nothing was changed. Is the disk full"),
        (2000, False, "cannot be written: .* File too large. Nothing was changed. Is the disk full"),
        # Enough for the write-ahead file, and not for folding it in: it is done.
        (100_000, True, "done$"),
    ],
)
def test_a_full_disk_is_told_and_nothing_is_lost(
    ledger: Ledger, tmp_path: Path, limit: int, done: bool, says: str
) -> None:
    told = tmp_path / "told"
    child = forking.start(dying.write_on_a_full_disk, ledger.path, limit, told)
    child.join(60)
    assert child.exitcode == 0
    after, answer = told.read_text().split("\n")
    assert int(after) == int(done)
    assert re.search(says, answer), answer
    with ledger.transaction() as tx:
        assert state(tx) == int(done) + 1
        assert losses.unreconciled(tx) == []
