"""Ask for the export of a finished project; one that failed is asked for again under a new name, within a limit."""

import logging

from alaas_pipeline.avala import look
from alaas_pipeline.avala.effects.acting import Acting, digest_of, name_of, uid_of
from alaas_pipeline.avala.errors import NotFound, ValidationFailed
from alaas_pipeline.avala.models import Export
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Transaction, journal, rounds
from alaas_pipeline.ledger.journal import Effect
from alaas_pipeline.ledger.rounds import Round

log = logging.getLogger(__name__)

ATTEMPTS = 3


def request_export(acting: Acting, round_key: str) -> Export:
    """Request the export, or adopt the one that carries our name.

    Raises:
        UserError: the project is not finished, or exports keep failing.
    """
    told = ""
    with acting.round(round_key, "labelled", "finished project") as current:
        with acting.ledger.transaction() as tx:
            uid = journal.remote_uid(tx, round_key, "clone")
            assert uid is not None
            effect = _intend(tx, current, uid)
            if effect is None:
                told = (
                    f"{ATTEMPTS + current.retries} exports of its project {uid} came to nothing on Avala. Ask Avala's support; for one "
                    f"more attempt: alaas-pipeline retry {round_key}; to end the round without labels: alaas-pipeline archive {round_key}"
                )
                rounds.advance(tx, round_key, "needs_person", told)
        if effect is None:
            raise UserError(f"Round {round_key}: {told}")
        if effect.settled:
            return _made(acting, effect)

        def create() -> Export:
            try:
                with acting.client.limiter.slot("export"):
                    return acting.writes.create_export(effect.remote_name, uid)
            except (ValidationFailed, NotFound):
                look.project_of(acting.client, uid)
                raise

        with acting.stopping(effect):
            export, how = acting.perform(
                effect,
                lambda: look.find_export(acting.client, effect.remote_name, uid),
                create,
            )
        with acting.ledger.transaction() as tx:
            journal.settle(tx, effect, how, remote_uid=export.uid)
            rounds.advance(tx, round_key, "exported")
    log.info("%s: export %s requested (%s)", round_key, effect.remote_name, how)
    return export


def _made(acting: Acting, effect: Effect) -> Export:
    try:
        return acting.client.export(uid_of(effect))
    except NotFound:
        note = f"its export {effect.remote_uid} is not on Avala any more; it is asked for again"
        with acting.ledger.transaction() as tx:
            journal.settle(tx, effect, "failed", message=note)
            rounds.advance(tx, effect.subject, "export_failed", note)
        raise UserError(f"Round {effect.subject}: {note}. Launch the run again.") from None


def _intend(tx: Transaction, current: Round, uid: str) -> Effect | None:
    """Write the next intent; None when the attempts are used up."""
    last = journal.find(tx, current.key, "export")
    attempt = 1 if last is None else last.attempt + int(last.spent)
    if attempt > ATTEMPTS + current.retries:
        return None
    name = f"{name_of(tx, current.key)}-export-{attempt}"
    return journal.intend(tx, current.pool, current.key, "export", name, digest_of(name, uid), attempt)
