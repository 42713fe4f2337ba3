"""Which encoder a pool is embedded with now: the one that serves it, until a change has been priced and accepted."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from alaas_pipeline.alaas.tariffs import embed_price
from alaas_pipeline.engine.encoder import Encoder
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, Transaction, images, plans, pools
from alaas_pipeline.ledger.plans import EncoderPlan

log = logging.getLogger(__name__)

Load = Callable[[str], Encoder]


@dataclass(frozen=True)
class Work:
    """What to embed with.

    Attributes:
        encoder: as pools.yaml names it.
        encoder_id: its id, when it is known without loading it.
        plan: the change of encoder that is open: accepted, and this is its work; or proposed, and the old encoder goes on.
    """

    encoder: str
    encoder_id: str | None
    plan: EncoderPlan | None = None

    @property
    def migrates(self) -> bool:
        """Whether this makes the vectors of an accepted plan."""
        return self.plan is not None and self.plan.state == "accepted"


def choose(ledger: Ledger, pool: str, wanted: str, load: Load) -> Work:
    """Return what to embed with; a change of encoder is proposed as a plan, for which the new encoder is loaded once."""
    with ledger.transaction() as tx:
        serves, plan = pools.serving(tx, pool), plans.current(tx, pool)
        if serves is None or not images.embedded(tx, pool, serves[1]):
            return Work(wanted, serves[1] if serves and serves[0] == wanted else None)
        if serves[0] == wanted:
            plans.end(tx, pool, "replaced")
            return Work(*serves)
    if plan and plan.encoder == wanted and plan.state == "accepted":
        return Work(plan.encoder, plan.encoder_id, plan)
    new_id = plan.encoder_id if plan and plan.encoder == wanted else load(wanted).encoder_id
    with ledger.transaction() as tx:
        if new_id == serves[1]:
            pools.use_encoder(tx, pool, wanted, new_id)
            return Work(wanted, new_id)
        plan = propose(tx, pool, wanted, new_id, serves[1])
    log.warning(plan.offer)
    return Work(*serves, plan)


def propose(tx: Transaction, pool: str, encoder: str, encoder_id: str, replaces: str) -> EncoderPlan:
    """Price new vectors for the whole pool."""
    count = len(images.to_embed(tx, pool, encoder_id))
    known = plans.current(tx, pool)
    if known and known.state == "accepted":
        plans.end(tx, pool, "replaced")
    return plans.propose(tx, pool, encoder, encoder_id, replaces, count, embed_price(count))


def check_same(ledger: Ledger, pool: str, work: Work, encoder: Encoder) -> None:
    """Refuse weights or preprocessing that are no longer those of the name.

    Raises:
        UserError: they are not; the change is proposed as a plan.
    """
    if work.encoder_id in (None, encoder.encoder_id):
        return
    with ledger.transaction() as tx:
        serves = pools.serving(tx, pool)
        assert serves is not None
        if encoder.encoder_id == serves[1]:
            plans.end(tx, pool, "replaced")
            return
        plan = propose(tx, pool, work.encoder, encoder.encoder_id, serves[1])
    raise UserError(
        f"The encoder '{work.encoder}' is not the one it was: its weights or preprocessing changed. {plan.offer}"
    )


def finish(tx: Transaction, pool: str, work: Work) -> None:
    """Let the vectors of an accepted plan serve, once every image has one."""
    if work.migrates and work.encoder_id is not None and not images.to_embed(tx, pool, work.encoder_id):
        pools.use_encoder(tx, pool, work.encoder, work.encoder_id)
        plans.end(tx, pool, "done")
        log.info("%s: all vectors of %s are there; they serve from now on", pool, work.encoder)
