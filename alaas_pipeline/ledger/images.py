"""Images of a pool: files seen in the source, distinct contents, and which of them have a vector."""

from dataclasses import dataclass

from alaas_pipeline.ledger.database import Row, Transaction, now

LIVE = "EXISTS (SELECT 1 FROM image_files f WHERE f.pool = i.pool AND f.digest = i.digest AND f.gone_at IS NULL)"


@dataclass(frozen=True)
class Counts:
    """How many of a pool's images are where.

    `total` = `selected` + `remaining`, in distinct contents. `refused` and `duplicates` count files that stand beside them:
    the first cannot be used, the others repeat the bytes of an image. `embedded` counts vectors.
    """

    total: int
    selected: int
    remaining: int
    refused: int
    duplicates: int
    embedded: int


def known_files(tx: Transaction, pool: str) -> dict[str, Row]:
    """Return path -> row of every file ever seen, so that unchanged files are not read again."""
    return {
        row["path"]: row
        for row in tx.rows("SELECT path, digest, version, reason, gone_at FROM image_files WHERE pool = ?", pool)
    }


def record_scan(tx: Transaction, pool: str, files: list[Row], images: list[Row], gone: list[str]) -> None:
    """Write one scan of the source: new or changed files, contents not seen before, and paths that are gone."""
    at = now()
    tx.insert(
        "image_files",
        [{"pool": pool, **file, "seen_at": at, "gone_at": None} for file in files],
        replace_on="pool, path",
    )
    known = set(tx.column("SELECT digest FROM images WHERE pool = ?", pool))
    tx.insert("images", [{"pool": pool, **image, "added_at": at} for image in images if image["digest"] not in known])
    for path in gone:
        tx.run("UPDATE image_files SET gone_at = ? WHERE pool = ? AND path = ?", at, pool, path)


def to_embed(tx: Transaction, pool: str, encoder_id: str) -> list[str]:
    """Return digests of accepted, present images without a vector of this encoder, in byte order."""
    return tx.column(
        f"SELECT i.digest FROM images i WHERE i.pool = ? AND i.state = 'accepted' AND {LIVE} AND NOT EXISTS "
        "(SELECT 1 FROM embeddings e WHERE e.pool = i.pool AND e.digest = i.digest AND e.encoder_id = ?) ORDER BY i.digest",
        pool, encoder_id,
    )  # fmt: skip


def record_embedded(
    tx: Transaction, pool: str, encoder_id: str, part: str, digests: list[str], failed: dict[str, str]
) -> None:
    """Write which images a part file holds vectors of, and which failed and why."""
    at = now()
    common = {"pool": pool, "encoder_id": encoder_id, "embedded_at": at}
    tx.insert(
        "embeddings",
        [{**common, "digest": digest, "part": part, "reason": None} for digest in digests]
        + [{**common, "digest": digest, "part": None, "reason": reason} for digest, reason in sorted(failed.items())],
    )


def forget_failures(tx: Transaction, pool: str) -> None:
    """Let images that failed to be embedded be tried again."""
    tx.run("DELETE FROM embeddings WHERE pool = ? AND part IS NULL", pool)


def parts(tx: Transaction, pool: str, encoder_id: str) -> list[str]:
    """Return the part files of an encoder, in order of name."""
    return tx.column(
        "SELECT DISTINCT part FROM embeddings WHERE pool = ? AND encoder_id = ? AND part IS NOT NULL ORDER BY part",
        pool,
        encoder_id,
    )


def embedded(tx: Transaction, pool: str, encoder_id: str) -> list[str]:
    """Return digests that have a vector of this encoder."""
    return tx.column(
        "SELECT digest FROM embeddings WHERE pool = ? AND encoder_id = ? AND part IS NOT NULL ORDER BY digest",
        pool,
        encoder_id,
    )


def set_near_duplicates(tx: Transaction, pool: str, groups: dict[str, str]) -> None:
    """Write each image's near-duplicate representative (digest -> digest)."""
    tx.run("UPDATE images SET near_duplicate_of = NULL WHERE pool = ? AND near_duplicate_of IS NOT NULL", pool)
    for digest, representative in groups.items():
        if digest != representative:
            tx.run(
                "UPDATE images SET near_duplicate_of = ? WHERE pool = ? AND digest = ?", representative, pool, digest
            )


