"""Pools: made when first seen, bound to one platform, account and owner when they first touch it."""

from dataclasses import dataclass

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger.database import Transaction, now

ORGANIZATION = "local"


@dataclass(frozen=True)
class Binding:
    """What a pool is tied to for life: labels of two accounts must never mix."""

    platform: str
    base_url: str
    account_uid: str
    owner: str


def ensure(tx: Transaction, pool: str, name: str) -> None:
    """Make the pool's row if it is not there."""
    if not tx.row("SELECT 1 AS there FROM pools WHERE pool = ?", pool):
        tx.insert("pools", [{"pool": pool, "organization": ORGANIZATION, "name": name, "created_at": now()}])


def known(tx: Transaction) -> list[str]:
    """Return the keys of all pools, oldest first."""
    return tx.column("SELECT pool FROM pools ORDER BY created_at, pool")


def binding(tx: Transaction, pool: str) -> Binding | None:
    """Return what the pool is bound to, or None while it has not touched a platform."""
    row = tx.row("SELECT platform, base_url, account_uid, owner FROM pools WHERE pool = ?", pool)
    return Binding(**row) if row and row["platform"] else None


def bind(tx: Transaction, pool: str, wanted: Binding) -> None:
    """Bind the pool at first use, and afterwards check that nothing changed.

    Raises:
        UserError: the pool is bound to something else.
    """
    if binding(tx, pool) is None:
        tx.run(
            "UPDATE pools SET platform = ?, base_url = ?, account_uid = ?, owner = ?, bound_at = ? WHERE pool = ?",
            wanted.platform, wanted.base_url, wanted.account_uid, wanted.owner, now(), pool,
        )  # fmt: skip
        tx.note(f"{pool}: bound to {wanted.platform}, owner {wanted.owner}")
        return
    check_bound(tx, pool, **vars(wanted))


def check_bound(tx: Transaction, pool: str, **wanted: str) -> None:
    """Refuse fields of a binding that differ from what the pool is bound to; a pool that is not bound yet may have any.

    Raises:
        UserError: one differs.
    """
    bound = binding(tx, pool)
    for field, wants in wanted.items() if bound else ():
        was = getattr(bound, field)
        if was != wants:
            raise UserError(
                f"Pool '{pool}' is bound to {field} '{was}' since its first use, and now asks for '{wants}'. "
                f"Set it back, or declare a new pool; nothing was sent."
            )


def use_encoder(tx: Transaction, pool: str, encoder: str, encoder_id: str) -> None:
    """Let the vectors of this encoder serve the pool from now on."""
    if (encoder, encoder_id) != serving(tx, pool):
        tx.run("UPDATE pools SET encoder = ?, encoder_id = ? WHERE pool = ?", encoder, encoder_id, pool)
        tx.note(f"{pool}: vectors of {encoder_id} serve")


def serving(tx: Transaction, pool: str) -> tuple[str, str] | None:
    """Return the encoder whose vectors serve the pool, as pools.yaml named it, and its id; None before the first embedding."""
    row = tx.row("SELECT encoder, encoder_id FROM pools WHERE pool = ?", pool)
    return (row["encoder"], row["encoder_id"]) if row and row["encoder_id"] else None


def encoder_id(tx: Transaction, pool: str) -> str | None:
    """Return the id of the encoder whose vectors serve the pool."""
    return tx.value("SELECT encoder_id FROM pools WHERE pool = ?", pool)
