"""Copies of the ledger: one file, checked when it is made and before it is put back."""

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger.database import Ledger, quoted, set_aside


@dataclass(frozen=True)
class Restored:
    """What a restore did. `commits` are those of the copy, `known` those that the ledger had reached before."""

    commits: int
    known: int
    put_away: Path | None


def backup(ledger: Ledger, folder: Path) -> Path:
    """Copy the ledger into `folder` under a dated name and return the copy's path; work goes on after the milliseconds it takes.

    Raises:
        UserError: there is no ledger yet, or it cannot be opened.
    """
    if not ledger.path.exists():
        raise UserError(f"There is no ledger at {ledger.path} yet, so there is nothing to copy.")
    with ledger.transaction():
        pass  # replays what a crash left behind, and folds it into the file
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"ledger-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S.%fZ')}.duckdb"
    scratch = target.with_name(f".{target.name}.part")
    with ledger.held():
        _copy(ledger.path, scratch)
    _commits_of(scratch)
    os.replace(scratch, target)
    return target


def restore(ledger: Ledger, source: Path) -> Restored:
    """Put a copy in the ledger's place; the present file is put away beside it, under a dated name.

    What was committed after the copy was made is a loss: the commit log names it, and `reconcile` compares it with Avala.

    Raises:
        UserError: the copy is not a ledger that this program can read. Nothing was changed.
    """
    if not source.is_file():
        raise UserError(f"There is no file {source}. Copies are made with: alaas-pipeline backup")
    ledger.path.parent.mkdir(parents=True, exist_ok=True)
    scratch = ledger.path.with_name(f".{ledger.path.name}.restore")
    _copy(source, scratch)
    commits = _commits_of(scratch)
    with ledger.held():
        known, put_away = ledger.log.last(), None
        wal = ledger.path.with_name(f"{ledger.path.name}.wal")
        if wal.exists():
            set_aside(wal, "before-restore")
        if ledger.path.exists():
            put_away = set_aside(ledger.path, "before-restore")
        os.replace(scratch, ledger.path)
    with ledger.transaction():
        pass  # finds and tells the loss
    return Restored(commits, known, put_away)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _read_through(path: Path) -> None:
    """Read every row of a copy: that is when DuckDB compares the checksums.

    Raises:
        UserError: the file is damaged, or no ledger.
    """
    with duckdb.connect() as connection:
        try:
            connection.execute(f"ATTACH '{quoted(path)}' AS copy (READ_ONLY)")
            tables = connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'copy'"
            ).fetchall()
            if ("schema_versions",) not in tables:
                raise UserError("it is a database without a ledger in it.")
            for (table,) in tables:
                connection.execute(f"SELECT max(hash(one)) FROM copy.{table} AS one").fetchall()
        except duckdb.Error as error:
            raise UserError(" ".join(str(error).split())) from None


def _commits_of(path: Path) -> int:
    """Open a copy as a ledger, migrate it if it is older, and return how many commits it holds; remove it when it is none."""
    try:
        _read_through(path)
        copy = Ledger(path)
        with copy.transaction() as tx:
            return int(tx.value("SELECT number FROM commits"))
    except UserError as error:
        path.unlink(missing_ok=True)
        raise UserError(f"The copy is not a ledger that can be used: {error}") from None
    finally:
        for beside in path.parent.glob(f"{path.name}.*"):
            beside.unlink()
