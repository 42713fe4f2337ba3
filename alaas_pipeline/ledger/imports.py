"""Imports: labels that were there before. Their images are never picked; those of a test set are never trained on either."""

import re
from dataclasses import dataclass

from alaas_pipeline.ledger.database import Row, Transaction, now

IMPORT_KEY = re.compile(r"^(?P<pool>[a-z0-9_]+)\.i(?P<number>\d{4})$")


@dataclass(frozen=True)
class Import:
    """One import. Its landing stands in `landings` and `annotations` under its key, as that of a round does."""

    key: str
    pool: str
    number: int
    origin: str
    test_set: bool
    imported_by: str
    imported_at: str


def open_next(tx: Transaction, pool: str, origin: str, digests: list[str], *, test_set: bool, by: str) -> Import:
    """Write the pool's next import and the images that it labels. An image that was imported before breaks the table's key."""
    number = tx.value("SELECT coalesce(max(number), 0) + 1 FROM imports WHERE pool = ?", pool)
    made = Import(f"{pool}.i{number:04d}", pool, number, origin, test_set, by, now())
    row = {name: value for name, value in vars(made).items() if name != "key"}
    tx.insert("imports", [{"import": made.key, **row}])
    tx.insert(
        "imported_images",
        [{"pool": pool, "digest": digest, "import": made.key, "test_set": test_set} for digest in digests],
    )
    tx.note(
        f"{made.key}: imported {len(digests)} labelled images from {origin}" + (", as test set" if test_set else "")
    )
    return made


def of_pool(tx: Transaction, pool: str) -> list[Import]:
    """Return the pool's imports, oldest first."""
    return [_import(row) for row in tx.rows("SELECT * FROM imports WHERE pool = ? ORDER BY number", pool)]


def labelled(tx: Transaction, pool: str) -> dict[str, str]:
    """Return digest -> key of the round or import that has labelled it, is labelling it, or picked it."""
    rows = tx.rows(
        "SELECT digest, round AS taken_by FROM selections WHERE pool = ? UNION ALL "
        "SELECT digest, import AS taken_by FROM imported_images WHERE pool = ?",
        pool, pool,
    )  # fmt: skip
    return {row["digest"]: row["taken_by"] for row in rows}


def _import(row: Row) -> Import:
    return Import(
        row["import"],
        row["pool"],
        row["number"],
        row["origin"],
        row["test_set"],
        row["imported_by"],
        row["imported_at"],
    )
