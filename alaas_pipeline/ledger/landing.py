"""Landed labels: append-only; each landed export of a round is a version, the newest is the current one."""

import json
from dataclasses import dataclass

from alaas_pipeline.ledger.database import Row, Transaction, now


@dataclass(frozen=True)
class Outcome:
    """What came back for one pushed image: labelled, refused or pending."""

    digest: str
    outcome: str
    labels: list[str]
    annotations: list[dict]
    reason: str | None


@dataclass(frozen=True)
class Books:
    """A round's balance: sent = labelled + refused + pending, in images; picks not sent yet are in none of them."""

    sent: int
    labelled: int
    refused: int
    pending: int


def record(
    tx: Transaction,
    pool: str,
    round_key: str,
    *,
    export_uid: str,
    export_digest: str,
    schema: list[str],
    schema_digest: str,
    file: str,
    outcomes: list[Outcome],
    quarantined: list[tuple[str, dict]],
) -> int:
    """Write one landed export as a new version and return its number; the same bytes again change nothing."""
    known = tx.value("SELECT version FROM landings WHERE round = ? AND export_digest = ?", round_key, export_digest)
    if known is not None:
        return known
    version = tx.value("SELECT coalesce(max(version), 0) + 1 FROM landings WHERE round = ?", round_key)
    tx.note(f"{round_key}: export {export_uid} landed as version {version}, {len(outcomes)} images")
    tx.insert(
        "landings",
        [
            {
                "round": round_key, "version": version, "export_uid": export_uid, "export_digest": export_digest,
                "schema_digest": schema_digest, "label_schema": json.dumps(schema), "file": file, "records": len(outcomes) + len(quarantined),
                "landed_at": now(),
            }
        ],
    )  # fmt: skip
    tx.insert(
        "annotations",
        [
            {
                "round": round_key, "version": version, "pool": pool, "digest": one.digest, "outcome": one.outcome,
                "labels": json.dumps(one.labels), "annotations": json.dumps(one.annotations), "reason": one.reason,
            }
            for one in outcomes
        ],
    )  # fmt: skip
    tx.insert(
        "quarantined_records",
        [
            {"round": round_key, "version": version, "number": number, "reason": reason, "record": json.dumps(sample)}
            for number, (reason, sample) in enumerate(quarantined, start=1)
        ],
    )
    return version


def files(tx: Transaction, round_key: str) -> list[str]:
    """Return the stored files of a round's landed exports, oldest first."""
    return tx.column("SELECT file FROM landings WHERE round = ? ORDER BY version", round_key)


def current(tx: Transaction, round_key: str) -> list[Row]:
    """Return the newest landed outcomes of a round, with image ids and label lists, in pick order."""
    rows = tx.rows(
        "SELECT a.digest, i.image_id, a.outcome, a.labels, a.reason, s.position, s.kind, i.shown_width AS width, i.shown_height AS height, "
        "coalesce(i.near_duplicate_of, i.digest) AS near_group "
        "FROM annotations a JOIN images i ON i.pool = a.pool AND i.digest = a.digest "
        "LEFT JOIN selections s ON s.pool = a.pool AND s.digest = a.digest "
        "WHERE a.round = ? AND a.version = (SELECT max(version) FROM landings WHERE round = ?) ORDER BY s.position, i.image_id",
        round_key, round_key,
    )  # fmt: skip
    return [{**row, "labels": json.loads(row["labels"])} for row in rows]


def quarantined(tx: Transaction, round_key: str) -> list[Row]:
    """Return the records of the newest landed export that could not be landed, with reasons."""
    return tx.rows(
        "SELECT reason, record FROM quarantined_records WHERE round = ? AND version = (SELECT max(version) FROM landings WHERE round = ?) "
        "ORDER BY number",
        round_key, round_key,
    )  # fmt: skip


def books(tx: Transaction, round_key: str) -> Books:
    """Balance a round: every image sent is labelled, refused or pending."""
    sent = tx.value("SELECT count(*) FROM pushed_images WHERE round = ? AND uploaded_at IS NOT NULL", round_key)
    tally = {"labelled": 0, "refused": 0}
    for row in current(tx, round_key):
        if row["outcome"] in tally:
            tally[row["outcome"]] += 1
    return Books(sent, tally["labelled"], tally["refused"], sent - tally["labelled"] - tally["refused"])