def not_pickable(tx: Transaction, pool: str) -> list[str]:
    """Return digests that must never be picked: unfit for the platform, or no longer in the source."""
    return tx.column(
        f"SELECT i.digest FROM images i WHERE i.pool = ? AND (i.unfit_reason IS NOT NULL OR NOT {LIVE})", pool
    )


def selected(tx: Transaction, pool: str) -> list[str]:
    """Return digests picked in any round, in byte order."""
    return tx.column("SELECT digest FROM selections WHERE pool = ? ORDER BY digest", pool)


def ids(tx: Transaction, pool: str) -> dict[str, str]:
    """Return digest -> image id for the whole pool."""
    return {
        row["digest"]: row["image_id"] for row in tx.rows("SELECT digest, image_id FROM images WHERE pool = ?", pool)
    }


def details(tx: Transaction, pool: str, digests: list[str]) -> dict[str, Row]:
    """Return digest -> image row with `path`, a path where the bytes stand now (None when gone)."""
    rows = tx.rows(
        "SELECT i.*, (SELECT min(f.path) FROM image_files f WHERE f.pool = i.pool AND f.digest = i.digest AND f.gone_at IS NULL) AS path "
        "FROM images i WHERE i.pool = ? AND list_contains(?, i.digest)",
        pool, digests,
    )  # fmt: skip
    return {row["digest"]: row for row in rows}


def refusals(tx: Transaction, pool: str) -> list[Row]:
    """Return path and reason of every present file that cannot be picked: unreadable, refused, unfit, or not embedded."""
    reason = "coalesce(f.reason, i.reason, i.unfit_reason, e.reason)"
    return tx.rows(
        f"SELECT f.path, f.digest, {reason} AS reason FROM image_files f "
        "LEFT JOIN images i ON i.pool = f.pool AND i.digest = f.digest "
        "LEFT JOIN pools p ON p.pool = f.pool "
        "LEFT JOIN embeddings e ON e.pool = f.pool AND e.digest = f.digest AND e.encoder_id = p.encoder_id "
        f"WHERE f.pool = ? AND f.gone_at IS NULL AND {reason} IS NOT NULL ORDER BY f.path",
        pool,
    )


def duplicates(tx: Transaction, pool: str) -> list[Row]:
    """Return path and image id of every present file that repeats the bytes of another."""
    return tx.rows(
        "SELECT f.path, i.image_id FROM image_files f JOIN images i ON i.pool = f.pool AND i.digest = f.digest "
        "WHERE f.pool = ? AND f.gone_at IS NULL AND f.path <> i.image_id "
        "AND EXISTS (SELECT 1 FROM image_files g WHERE g.pool = f.pool AND g.digest = f.digest AND g.gone_at IS NULL "
        "AND (g.path = i.image_id OR g.path < f.path)) ORDER BY f.path",
        pool,
    )


def counts(tx: Transaction, pool: str) -> Counts:
    """Count a pool's images; see `Counts`."""
    picked = "EXISTS (SELECT 1 FROM selections s WHERE s.pool = i.pool AND s.digest = i.digest)"
    vector = "(SELECT e.part IS NOT NULL FROM embeddings e WHERE e.pool = i.pool AND e.digest = i.digest AND e.encoder_id = p.encoder_id)"
    usable = f"i.state = 'accepted' AND i.unfit_reason IS NULL AND {LIVE} AND coalesce({vector}, true)"
    row = tx.row(
        f"SELECT count(*) FILTER (({usable}) OR {picked}) AS total, count(*) FILTER ({picked}) AS selected, "
        f"count(*) FILTER ({usable} AND NOT {picked}) AS remaining, "
        f"count(*) FILTER (coalesce({vector}, false)) AS embedded "
        "FROM images i JOIN pools p ON p.pool = i.pool WHERE i.pool = ?",
        pool,
    )
    assert row is not None
    return Counts(refused=len(refusals(tx, pool)), duplicates=len(duplicates(tx, pool)), **row)
