"""One DuckDB file behind short, locked transactions.

DuckDB lets one process at a time open a file for writing, readers included. So every transaction takes a lock
of the operating system, attaches the file, works for milliseconds, and detaches it. No connection is held while
something is computed or sent. The lock dies with its process.

Every transaction that changes something has a number. The commit log beside the file counts along: a number that only
the log knows is a loss, which is told loudly and kept until it is reconciled.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger.commit_log import Commit, CommitLog
from alaas_pipeline.locks import locked

log = logging.getLogger(__name__)

Row = dict[str, Any]

# How a new file is laid out. Many small tables are opened and closed in a third of the time, and take a fifth of the room, that they do by default.
_NEW = "STORAGE_VERSION 'v1.4.0', BLOCK_SIZE 16384"


def now() -> str:
    """The current time as the ledger writes it: ISO 8601, UTC, microseconds, so that text order is time order."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Transaction:
    """An open transaction. SQL stays within what a DuckDB file and an attached PostgreSQL both accept."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.changed = False
        self.notes: list[str] = []

    def note(self, what: str) -> None:
        """Say in a short line what this transaction changes; it goes into the history and the commit log."""
        self.notes.append(what)

    def run(self, sql: str, *values: object) -> None:
        """Execute a statement that changes something."""
        self.changed = True
        self._connection.execute(sql, list(values))

    def rows(self, sql: str, *values: object) -> list[Row]:
        """Return all rows of a query as mappings."""
        cursor = self._connection.execute(sql, list(values))
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def row(self, sql: str, *values: object) -> Row | None:
        """Return the first row of a query, or None."""
        found = self.rows(sql, *values)
        return found[0] if found else None

    def value(self, sql: str, *values: object) -> Any:
        """Return the first column of the first row, or None."""
        found = self._connection.execute(sql, list(values)).fetchall()
        return found[0][0] if found else None

    def column(self, sql: str, *values: object) -> list[Any]:
        """Return the first column of all rows."""
        return [row[0] for row in self._connection.execute(sql, list(values)).fetchall()]

    def insert(self, table: str, rows: Sequence[Row], *, replace_on: str | None = None) -> None:
        """Insert rows that all have the same columns; many rows go in as one Arrow table.

        Args:
            table: the table's name.
            rows: column name to value.
            replace_on: the key columns; a row whose key is there already replaces the old one.
        """
        if not rows:
            return
        names = list(rows[0])
        columns = ", ".join(names)
        conflict = ""
        if replace_on:
            changed = [name for name in names if name not in replace_on.split(", ")]
            conflict = f" ON CONFLICT ({replace_on}) DO UPDATE SET " + ", ".join(
                f"{name} = excluded.{name}" for name in changed
            )
        if len(rows) <= 50:
            marks = ", ".join("?" * len(names))
            for row in rows:
                self.run(f"INSERT INTO {table} ({columns}) VALUES ({marks}){conflict}", *(row[name] for name in names))
            return
        with self.given(rows):
            self.run(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM given WHERE true{conflict}")

    @contextmanager
    def given(self, rows: Sequence[Row]) -> Iterator[None]:
        """Let statements in the block read these rows, which all have the same columns, as the table `given`."""
        import pyarrow as pa

        self._connection.register("given", pa.Table.from_pylist(list(rows)))
        try:
            yield
        finally:
            self._connection.unregister("given")


class Ledger:
    """The ledger file of one installation."""

    def __init__(self, path: Path, *, lock_timeout_s: float = 120.0) -> None:
        """Name the file; it is made, or brought to the newest schema, at the first transaction."""
        self.path = Path(path)
        self.log = CommitLog(self.path.with_name(f"{self.path.name}.commits"))
        self._timeout_s = lock_timeout_s
        self._ready = False

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open the file, yield a transaction, commit it; roll back when the block raises.

        Raises:
            UserError: another process kept the file for longer than the time-out, or the file cannot be opened or written.
        """
        with self.held(), self._attached() as connection:
            connection.begin()
            tx = Transaction(connection)
            try:
                yield tx
                commit = _number(tx) if tx.changed else None
            except BaseException:
                connection.rollback()
                raise
            self._commit(connection, commit)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep all others away from the file."""
        with locked(self.path.with_name(f"{self.path.name}.lock"), f"the ledger {self.path}", self._timeout_s):
            yield

    def _commit(self, connection: duckdb.DuckDBPyConnection, commit: Commit | None) -> None:
        """The one place where anything becomes true."""
        try:
            connection.commit()
        except duckdb.Error as error:
            raise UserError(
                f"The ledger {self.path} cannot be written: {_told(error)} Nothing was changed. Is the disk full?"
            ) from None
        try:
            if commit:
                self.log.append(commit)
        except OSError as error:
            raise UserError(
                f"The ledger {self.path} was changed, but {self.log.path} beside it cannot be written: {error.strerror}. Is the disk full?"
            ) from None

    @contextmanager
    def _attached(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = _engine()
        # A file that was taken away is made anew; what it held is then a loss that the log tells of.
        known = self._ready and self.path.exists()
        self._attach(connection)
        try:
            connection.execute("USE ledger")
            if not known:
                _migrate(connection)
                self._ready = True
            self._look_for_losses(connection)
            yield connection
        finally:
            self._detach(connection)

    def _detach(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("USE memory")
        try:
            connection.execute("DETACH ledger")
        except duckdb.Error as error:
            # What was committed is in the write-ahead file; the next opening folds it in.
            log.error(
                "The ledger's write-ahead file could not be folded into it: %s Nothing is lost. Is the disk full?",
                _told(error),
            )
            del _local.connection, _local.pid
            connection.close()

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        attach = f"ATTACH '{quoted(self.path)}' AS ledger" + ("" if self.path.exists() else f" ({_NEW})")
        try:
            connection.execute(attach)
            return
        except duckdb.Error as error:
            wal = self.path.with_name(f"{self.path.name}.wal")
            if "WAL" not in str(error).replace(str(self.path), "") or not wal.exists():
                raise self._unusable(error) from None
        aside = set_aside(wal, "damaged")
        log.error(
            "The ledger's write-ahead file was damaged. It is kept as %s; going on from the last checkpoint.", aside
        )
        try:
            connection.execute(attach)
        except duckdb.Error as error:
            raise self._unusable(error) from None

    def _unusable(self, error: duckdb.Error) -> UserError:
        return UserError(
            f"The ledger {self.path} cannot be opened: {_told(error)} "
            "End other programs that have it open; if it is damaged: alaas-pipeline restore FILE"
        )

    def _look_for_losses(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Keep what the log knows and the ledger does not, and count on from there."""
        have, known = connection.execute("SELECT number FROM commits").fetchall()[0][0], self.log.last()
        if known <= have:
            return
        lost = [f"{commit.at} {line}" for commit in self.log.since(have) for line in commit.what]
        connection.begin()
        connection.execute(
            "INSERT INTO losses VALUES (?, ?, ?, ?, NULL)",
            [have + 1, known, json.dumps(lost, ensure_ascii=False), now()],
        )
        connection.execute("UPDATE commits SET number = ?", [known])
        connection.commit()
        log.error(
            "The ledger lacks commits %d to %d, which its log knows: it was damaged, or restored from an older copy. "
            "Run 'alaas-pipeline reconcile'. Lost: %s",
            have + 1, known, "; ".join(lost) or "nothing that matters to rounds, effects, credits or money",
        )  # fmt: skip


