"""Encoder plans: new vectors for a whole pool are priced first, and made only after a yes. The old vectors serve until all are there."""

import hashlib
from dataclasses import dataclass

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger.database import Transaction, now


@dataclass(frozen=True)
class EncoderPlan:
    """What a change of encoder costs. `state` is proposed, accepted, done or replaced."""

    pool: str
    digest: str
    encoder: str
    encoder_id: str
    replaces: str
    images: int
    credits: int
    state: str
    decided_by: str | None

    @property
    def offer(self) -> str:
        """The plan in a sentence, with the command that accepts it."""
        return (
            f"Pool '{self.pool}': encoder '{self.encoder}' needs new vectors for {self.images:,} images, {self.credits:,} credits. "
            f"The old vectors serve until then. To accept: alaas-pipeline accept-plan {self.pool} --plan {self.digest}"
        )


_COLUMNS = ", ".join(EncoderPlan.__dataclass_fields__)


def propose(
    tx: Transaction, pool: str, encoder: str, encoder_id: str, replaces: str, images: int, credits: int
) -> EncoderPlan:
    """Write the plan and return it; what was proposed before and is not accepted is replaced."""
    terms = "\n".join(map(str, (pool, encoder_id, replaces, images, credits)))
    digest = hashlib.sha256(terms.encode()).hexdigest()[:16]
    tx.run(
        "UPDATE encoder_plans SET state = 'replaced' WHERE pool = ? AND state = 'proposed' AND digest <> ?",
        pool,
        digest,
    )
    plan = EncoderPlan(pool, digest, encoder, encoder_id, replaces, images, credits, "proposed", None)
    row = {**vars(plan), "planned_at": now(), "decided_at": None}
    tx.insert("encoder_plans", [row], replace_on="pool, digest")
    tx.note(f"{pool}: plan {digest} proposed, {credits} credits for vectors of {encoder_id}")
    return plan


def current(tx: Transaction, pool: str) -> EncoderPlan | None:
    """Return the plan that is proposed or accepted and not done, or None."""
    row = tx.row(f"SELECT {_COLUMNS} FROM encoder_plans WHERE pool = ? AND state IN ('proposed', 'accepted')", pool)
    return EncoderPlan(**row) if row else None


def accept(tx: Transaction, pool: str, digest: str, decided_by: str) -> EncoderPlan:
    """Store a yes to exactly this plan. Saying it twice changes nothing.

    Raises:
        UserError: there is no plan, or it is another one.
    """
    plan = current(tx, pool)
    if plan is None:
        raise UserError(
            f"Pool '{pool}' has no plan to accept. Change 'encoder' in pools.yaml and materialize 'embeddings' first."
        )
    if plan.digest != digest:
        raise UserError(f"'{digest}' is not the plan of pool '{pool}'. {plan.offer}")
    if plan.state == "proposed":
        tx.run(
            "UPDATE encoder_plans SET state = 'accepted', decided_by = ?, decided_at = ? WHERE pool = ? AND digest = ?",
            decided_by, now(), pool, digest,
        )  # fmt: skip
        tx.note(f"{pool}: plan {digest} accepted by {decided_by}")
    return EncoderPlan(**{**vars(plan), "state": "accepted", "decided_by": plan.decided_by or decided_by})


def end(tx: Transaction, pool: str, state: str) -> None:
    """Close the pool's open plan as `done` or `replaced`; nothing happens when there is none."""
    if current(tx, pool):
        tx.run("UPDATE encoder_plans SET state = ? WHERE pool = ? AND state IN ('proposed', 'accepted')", state, pool)
        tx.note(f"{pool}: plan {state}")
