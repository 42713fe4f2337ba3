"""Start the billable work of a round. It cannot be undone, so everything is checked before, and the project's status decides after."""

import logging

from alaas_pipeline.avala import look
from alaas_pipeline.avala.effects.acting import Acting
from alaas_pipeline.avala.errors import ValidationFailed
from alaas_pipeline.avala.models import Project
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Transaction, journal, pushes, quotes, rounds
from alaas_pipeline.ledger.quotes import Decision

log = logging.getLogger(__name__)


def approve(acting: Acting, round_key: str) -> Project:
    """Approve the round's project: only from `pending-approval`, only with a stored yes to exactly this quote.

    After any ambiguous answer the project's status is read and decides; the request is never repeated in the same call.

    Raises:
        UserError: no project, no acceptance, or the platform refused (plan, scope).
        NeedsPerson: the project or its dataset is gone, or the project is in a state that nobody expects.
    """
    with acting.round(round_key, "cloned", "avala_project") as current:
        with acting.ledger.transaction() as tx:
            accepted = _accepted(tx, round_key)
            clone, dataset_uid = journal.find(tx, round_key, "clone"), journal.remote_uid(tx, round_key, "dataset")
            assert clone is not None
            assert clone.remote_uid is not None
            assert dataset_uid is not None
            uid = clone.remote_uid
            # A project that was lost before its approval and made anew is approved by an operation of its own.
            effect = journal.intend(
                tx, current.pool, round_key, "approve", uid, accepted.quote_digest, attempt=clone.attempt
            )
        if effect.settled:
            with acting.stopping(effect):
                return look.project_of(acting.client, uid)

        def no_longer_pending() -> Project | None:
            project = look.project_of(acting.client, uid)
            return None if project.status == "pending-approval" else look.running(project)

        with acting.stopping(effect):
            try:
                project, how = acting.perform(effect, no_longer_pending, lambda: acting.writes.approve(uid))
            except ValidationFailed:
                look.dataset_of(acting.client, dataset_uid)
                raise
        if project.status in ("canceled", "archived"):
            note = f"its project was {project.status} on Avala before it was approved here"
            with acting.ledger.transaction() as tx:
                journal.settle(tx, effect, "failed", message=note)
                rounds.advance(tx, round_key, project.status, note)
            raise UserError(f"Round {round_key}: {note}; nothing was approved and the round has ended.")
        with acting.ledger.transaction() as tx:
            journal.settle(tx, effect, how, remote_uid=uid)
            rounds.advance(tx, round_key, "approved")
            rounds.observe(tx, round_key, project.status, 0, 0)
    log.info("%s: approved %d images (%s, accepted by %s)", round_key, accepted.images, how, accepted.decided_by)
    return project


def _accepted(tx: Transaction, round_key: str) -> Decision:
    """Return the stored yes to exactly the round's quote, for exactly the images that were sent."""
    quote, decision = quotes.find(tx, round_key), quotes.decision(tx, round_key)
    assert quote is not None
    if decision is None or decision.decision != "accepted" or decision.quote_digest != quote.digest:
        raise UserError(
            f"Round {round_key} has no accepted quote; nothing was approved. To accept {quote.images} images for at most "
            f"{quote.total}: alaas-pipeline approve {round_key} --quote {quote.digest}"
        )
    pushed = len(pushes.planned(tx, round_key))
    if not pushed == quote.images == decision.images:
        raise UserError(
            f"Round {round_key} was accepted for {decision.images} images and {pushed} were sent; nothing was approved. "
            f"Give the round up: alaas-pipeline refuse {round_key}"
        )
    return decision
