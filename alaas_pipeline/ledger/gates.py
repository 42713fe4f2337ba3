"""Gates of the pool service: what was about to be spent in credits, and what allowed it; money has quotes and decisions."""

from dataclasses import dataclass

from alaas_pipeline.ledger.database import Transaction, now


@dataclass(frozen=True)
class Gate:
    """One spend that was let through.

    Attributes:
        operation_id: of the credits' reservation.
        gate: `embedding` or `selection`.
        pool: whose credits.
        round: for a selection.
        images: how many are embedded, or returned at most.
        low: the least that the published tariffs would take for it.
        high: the most.
        reserved: what was set aside: the price by the pool's own tariff, which can not be exceeded.
        allowed_by: the cap it was checked against, or the accepted plan.
    """

    operation_id: str
    gate: str
    pool: str
    round: str | None
    images: int
    low: int
    high: int
    reserved: int
    allowed_by: str


def record(tx: Transaction, gate: Gate) -> None:
    """Write the gate, in the transaction that reserves its credits."""
    tx.insert("gates", [{**vars(gate), "passed_at": now()}])


def of_pool(tx: Transaction, pool: str) -> list[Gate]:
    """Return a pool's gates, oldest first."""
    columns = ", ".join(Gate.__dataclass_fields__)
    return [
        Gate(**row)
        for row in tx.rows(f"SELECT {columns} FROM gates WHERE pool = ? ORDER BY passed_at, operation_id", pool)
    ]
