"""Selections: which images a round picked, in pick order, and why."""

import json
from dataclasses import dataclass

from alaas_pipeline.ledger.database import Row, Transaction, now


@dataclass(frozen=True)
class PickedImage:
    """One image that a round picked. `kind` is representative, outlier or control (drawn at random)."""

    digest: str
    kind: str
    gain: float
    covers: int
    nearest: str | None
    distance: float | None
    reason: str


def record(
    tx: Transaction,
    pool: str,
    round_key: str,
    picks: list[PickedImage],
    strategy: str,
    encoder_id: str,
    metrics: dict[str, float],
) -> None:
    """Write a round's picks, in order. An image that any round picked before breaks the table's key."""
    tx.note(f"{round_key}: picked {len(picks)} images")
    tx.insert(
        "selections",
        [
            {"pool": pool, "round": round_key, "position": position, **vars(pick)}
            for position, pick in enumerate(picks, start=1)
        ],
    )
    tx.insert(
        "selection_runs",
        [
            {
                "round": round_key, "pool": pool, "strategy": strategy, "encoder_id": encoder_id,
                "metrics": json.dumps(metrics, sort_keys=True), "selected_at": now(),
            }
        ],
    )  # fmt: skip


def picks(tx: Transaction, round_key: str) -> list[Row]:
    """Return the round's picks with their image ids, in pick order."""
    return tx.rows(
        "SELECT s.*, i.image_id FROM selections s JOIN images i ON i.pool = s.pool AND i.digest = s.digest "
        "WHERE s.round = ? ORDER BY s.position",
        round_key,
    )


def metrics(tx: Transaction, round_key: str) -> dict[str, float]:
    """Return the label-free figures of a round's selection; empty before there is one."""
    text = tx.value("SELECT metrics FROM selection_runs WHERE round = ?", round_key)
    return json.loads(text) if text else {}
