"""The rule of the loop: what a pool needs next, read from the ledger and, while annotators work, from the platform.

Sensors ask it on a schedule and the demo in a row, so both do the same. Nothing here starts a run or waits.
"""

from collections.abc import Callable
from dataclasses import dataclass

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.alaas.tariffs import embed_price
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.observe import EXPORTING, WATCHED, observe_export, observe_project, observe_waiting
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import credits, images, journal, pools, quotes, rounds
from alaas_pipeline.ledger.database import now
from alaas_pipeline.ledger.rounds import Round


@dataclass(frozen=True)
class Step:
    """A job to run. `occasion` tells apart reasons to run the same job for the same round: each is served once."""

    stretch: str
    round: str | None
    occasion: str = ""


@dataclass(frozen=True)
class Wait:
    """Nothing to run now, and why, in a sentence for people."""

    why: str


def ledger_step(service: PoolService, settings: PoolSettings) -> Step | Wait:
    """Say what the pool needs next as far as the ledger knows; opens its next round when that is what it needs."""
    pool = settings.key
    with service.ledger.transaction() as tx:
        ready = pool in pools.known(tx) and bool(pools.encoder_id(tx, pool))
        current = rounds.latest(tx, pool)
    if not ready or not service.counts(pool).embedded:
        return Step("prepare_pool", None)
    if (current is None or current.state in ("open", "landed")) and (unfinished := _unfinished(service, pool)):
        return unfinished
    if current and current.state == "landed" and (stop := _poor_work(current, settings)):
        return stop
    if current is None or current.state == "landed":
        try:
            current = service.open_round(settings)
        except UserError as error:
            return Wait(str(error))
    if away := _stay_away(current):
        return away
    if current.state in ("open", "selected", "quoted", "uploaded"):
        return Step("prepare_round", current.key, _occasion(current))
    if current.state == "cloned":
        return _approval(service, current)
    return Wait(f"{current.key} is {current.state}: {current.note or 'no note'}")


def avala_step(
    service: PoolService, settings: PoolSettings, client: Callable[[PoolSettings], AvalaClient]
) -> Step | Wait:
    """Say what the pool's newest round needs next, after one short look at its project or export on the platform."""
    with service.ledger.transaction() as tx:
        current = rounds.latest(tx, settings.key)
    if current is None or current.state not in ("cloned", *WATCHED, "labelled", "export_failed", *EXPORTING):
        return Wait("nothing is with the annotators")
    if away := _stay_away(current):
        return away
    if current.state == "cloned":
        with client(current.settings) as avala:
            current = observe_waiting(service.ledger, avala, current.key)
    elif current.state in WATCHED:
        with client(current.settings) as avala:
            current = observe_project(service.ledger, avala, current.key)
    if current.state in EXPORTING:
        with client(current.settings) as avala:
            if observe_export(service.ledger, avala, current.key):
                return Step("land_round", current.key, _occasion(current))
        with service.ledger.transaction() as tx:
            current = rounds.get(tx, current.key)
    if current.state in ("labelled", "export_failed"):
        with service.ledger.transaction() as tx:
            last = journal.find(tx, current.key, "export")
        return Step("request_export", current.key, _occasion(current, f"attempt {(last.attempt if last else 0) + 1}"))
    return Wait(f"{current.key} is {current.state}: {current.note or 'the export is being made'}")


def _unfinished(service: PoolService, pool: str) -> Step | Wait | None:
    """An embedding that was killed is gone on with before anything is picked, if the pool can pay for the rest."""
    with service.ledger.transaction() as tx:
        left, due = (
            len(images.to_embed(tx, pool, pools.encoder_id(tx, pool) or "")),
            images.near_duplicates_due(tx, pool),
        )
        spendable = credits.credits(tx, pool).spendable + sum(
            amount for _, amount in credits.open_reservations(tx, pool)
        )
    price = embed_price(left)
    if price > spendable:
        return Wait(
            f"{left:,} images have no vector yet; they cost {price:,} credits and {spendable:,} may be spent. Raise credit_grant"
        )
    return Step("prepare_pool", None, f"{left} images left") if left or due else None


def _poor_work(current: Round, settings: PoolSettings) -> Wait | None:
    """Hold the loop when the last round's work was accepted less often than the pool asks for."""
    rate, wanted = current.acceptance_rate, settings.min_acceptance_rate
    if rate is None or wanted is None or rate >= wanted:
        return None
    return Wait(
        f"{rate:.0%} of the work on {current.key} was accepted, and min_acceptance_rate asks for {wanted:.0%}. Look at its labels; to go "
        f"on all the same: alaas-pipeline open-round {current.pool}"
    )


def _approval(service: PoolService, current: Round) -> Step | Wait:
    with service.ledger.transaction() as tx:
        decision, quote = quotes.decision(tx, current.key), quotes.find(tx, current.key)
    if decision is not None:
        return Step("approve_round", current.key, _occasion(current, "accepted"))
    assert quote is not None
    return Step("approve_round", current.key, _occasion(current, "asked"))


def _stay_away(current: Round) -> Wait | None:
    """Heed what the platform asked for: a long wait is spent here, not slept in a run."""
    if current.wait_until and current.wait_until > now():
        return Wait(f"{current.key}: Avala asked not to be called before {current.wait_until}")
    return None


def _occasion(current: Round, word: str = "") -> str:
    """Tell apart what is done again because a wait is over, or because a person said go on."""
    again = [f"after {current.wait_until}"] if current.wait_until else []
    return ", ".join([*([word] if word else []), *again, *([f"retry {current.retries}"] if current.retries else [])])
