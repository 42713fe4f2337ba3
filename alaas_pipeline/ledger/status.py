"""The status document: everything a person or a script asks of the ledger, in one stable mapping."""

from typing import Any

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import (
    credits,
    images,
    imports,
    journal,
    landing,
    losses,
    plans,
    pools,
    quotes,
    rounds,
    selections,
)
from alaas_pipeline.ledger.database import Ledger, Transaction
from alaas_pipeline.money import MICROS


def status(ledger: Ledger, pool: str | None = None) -> dict[str, Any]:
    """Return the state of one pool, or of all.

    The document: `{"pools": [{pool, name, counts{total, selected, remaining, refused, duplicates, embedded}, credits{granted, reserved,
    spent, balance, spendable}, money{currency: amount committed}, rounds[{round, state, note, picked[], uploaded, labelled, refused,
    pending, quarantined, credits_spent, quote{digest, images, total, currency} or null, decision or null, dataset_uid, project_uid,
    export_uid, project_status, tasks_total, tasks_completed, acceptance_rate, wait_until, landing{version, state, held_for} or null}],
    plan or null, imports[{key, origin, images, test_set, quarantined, imported_at}]}], lost_commits[{first_commit, last_commit, found_at,
    what[]}]}`. Keys are only ever added. Amounts of money are numbers in currency units.

    Raises:
        UserError: the ledger has no such pool.
    """
    with ledger.transaction() as tx:
        known = pools.known(tx)
        if pool is not None and pool not in known:
            raise UserError(
                f"The ledger has no pool '{pool}' yet. Materialize its 'images', or look at: alaas-pipeline status"
            )
        return {
            "pools": [_pool(tx, key) for key in known if pool in (None, key)],
            "lost_commits": [{**vars(loss), "what": list(loss.what)} for loss in losses.unreconciled(tx)],
        }


def _pool(tx: Transaction, key: str) -> dict[str, Any]:
    held = credits.credits(tx, key)
    return {
        "pool": key,
        "name": tx.value("SELECT name FROM pools WHERE pool = ?", key),
        "counts": vars(images.counts(tx, key)),
        "credits": {**vars(held), "balance": held.balance, "spendable": held.spendable},
        "money": {currency: micros / MICROS for currency, micros in quotes.committed_micros(tx, key).items()},
        "rounds": [_round(tx, one) for one in rounds.of_pool(tx, key)],
        "plan": _plan(plans.current(tx, key)),
        "imports": imports.summaries(tx, key),
    }


def _plan(plan: plans.EncoderPlan | None) -> dict[str, Any] | None:
    if plan is None:
        return None
    return {
        name: getattr(plan, name) for name in ("digest", "encoder", "images", "credits", "state", "decided_by", "offer")
    }


def _round(tx: Transaction, current: rounds.Round) -> dict[str, Any]:
    books, newest = landing.books(tx, current.key), landing.foremost(tx, current.key)
    quote, decision = quotes.find(tx, current.key), quotes.decision(tx, current.key)
    return {
        "round": current.key,
        "state": current.state,
        "note": current.note,
        "opened_at": current.opened_at,
        "picked": [row["image_id"] for row in selections.picks(tx, current.key)],
        "uploaded": books.sent,
        "labelled": books.labelled,
        "refused": books.refused,
        "pending": books.pending,
        "quarantined": len(landing.quarantined(tx, current.key)),
        "credits_spent": credits.spent_on(tx, current.key),
        "quote": {
            "digest": quote.digest,
            "images": quote.images,
            "total": quote.total_micros / MICROS,
            "currency": quote.currency,
        }
        if quote
        else None,
        "decision": {
            "decision": decision.decision,
            "by": decision.decided_by,
            "quote": decision.quote_digest,
            "at": decision.decided_at,
            "allowed_by": decision.allowed_by,
        }
        if decision
        else None,
        "dataset_uid": journal.remote_uid(tx, current.key, "dataset"),
        "project_uid": journal.remote_uid(tx, current.key, "clone"),
        "export_uid": journal.remote_uid(tx, current.key, "export"),
        "project_status": current.project_status,
        "tasks_total": current.tasks_total,
        "tasks_completed": current.tasks_completed,
        "acceptance_rate": current.acceptance_rate,
        "wait_until": current.wait_until,
        "landing": {name: getattr(newest, name) for name in ("version", "state", "held_for")} if newest else None,
    }
