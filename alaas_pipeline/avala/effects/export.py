"""Ask for the export of a finished project; one that failed is asked for again under a new name, within a limit."""

import logging

from alaas_pipeline.avala import look
from alaas_pipeline.avala.effects.acting import Acting, digest_of, name_of, uid_of
from alaas_pipeline.avala.errors import NotFound, ValidationFailed
from alaas_pipeline.avala.look import AmbiguousError
from alaas_pipeline.avala.models import Export
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Transaction, journal, landing, rounds
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
        if current.state == "landed":
            return _of_landed(acting, current, another=False)
        with acting.ledger.transaction() as tx:
            uid = _project(tx, round_key)
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
        with acting.stopping(effect):
            export, how = _perform(acting, effect, uid)
        with acting.ledger.transaction() as tx:
            journal.settle(tx, effect, how, remote_uid=export.uid)
            rounds.advance(tx, round_key, "exported")
    log.info("%s: export %s requested (%s)", round_key, effect.remote_name, how)
    return export


def refresh_export(acting: Acting, round_key: str) -> Export:
    """Request another export of a landed round, or return the one that was requested and has not landed yet. The round stays landed.

    Raises:
        UserError: the round has not landed, or its project is not on Avala any more.
    """
    with acting.alone(round_key) as current:
        if current.state != "landed":
            raise UserError(
                f"Round {round_key} is in state '{current.state}' and has not landed, so there are no labels to refresh. "
                f"Look at: alaas-pipeline status {current.pool}"
            )
        return _of_landed(acting, current, another=True)


def _of_landed(acting: Acting, current: Round, *, another: bool) -> Export:
    """Go on with what was intended for a landed round; else ask for another export if one is wanted."""
    key = current.key
    with acting.ledger.transaction() as tx:
        uid, effect = _project(tx, key), journal.find(tx, key, "export")
        assert effect is not None, "a landed round has an export"
        landed = [one.export_uid for one in landing.versions(tx, key)]
        if effect.spent or (effect.settled and effect.remote_uid in landed):
            if not another:
                return Export(uid=landed[-1], name=effect.remote_name, status="exported")
            name = _name(tx, key, effect.attempt + 1)
            effect = journal.intend(
                tx, current.pool, key, "export", name, digest_of(name, uid), effect.attempt + 1
            )  # fmt: skip
    if effect.settled:
        return Export(uid=uid_of(effect), name=effect.remote_name, status="pending")
    try:
        export, how = _perform(acting, effect, uid)
    except AmbiguousError as found:
        raise UserError(f"Round {key}: {found}. {found.remedy} Its labels stay as they are.") from None
    with acting.ledger.transaction() as tx:
        journal.settle(tx, effect, how, remote_uid=export.uid)
    log.info("%s: another export %s requested (%s)", key, effect.remote_name, how)
    return export


def _perform(acting: Acting, effect: Effect, uid: str) -> tuple[Export, str]:
    def create() -> Export:
        try:
            with acting.client.limiter.slot("export"):
                return acting.writes.create_export(effect.remote_name, uid)
        except (ValidationFailed, NotFound):
            look.project_of(acting.client, uid)
            raise

    def find() -> Export | None:
        # On a server that keeps no names, an export that has landed looks like the one that is wanted.
        found = look.find_export(acting.client, effect.remote_name, uid)
        return None if found and found.uid in landed else found

    with acting.ledger.transaction() as tx:
        landed = {one.export_uid for one in landing.versions(tx, effect.subject)}
    return acting.perform(effect, find, create)


def _project(tx: Transaction, round_key: str) -> str:
    uid = journal.remote_uid(tx, round_key, "clone")
    assert uid is not None
    return uid


def _name(tx: Transaction, round_key: str, attempt: int) -> str:
    return f"{name_of(tx, round_key)}-export-{attempt}"


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
    name = _name(tx, current.key, attempt)
    return journal.intend(tx, current.pool, current.key, "export", name, digest_of(name, uid), attempt)
