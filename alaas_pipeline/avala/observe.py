"""Look at a round on Avala and write what is seen; nothing is changed there and no run waits."""

import logging
from datetime import UTC, datetime, timedelta

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.errors import NotFound
from alaas_pipeline.avala.look import RUNNING
from alaas_pipeline.avala.models import Export
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, journal, quotes, rounds
from alaas_pipeline.ledger.rounds import Round

log = logging.getLogger(__name__)

WATCHED = ("approved", "paused")
EXPORTING = ("exported", "overdue")
# An export that takes longer is told to people; it lands all the same when it is ready after all.
OVERDUE_AFTER = timedelta(hours=24)
_BY_PROJECT = {
    "active": "approved",
    "paused": "paused",
    "completed": "labelled",
    "canceled": "canceled",
    "archived": "archived",
}


def observe_project(ledger: Ledger, client: AvalaClient, round_key: str) -> Round:
    """Read status and progress of an approved round's project, and move the round to the state they call for.

    An unknown status word changes nothing: it is never final.
    """
    with ledger.transaction() as tx:
        current, project_uid = rounds.get(tx, round_key), journal.remote_uid(tx, round_key, "clone")
    if current.state not in WATCHED or project_uid is None:
        return current
    try:
        project = client.project(project_uid)
        progress = client.progress(project_uid)
        accepted = client.acceptance_rate(project_uid) if progress.completed else None
    except NotFound:
        return _gone(ledger, current, project_uid)
    if not project.status_known:
        log.warning(
            "%s: Avala calls its project '%s', a word we do not know; it counts as unfinished",
            round_key,
            project.status,
        )
    state = _BY_PROJECT.get(project.status, current.state)
    if state == "archived" and progress.done:
        state = "labelled"
    with ledger.transaction() as tx:
        rounds.observe(tx, round_key, project.status, progress.total, progress.completed, accepted)
        note = f"{progress.completed} of {progress.total} tasks are done"
        rounds.advance(
            tx, round_key, state, note if state in WATCHED else f"the project is {project.status} on Avala; {note}"
        )
        return rounds.get(tx, round_key)


def observe_waiting(ledger: Ledger, client: AvalaClient, round_key: str) -> Round:
    """Look at the project of a round that waits for its approval: somebody may have changed it in Avala's own pages.

    Approved there without a yes to its quote, or deleted, it needs a person; canceled or archived, the round has ended.
    """
    with ledger.transaction() as tx:
        current, project_uid = rounds.get(tx, round_key), journal.remote_uid(tx, round_key, "clone")
        decision, quote = quotes.decision(tx, round_key), quotes.find(tx, round_key)
    if current.state != "cloned" or project_uid is None or quote is None:
        return current
    try:
        project = client.project(project_uid)
    except NotFound:
        return _gone(ledger, current, project_uid)
    with ledger.transaction() as tx:
        rounds.observe(tx, round_key, project.status, current.tasks_total or 0, current.tasks_completed or 0)
        if project.status in ("canceled", "archived"):
            rounds.advance(
                tx, round_key, project.status, f"its project was {project.status} on Avala before it was approved"
            )
        elif project.status in RUNNING and (decision is None or decision.decision != "accepted"):
            rounds.advance(
                tx, round_key, "needs_person",
                f"its project was approved on Avala itself: {quote.images} images are being labelled, at most {quote.total}, and nobody "
                f"said yes to that here. To accept: alaas-pipeline approve {round_key} --quote {quote.digest}; to stop the bill: "
                f"alaas-pipeline cancel {round_key}",
            )  # fmt: skip
        return rounds.get(tx, round_key)


def observe_export(ledger: Ledger, client: AvalaClient, round_key: str) -> Export | None:
    """Return the round's export when it is ready; a failed one moves the round to `export_failed`, a slow one to `overdue`."""
    with ledger.transaction() as tx:
        current, effect = rounds.get(tx, round_key), journal.find(tx, round_key, "export")
    if current.state not in EXPORTING or effect is None or effect.remote_uid is None:
        return None
    export = _look(client, effect.remote_uid)
    if export.state == "failure":
        note = f"Avala could not make the export (status '{export.status}'); it is asked for again"
        with ledger.transaction() as tx:
            journal.settle(tx, effect, "failed", message=note)
            rounds.advance(tx, round_key, "export_failed", note)
        return None
    if export.state == "success" and export.download_url:
        return export
    if current.state == "exported" and datetime.now(UTC) - datetime.fromisoformat(effect.updated_at) > OVERDUE_AFTER:
        with ledger.transaction() as tx:
            rounds.advance(
                tx, round_key, "overdue",
                f"Avala has been making the export for more than {OVERDUE_AFTER.total_seconds() / 3600:.0f} h. Ask its support, or "
                f"have another one made: alaas-pipeline retry {round_key}",
            )  # fmt: skip
    return None


def observe_another(ledger: Ledger, client: AvalaClient, round_key: str, uid: str) -> Export | None:
    """Return the export `uid` that a landed round was asked for again, when it is ready; None before.

    Raises:
        UserError: Avala could not make it, or it is gone.
    """
    export = _look(client, uid)
    if export.state == "failure":
        with ledger.transaction() as tx:
            effect = journal.find(tx, round_key, "export")
            if effect and effect.remote_uid == uid:
                journal.settle(
                    tx, effect, "failed", message=f"Avala could not make the export (status '{export.status}')"
                )
        raise UserError(
            f"Avala could not make the export {uid} of {round_key} (status '{export.status}'). Its labels stay as they are; to ask for "
            f"another one: alaas-pipeline refresh-labels {round_key}"
        )
    return export if export.state == "success" and export.download_url else None


def _look(client: AvalaClient, uid: str) -> Export:
    try:
        return client.export(uid)
    except NotFound:
        return Export(uid=uid, status="failed")


def _gone(ledger: Ledger, current: Round, project_uid: str) -> Round:
    with ledger.transaction() as tx:
        if quotes.may_be_billed(tx, current.key):
            remedy = f"To end the round: alaas-pipeline cancel {current.key}"
        else:
            remedy = (
                f"Nothing is billed. To have it made anew: alaas-pipeline reconcile {current.pool} --apply, then alaas-pipeline retry "
                f"{current.key}; to give it up: alaas-pipeline refuse {current.key}"
            )
        rounds.advance(tx, current.key, "needs_person", f"its project {project_uid} is not on Avala any more. {remedy}")
        return rounds.get(tx, current.key)
