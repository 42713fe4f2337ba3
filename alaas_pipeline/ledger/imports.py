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


def next_key(tx: Transaction, pool: str) -> str:
    """Return the key that the pool's next import will have."""
    number = tx.value("SELECT coalesce(max(number), 0) + 1 FROM imports WHERE pool = ?", pool)
    return f"{pool}.i{number:04d}"


def open_next(tx: Transaction, pool: str, origin: str, digests: list[str], *, test_set: bool, by: str) -> Import:
    """Write the pool's next import and the images that it labels. An image that was imported before breaks the table's key."""
    key = next_key(tx, pool)
    made = Import(key, pool, int(key.rpartition(".i")[2]), origin, test_set, by, now())
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


def landed_as(tx: Transaction, pool: str, *, export_uid: str | None = None, digest: str | None = None) -> Import | None:
    """Return the import that landed this export of the platform, or these bytes; None when there is none."""
    row = tx.row(
        "SELECT i.* FROM imports i JOIN landings l ON l.round = i.import WHERE i.pool = ? AND (l.export_uid = ? OR l.export_digest = ?)",
        pool, export_uid, digest,
    )  # fmt: skip
    return _import(row) if row else None


def summaries(tx: Transaction, pool: str) -> list[Row]:
    """Return the pool's imports for people, oldest first: key, origin, images, test_set, quarantined and imported_at."""
    return tx.rows(
        "SELECT i.import AS key, i.origin, (SELECT count(*) FROM imported_images m WHERE m.import = i.import) AS images, i.test_set, "
        "(SELECT count(*) FROM quarantined_records q WHERE q.round = i.import) AS quarantined, i.imported_at "
        "FROM imports i WHERE i.pool = ? ORDER BY i.number",
        pool,
    )  # fmt: skip


def images_and_files(tx: Transaction, pool: str) -> tuple[list[Row], list[Row]]:
    """Return the pool's distinct images, and path, digest and reason of the files that stand in its source now."""
    return (
        tx.rows("SELECT * FROM images WHERE pool = ? ORDER BY digest", pool),
        tx.rows("SELECT path, digest, reason FROM image_files WHERE pool = ? AND gone_at IS NULL ORDER BY path", pool),
    )


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
