"""One DuckDB file behind short, locked transactions.

DuckDB lets one process at a time open a file for writing, readers included. So every transaction takes a lock
of the operating system, opens the file, works for milliseconds, and closes it. No connection is held while
something is computed or sent. The lock dies with its process.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock, Timeout

from alaas_pipeline.errors import UserError

log = logging.getLogger(__name__)

Row = dict[str, Any]


def now() -> str:
    """The current time as the ledger writes it: ISO 8601, UTC, microseconds, so that text order is time order."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Transaction:
    """An open transaction. SQL stays within what a DuckDB file and an attached PostgreSQL both accept."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def run(self, sql: str, *values: object) -> None:
        """Execute a statement that returns nothing of interest."""
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
        import pyarrow as pa

        self._connection.register("new_rows", pa.Table.from_pylist(list(rows)))
        self._connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM new_rows WHERE true{conflict}")
        self._connection.unregister("new_rows")


class Ledger:
    """The ledger file of one installation."""

    def __init__(self, path: Path, *, lock_timeout_s: float = 120.0) -> None:
        """Name the file; it is made, or brought to the newest schema, at the first transaction."""
        self.path = Path(path)
        self._lock = FileLock(f"{self.path}.lock", timeout=lock_timeout_s, poll_interval=0.01)
        self._ready = False

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open the file, yield a transaction, commit it; roll back when the block raises.

        Raises:
            UserError: another process kept the file for longer than the time-out, or the file cannot be opened.
        """
        with self._locked(), self._connected() as connection:
            connection.begin()
            try:
                yield Transaction(connection)
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout:
            raise UserError(
                f"The ledger {self.path} was in use by another process for {self._lock.timeout:g} s. "
                "Nothing was changed; try again, and look for a hanging alaas-pipeline or dagster process."
            ) from None
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            connection = duckdb.connect(str(self.path))
        except duckdb.Error as error:
            raise UserError(
                f"The ledger {self.path} cannot be opened: {' '.join(str(error).split())} "
                "End other programs that have it open; if it is damaged, restore it from a copy."
            ) from None
        try:
            if not self._ready:
                _migrate(connection)
                self._ready = True
            yield connection
        finally:
            connection.close()


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
