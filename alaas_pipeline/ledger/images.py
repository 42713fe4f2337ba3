"""Images of a pool: files seen in the source, distinct contents, and which of them have a vector."""

from dataclasses import dataclass

from alaas_pipeline.ledger.database import Row, Transaction, now

LIVE = "EXISTS (SELECT 1 FROM image_files f WHERE f.pool = i.pool AND f.digest = i.digest AND f.gone_at IS NULL)"


@dataclass(frozen=True)
class Counts:
    """How many of a pool's images are where.

    `total` = `selected` + `remaining`, in distinct contents; those imported with labels count as selected. `refused` and
    `duplicates` count files that stand beside them: the first cannot be used, the others repeat the bytes of an image. `embedded`
    counts vectors.
    """

    total: int
    selected: int
    remaining: int
    refused: int
    duplicates: int
    embedded: int


@dataclass(frozen=True)
class Replaced:
    """A file whose bytes are others than before.

    Attributes:
        path: of the file.
        before: digest of the old image.
        now: digest of the new one.
        retired: whether the old image stands nowhere else, so that it is not picked any more.
        picked: whether a round has picked the old image; its labels stay with it.
    """

    path: str
    before: str
    now: str
    retired: bool
    picked: bool


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
    if gone:
        with tx.given([{"path": path} for path in gone]):
            tx.run("UPDATE image_files SET gone_at = ? WHERE pool = ? AND path IN (SELECT path FROM given)", at, pool)


def replaced(tx: Transaction, pool: str, before: dict[str, str]) -> list[Replaced]:
    """Tell what became of the images that files held before (path -> digest), in order of path."""
    if not before:
        return []
    with tx.given([{"path": path, "digest": digest} for path, digest in before.items()]):
        rows = tx.rows(
            "SELECT g.path, g.digest AS before, n.digest AS now, NOT EXISTS (SELECT 1 FROM image_files f WHERE f.pool = n.pool "
            "AND f.digest = g.digest AND f.gone_at IS NULL) AS retired, "
            "EXISTS (SELECT 1 FROM selections s WHERE s.pool = n.pool AND s.digest = g.digest) AS picked "
            "FROM given g JOIN image_files n ON n.pool = ? AND n.path = g.path ORDER BY g.path",
            pool,
        )
    return [Replaced(**row) for row in rows]


def to_embed(tx: Transaction, pool: str, encoder_id: str) -> list[str]:
    """Return digests of accepted, present images without a vector of this encoder, in byte order."""
    return tx.column(
        f"SELECT i.digest FROM images i WHERE i.pool = ? AND i.state = 'accepted' AND {LIVE} AND NOT EXISTS "
        "(SELECT 1 FROM embeddings e WHERE e.pool = i.pool AND e.digest = i.digest AND e.encoder_id = ?) ORDER BY i.digest",
        pool, encoder_id,
    )  # fmt: skip


def record_embedded(
    tx: Transaction,
    pool: str,
    encoder_id: str,
    part: str,
    digests: list[str],
    failed: dict[str, str],
    operation_id: str,
) -> None:
    """Write which images a part file holds vectors of, which failed and why, and the operation that paid for it."""
    at = now()
    common = {"pool": pool, "encoder_id": encoder_id, "embedded_at": at, "operation_id": operation_id}
    tx.insert(
        "embeddings",
        [{**common, "digest": digest, "part": part, "reason": None} for digest in digests]
        + [{**common, "digest": digest, "part": None, "reason": reason} for digest, reason in sorted(failed.items())],
    )


def forget_failures(tx: Transaction, pool: str) -> None:
    """Let images that failed to be embedded be tried again."""
    tx.run("DELETE FROM embeddings WHERE pool = ? AND part IS NULL", pool)


def forget_part(tx: Transaction, pool: str, part: str) -> dict[str, int]:
    """Forget the vectors of a part file that is lost; return how many each operation had paid for."""
    paid = {
        row["operation_id"]: row["vectors"]
        for row in tx.rows(
            "SELECT operation_id, count(*) AS vectors FROM embeddings WHERE pool = ? AND part = ? GROUP BY operation_id",
            pool,
            part,
        )
    }
    tx.run("DELETE FROM embeddings WHERE pool = ? AND part = ?", pool, part)
    tx.note(f"{pool}: part {part} is lost, its images are to be embedded again")
    return paid


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


def near_duplicates_due(tx: Transaction, pool: str) -> bool:
    """Say whether the vectors that serve the pool are others than those that near duplicates were marked for."""
    return tx.value("SELECT near_duplicates_of FROM pools WHERE pool = ?", pool) != _served(tx, pool)


def _served(tx: Transaction, pool: str) -> str | None:
    return tx.value(
        "SELECT p.encoder_id || ' ' || count(e.digest) FROM pools p LEFT JOIN embeddings e "
        "ON e.pool = p.pool AND e.encoder_id = p.encoder_id AND e.part IS NOT NULL WHERE p.pool = ? GROUP BY p.encoder_id",
        pool,
    )


def set_near_duplicates(tx: Transaction, pool: str, groups: dict[str, str]) -> None:
    """Write each image's near-duplicate representative (digest -> digest), and for which vectors that is."""
    tx.run("UPDATE pools SET near_duplicates_of = ? WHERE pool = ?", _served(tx, pool), pool)
    tx.run("UPDATE images SET near_duplicate_of = NULL WHERE pool = ? AND near_duplicate_of IS NOT NULL", pool)
    pairs = [{"digest": one, "representative": other} for one, other in groups.items() if one != other]
    if pairs:
        with tx.given(pairs):
            tx.run(
                "UPDATE images SET near_duplicate_of = g.representative FROM given g WHERE images.pool = ? AND images.digest = g.digest",
                pool,
            )


