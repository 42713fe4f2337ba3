"""Commits that were lost: found by the commit log, kept until everything they were about has been compared."""

import json
from dataclasses import dataclass

from alaas_pipeline.ledger.database import Transaction, now


@dataclass(frozen=True)
class Loss:
    """A run of lost commits, and what the log says they changed."""

    first_commit: int
    last_commit: int
    found_at: str
    what: tuple[str, ...]


def unreconciled(tx: Transaction) -> list[Loss]:
    """Return the losses that nobody has reconciled yet, oldest first."""
    rows = tx.rows(
        "SELECT first_commit, last_commit, found_at, what FROM losses WHERE reconciled_at IS NULL ORDER BY first_commit"
    )
    return [Loss(**{**row, "what": tuple(json.loads(row["what"]))}) for row in rows]


def reconciled(tx: Transaction) -> None:
    """Note that all of them have been reconciled."""
    tx.run("UPDATE losses SET reconciled_at = ? WHERE reconciled_at IS NULL", now())
    tx.note("losses reconciled")
