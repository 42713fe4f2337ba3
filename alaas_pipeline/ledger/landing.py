"""Landed labels: append-only; each landed export of a round is a version, and the newest of those that serve is the current one."""

import json
from dataclasses import dataclass
from typing import Any

from alaas_pipeline.ledger import label_names
from alaas_pipeline.ledger.database import Row, Transaction, now

# Rows from before versions had a state serve.
_STATE = "coalesce(state, 'serves')"
_SERVING = f"(SELECT max(version) FROM landings WHERE round = ? AND {_STATE} = 'serves')"


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


@dataclass(frozen=True)
class Version:
    """One landed export of a round.

    Attributes:
        state: `serves`, `held` until a person decides, `refused`, or `same` as a version before it and therefore not kept again.
        schema: the names of its labels.
        differs: how it differs from the version that served when it came, as `labels.diff` tells it; None when nothing served.
        held_for: why it waits, or waited, for a person.
    """

    version: int
    state: str
    export_uid: str
    file: str
    schema: list[str]
    differs: dict[str, Any] | None
    held_for: str | None
    decided_by: str | None


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
    state: str = "serves",
    differs: dict[str, Any] | None = None,
    held_for: str | None = None,
) -> int:
    """Write one landed export as a new version and return its number; the same export with the same bytes changes nothing.

    A version of which the labels stand in the ledger already is written as `same`, without outcomes. Any other one takes the place of
    one that still waits for a person. The first names of a pool are accepted with its first version that serves.
    """
    known = tx.value(
        "SELECT version FROM landings WHERE round = ? AND export_uid = ? AND export_digest = ?", round_key, export_uid, export_digest
    )  # fmt: skip
    if known is not None:
        return known
    version = tx.value("SELECT coalesce(max(version), 0) + 1 FROM landings WHERE round = ?", round_key)
    tx.note(f"{round_key}: export {export_uid} landed as version {version} ({state}), {len(outcomes)} images")
    if state == "serves" and not label_names.accepted(tx, pool):
        label_names.accept(tx, pool, schema, round_key, "first landing")
    if state != "same":
        tx.run(
            "UPDATE landings SET state = 'refused', decided_by = ?, decided_at = ? WHERE round = ? AND state = 'held'",
            f"version {version}, which came after it", now(), round_key,
        )  # fmt: skip
    tx.insert(
        "landings",
        [
            {
                "round": round_key, "version": version, "export_uid": export_uid, "export_digest": export_digest,
                "schema_digest": schema_digest, "label_schema": json.dumps(schema), "file": file, "records": len(outcomes) + len(quarantined),
                "landed_at": now(), "state": state, "differs": None if differs is None else json.dumps(differs), "held_for": held_for,
            }
        ],
    )  # fmt: skip
    if state == "same":
        return version
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


def versions(tx: Transaction, round_key: str) -> list[Version]:
    """Return all versions of a round's labels, oldest first."""
    rows = tx.rows(
        f"SELECT version, {_STATE} AS state, export_uid, file, label_schema, differs, held_for, decided_by FROM landings "
        "WHERE round = ? ORDER BY version",
        round_key,
    )
    return [
        Version(
            row["version"], row["state"], row["export_uid"], row["file"], json.loads(row["label_schema"]),
            None if row["differs"] is None else json.loads(row["differs"]), row["held_for"], row["decided_by"],
        )
        for row in rows
    ]  # fmt: skip


def foremost(tx: Transaction, round_key: str) -> Version | None:
    """Return the version that people should hear of: one that waits for them, else the one that serves, else the newest; None without any."""
    known = versions(tx, round_key)
    for state in ("held", "serves"):
        if found := [one for one in known if one.state == state]:
            return found[-1]
    return known[-1] if known else None


def serving(tx: Transaction, round_key: str) -> int | None:
    """Return the number of the version that serves; None when none does."""
    return tx.value(f"SELECT {_SERVING}", round_key)


def files(tx: Transaction, round_key: str) -> list[str]:
    """Return the stored files of a round's landed exports, oldest first."""
    return tx.column("SELECT file FROM landings WHERE round = ? ORDER BY version", round_key)


def outcomes(tx: Transaction, round_key: str, version: int) -> list[Outcome]:
    """Return what one version says of each image."""
    return [
        Outcome(row["digest"], row["outcome"], json.loads(row["labels"]), json.loads(row["annotations"]), row["reason"])
        for row in tx.rows(
            "SELECT digest, outcome, labels, annotations, reason FROM annotations WHERE round = ? AND version = ? ORDER BY digest",
            round_key, version,
        )
    ]  # fmt: skip


def current(tx: Transaction, round_key: str) -> list[Row]:
    """Return the outcomes of the version that serves, with image ids and label lists, in pick order."""
    rows = tx.rows(
        "SELECT a.digest, i.image_id, a.outcome, a.labels, a.reason, s.position, s.kind, i.shown_width AS width, i.shown_height AS height, "
        "coalesce(i.near_duplicate_of, i.digest) AS near_group "
        "FROM annotations a JOIN images i ON i.pool = a.pool AND i.digest = a.digest "
        "LEFT JOIN selections s ON s.pool = a.pool AND s.digest = a.digest "
        f"WHERE a.round = ? AND a.version = {_SERVING} ORDER BY s.position, i.image_id",
        round_key, round_key,
    )  # fmt: skip
    return [{**row, "labels": json.loads(row["labels"])} for row in rows]


def quarantined(tx: Transaction, round_key: str) -> list[Row]:
    """Return the records of the version that serves that could not be landed, with reasons."""
    return tx.rows(
        f"SELECT reason, record FROM quarantined_records WHERE round = ? AND version = {_SERVING} ORDER BY number",
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