def not_pickable(tx: Transaction, pool: str) -> list[str]:
    """Return digests that must never be picked: unfit for the platform, no longer in the source, or of a test set."""
    return tx.column(
        f"SELECT i.digest FROM images i WHERE i.pool = ? AND (i.unfit_reason IS NOT NULL OR NOT {LIVE} OR EXISTS "
        "(SELECT 1 FROM imported_images m WHERE m.pool = i.pool AND m.digest = i.digest AND m.test_set))",
        pool,
    )


def selected(tx: Transaction, pool: str) -> list[str]:
    """Return digests picked in any round, or imported with labels and not as a test set, in byte order."""
    return tx.column(
        "SELECT digest FROM selections WHERE pool = ? UNION "
        "SELECT digest FROM imported_images WHERE pool = ? AND NOT test_set ORDER BY digest",
        pool, pool,
    )  # fmt: skip


def digests_by_path(tx: Transaction, pool: str) -> dict[str, str]:
    """Return path -> digest of every file that stands in the source now and could be read."""
    rows = tx.rows(
        "SELECT path, digest FROM image_files WHERE pool = ? AND gone_at IS NULL AND digest IS NOT NULL", pool
    )
    return {row["path"]: row["digest"] for row in rows}


def near_groups(tx: Transaction, pool: str) -> dict[str, str]:
    """Return digest -> the digest that stands for its near duplicates, its own where it has none."""
    rows = tx.rows("SELECT digest, coalesce(near_duplicate_of, digest) AS leader FROM images WHERE pool = ?", pool)
    return {row["digest"]: row["leader"] for row in rows}


def ids(tx: Transaction, pool: str) -> dict[str, str]:
    """Return digest -> image id for the whole pool."""
    return {
        row["digest"]: row["image_id"] for row in tx.rows("SELECT digest, image_id FROM images WHERE pool = ?", pool)
    }


def details(tx: Transaction, pool: str, digests: list[str]) -> dict[str, Row]:
    """Return digest -> image row with `path`, a path where the bytes stand now (None when gone)."""
    if not digests:
        return {}
    with tx.given([{"digest": digest} for digest in digests]):
        rows = tx.rows(
            "SELECT i.*, f.path FROM images i LEFT JOIN (SELECT digest, min(path) AS path FROM image_files "
            "WHERE pool = ? AND gone_at IS NULL AND digest IN (SELECT digest FROM given) GROUP BY digest) f ON f.digest = i.digest "
            "WHERE i.pool = ? AND i.digest IN (SELECT digest FROM given)",
            pool, pool,
        )  # fmt: skip
    return {row["digest"]: row for row in rows}


_REASON = "coalesce(f.reason, i.reason, i.unfit_reason, e.reason)"
_REFUSALS = (
    f"SELECT f.path, f.digest, {_REASON} AS reason FROM image_files f "
    "LEFT JOIN images i ON i.pool = f.pool AND i.digest = f.digest "
    "LEFT JOIN pools p ON p.pool = f.pool "
    "LEFT JOIN embeddings e ON e.pool = f.pool AND e.digest = f.digest AND e.encoder_id = p.encoder_id "
    f"WHERE f.pool = ? AND f.gone_at IS NULL AND {_REASON} IS NOT NULL"
)
_DUPLICATES = (
    "SELECT f.path, i.image_id FROM image_files f JOIN images i ON i.pool = f.pool AND i.digest = f.digest "
    "WHERE f.pool = ? AND f.gone_at IS NULL AND f.path <> i.image_id "
    "AND EXISTS (SELECT 1 FROM image_files g WHERE g.pool = f.pool AND g.digest = f.digest AND g.gone_at IS NULL "
    "AND (g.path = i.image_id OR g.path < f.path))"
)


def refusals(tx: Transaction, pool: str) -> list[Row]:
    """Return path, digest and reason of every present file that cannot be picked: unreadable (no digest), refused, unfit, or not embedded."""
    return tx.rows(f"{_REFUSALS} ORDER BY f.path", pool)


def duplicates(tx: Transaction, pool: str) -> list[Row]:
    """Return path and image id of every present file that repeats the bytes of another."""
    return tx.rows(f"{_DUPLICATES} ORDER BY f.path", pool)


def counts(tx: Transaction, pool: str) -> Counts:
    """Count a pool's images; see `Counts`."""
    row = tx.row(
        "SELECT count(*) FILTER (usable OR picked) AS total, count(*) FILTER (picked) AS selected, "
        "count(*) FILTER (usable AND NOT picked) AS remaining, count(*) FILTER (embedded) AS embedded FROM ("
        "SELECT s.digest IS NOT NULL OR m.digest IS NOT NULL AS picked, e.part IS NOT NULL AS embedded, "
        "i.state = 'accepted' AND i.unfit_reason IS NULL AND f.digest IS NOT NULL AND (e.digest IS NULL OR e.part IS NOT NULL) AS usable "
        "FROM images i JOIN pools p ON p.pool = i.pool "
        "LEFT JOIN (SELECT DISTINCT digest FROM image_files WHERE pool = ? AND gone_at IS NULL) f ON f.digest = i.digest "
        "LEFT JOIN selections s ON s.pool = i.pool AND s.digest = i.digest "
        "LEFT JOIN imported_images m ON m.pool = i.pool AND m.digest = i.digest "
        "LEFT JOIN embeddings e ON e.pool = i.pool AND e.digest = i.digest AND e.encoder_id = p.encoder_id WHERE i.pool = ?)",
        pool, pool,
    )  # fmt: skip
    assert row is not None
    refused, repeated = (tx.value(f"SELECT count(*) FROM ({sql})", pool) for sql in (_REFUSALS, _DUPLICATES))
    return Counts(refused=refused, duplicates=repeated, **row)
