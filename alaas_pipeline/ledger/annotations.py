"""Landed labels with what a training set needs to know of their images."""

import json
from dataclasses import dataclass

from alaas_pipeline.ledger.database import Row, Transaction

_NEAR = "coalesce(i.near_duplicate_of, i.digest) AS near_group"

# The image's own name while its bytes stand there, else where they stand now, else its own name unless others took the place.
_FILE = (
    "(SELECT f.path FROM image_files f WHERE f.pool = i.pool AND f.digest = i.digest AND (f.gone_at IS NULL OR f.path = i.image_id) "
    "ORDER BY f.gone_at IS NOT NULL, f.path <> i.image_id, f.path LIMIT 1) AS file"
)


@dataclass(frozen=True)
class ServingLanding:
    """The landed version of a round or an import that serves: the newest that is neither held nor refused.

    Attributes:
        key: of the round or the import.
        version: counts the landed exports of the key from 1.
        export_digest: of the file.
        schema_digest: of its label schema.
        first_landed_at: when the key's first version landed.
    """

    key: str
    version: int
    export_digest: str
    schema_digest: str
    first_landed_at: str


def serving(tx: Transaction, key: str) -> ServingLanding | None:
    """Return the landing that serves for a round or an import, or None while none does."""
    row = tx.row(
        "SELECT round AS key, version, export_digest, schema_digest, "
        "(SELECT min(landed_at) FROM landings WHERE round = ?) AS first_landed_at "
        "FROM landings WHERE round = ? AND coalesce(state, 'serves') = 'serves' ORDER BY version DESC LIMIT 1",
        key, key,
    )  # fmt: skip
    return ServingLanding(**row) if row else None


def landed_annotations(tx: Transaction, key: str) -> list[Row]:
    """Return the outcomes of the landing that serves, in order of digest.

    Each row has `digest`, `image_id`, `outcome`, `labels`, `annotations` as they landed, `reason`, `width` and `height` in pixels as
    shown, `near_group` (the representative of the image's near duplicates), and `file`: where these bytes stand in the source, or stood
    last; None where other bytes have taken their place.
    """
    landing = serving(tx, key)
    if landing is None:
        return []
    rows = tx.rows(
        f"SELECT a.digest, i.image_id, a.outcome, a.labels, a.annotations, a.reason, i.shown_width AS width, i.shown_height AS height, "
        f"{_NEAR}, {_FILE} FROM annotations a JOIN images i ON i.pool = a.pool AND i.digest = a.digest "
        "WHERE a.round = ? AND a.version = ? ORDER BY a.digest",
        key, landing.version,
    )  # fmt: skip
    return [{**row, "labels": json.loads(row["labels"]), "annotations": json.loads(row["annotations"])} for row in rows]


def classes_of(tx: Transaction, pool: str) -> dict[str, str]:
    """Return digest -> class of the pool's labelled images, but for those of test sets.

    An image with several names, as of several boxes, is of the class of them all; one that was labelled as showing nothing is of the
    class "nothing".
    """
    rows = tx.rows(
        "SELECT a.digest, a.labels FROM annotations a JOIN (SELECT round, max(version) AS version FROM landings "
        "WHERE coalesce(state, 'serves') = 'serves' GROUP BY round) l ON l.round = a.round AND l.version = a.version "
        "WHERE a.pool = ? AND a.outcome = 'labelled' AND NOT EXISTS (SELECT 1 FROM imported_images m "
        "WHERE m.pool = a.pool AND m.digest = a.digest AND m.test_set) ORDER BY a.digest, a.round",
        pool,
    )  # fmt: skip
    return {row["digest"]: " and ".join(sorted(set(json.loads(row["labels"])))) or "nothing" for row in rows}


def in_test_sets(tx: Transaction, pool: str) -> list[Row]:
    """Return `digest`, `image_id` and `near_group` of every image of the pool's test sets, labelled or not, in order of digest."""
    return tx.rows(
        f"SELECT i.digest, i.image_id, {_NEAR} FROM imported_images m JOIN images i ON i.pool = m.pool AND i.digest = m.digest "
        "WHERE m.pool = ? AND m.test_set ORDER BY i.digest",
        pool,
    )


def near_duplicates_encoder(tx: Transaction, pool: str) -> str | None:
    """Return the id of the encoder whose vectors told the pool's near duplicates, or None before they were looked for."""
    marked = tx.value("SELECT near_duplicates_of FROM pools WHERE pool = ?", pool)
    return marked.rpartition(" ")[0] if marked else None
