"""Look at a round on Avala and write what is seen; nothing is changed there and no run waits."""

import logging

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.errors import NotFound
from alaas_pipeline.avala.models import Export
from alaas_pipeline.ledger import Ledger, journal, rounds
from alaas_pipeline.ledger.rounds import Round

log = logging.getLogger(__name__)

WATCHED = ("approved", "paused")
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
    except NotFound:
        with ledger.transaction() as tx:
            rounds.advance(tx, round_key, "needs_person", f"its project {project_uid} is not on Avala any more")
            return rounds.get(tx, round_key)
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
        rounds.observe(tx, round_key, project.status, progress.total, progress.completed)
        note = f"{progress.completed} of {progress.total} tasks are done"
        rounds.advance(
            tx, round_key, state, note if state in WATCHED else f"the project is {project.status} on Avala; {note}"
        )
        return rounds.get(tx, round_key)


def observe_export(ledger: Ledger, client: AvalaClient, round_key: str) -> Export | None:
    """Return the round's export when it is ready; a failed one moves the round to `export_failed`."""
    with ledger.transaction() as tx:
        current, export_uid = rounds.get(tx, round_key), journal.remote_uid(tx, round_key, "export")
    if current.state != "exported" or export_uid is None:
        return None
    export = client.export(export_uid)
    if export.state == "failure":
        with ledger.transaction() as tx:
            rounds.advance(
                tx, round_key, "export_failed", f"Avala could not make the export (status '{export.status}')"
            )
        return None
    return export if export.state == "success" and export.download_url else None