_local = threading.local()
_inherited: list[duckdb.DuckDBPyConnection] = []


def _engine() -> duckdb.DuckDBPyConnection:
    """An empty database in memory, one for each thread: attaching a file to it is thirty times faster than opening one.

    It works alone: for transactions this short, waking other threads costs more than they do.
    """
    if getattr(_local, "pid", None) != os.getpid():
        # A forked child must not touch its parent's, not even to close it.
        if hasattr(_local, "connection"):
            _inherited.append(_local.connection)
        _local.connection, _local.pid = duckdb.connect(":memory:", config={"threads": 1}), os.getpid()
    return _local.connection


def _told(error: duckdb.Error) -> str:
    return f"{' '.join(str(error).split()).rstrip('.')}."


def quoted(path: Path) -> str:
    """Write a path so that it may stand between SQL's single quotes."""
    return str(path).replace("'", "''")


def _number(tx: Transaction) -> Commit:
    """Number the transaction and write its history."""
    number, at = tx.value("SELECT number + 1 FROM commits"), now()
    tx.run("UPDATE commits SET number = ?", number)
    tx.insert("history", [{"number": number, "committed_at": at, "what": what} for what in tx.notes])
    return Commit(number, at, tuple(tx.notes))


def set_aside(path: Path, why: str) -> Path:
    """Rename a file so that it says why and when it was put away; return its new path."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = path.with_name(f"{path.name}.{why}-{stamp}")
    os.replace(path, target)
    return target


def _migrations() -> list[tuple[int, str, str]]:
    folder = resources.files("alaas_pipeline.ledger") / "schema"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name.split("_")[0]), name, (folder / name).read_text(encoding="utf-8")) for name in names]


def _migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Apply the numbered schema files that this ledger lacks, each in a transaction and followed by a checkpoint."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_versions "
        "(version INTEGER PRIMARY KEY, name VARCHAR NOT NULL, checksum VARCHAR NOT NULL, applied_at VARCHAR NOT NULL)"
    )
    applied = dict(connection.execute("SELECT version, checksum FROM schema_versions").fetchall())
    known = _migrations()
    if applied and max(applied) > max(version for version, _, _ in known):
        raise UserError(
            f"This ledger has schema version {max(applied)}, newer than this program knows. Upgrade alaas-pipeline."
        )
    for version, name, sql in known:
        checksum = hashlib.sha256(sql.encode()).hexdigest()
        if version in applied:
            if applied[version] != checksum:
                raise UserError(
                    f"Schema file {name} differs from the one this ledger was made with. Reinstall alaas-pipeline."
                )
            continue
        connection.begin()
        try:
            connection.execute(sql)
            connection.execute("INSERT INTO schema_versions VALUES (?, ?, ?, ?)", [version, name, checksum, now()])
        except BaseException:
            connection.rollback()
            raise
        connection.commit()
        # A write-ahead file that holds schema changes is what fails to replay after a crash.
        connection.execute("CHECKPOINT")
        log.info("ledger brought to schema version %d", version)
