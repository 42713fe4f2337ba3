"""Pause, resume, cancel or archive the project of a round: how a person stops the bill, or lets it run on."""

import logging

from alaas_pipeline.avala import look
from alaas_pipeline.avala.effects.acting import Acting
from alaas_pipeline.avala.errors import NotFound
from alaas_pipeline.avala.models import Project
from alaas_pipeline.avala.writes import ProjectAction
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Transaction, journal, quotes, rounds
from alaas_pipeline.ledger.journal import Effect
from alaas_pipeline.ledger.rounds import Round

log = logging.getLogger(__name__)

# Action -> statuses from which the platform takes it, and the status it leads to.
MOVES: dict[ProjectAction, tuple[tuple[str, ...], str]] = {
    "pause": (("active",), "paused"),
    "resume": (("paused",), "active"),
    "cancel": (("active", "paused"), "canceled"),
    "archive": (("completed", "canceled"), "archived"),
}
_ROUND_BECOMES = {"paused": "paused", "active": "approved", "canceled": "canceled", "archived": "archived"}


def change_status(acting: Acting, round_key: str, action: ProjectAction, by: str) -> Round:
    """Change the status of the round's project and move the round along; a project that is there already only moves the round.

    Args:
        acting: what an effect works with.
        round_key: a round whose project was approved, here or on Avala itself.
        action: what to do.
        by: who wants it, kept in the round's note.

    Raises:
        UserError: the round has no project, or its project is in a status from which this is not possible.
        NeedsPerson: the project is gone (a `cancel` or an `archive` ends such a round).
    """
    source, target = MOVES[action]
    with acting.alone(round_key) as current:
        with acting.ledger.transaction() as tx:
            uid = _project(tx, current, action)
        try:
            project = acting.client.project(uid)
        except NotFound:
            if action not in ("cancel", "archive"):
                raise UserError(
                    f"Round {round_key}: its project {uid} is not on Avala any more. To end the round: alaas-pipeline cancel {round_key}"
                ) from None
            with acting.ledger.transaction() as tx:
                rounds.observe(tx, round_key, "gone", current.tasks_total or 0, current.tasks_completed or 0)
                rounds.advance(tx, round_key, target, f"{target} by {by}; its project is not on Avala any more")
                return rounds.get(tx, round_key)
        if project.status == "pending-approval":
            raise UserError(
                f"Round {round_key}: its project waits for approval and nothing is billed, so there is nothing to {action}. "
                f"To give it up: alaas-pipeline refuse {round_key}"
            )
        if project.status not in (target, *source):
            raise UserError(
                f"Round {round_key}: its project is {project.status} on Avala, and Avala does not {action} such a project."
            )
        with acting.ledger.transaction() as tx:
            effect = _intend(tx, current, action, uid)

        def arrived() -> Project | None:
            found = look.project_of(acting.client, uid)
            return found if found.status == target else None

        with acting.stopping(effect):
            project, how = acting.perform(effect, arrived, lambda: acting.writes.change_status(uid, action))
        with acting.ledger.transaction() as tx:
            journal.settle(tx, effect, how, remote_uid=uid)
            rounds.observe(tx, round_key, project.status, current.tasks_total or 0, current.tasks_completed or 0)
            state, note = _becomes(current, target, by, billed=quotes.was_approved(tx, round_key))
            rounds.advance(tx, round_key, state, note)
            changed = rounds.get(tx, round_key)
    log.info("%s: project is %s (%s, by %s)", round_key, project.status, how, by)
    return changed


def _becomes(current: Round, target: str, by: str, *, billed: bool) -> tuple[str, str | None]:
    """Return the round's state and note after its project went to `target`."""
    if current.state == "landed":
        return "landed", current.note
    if current.state == "refused":  # and approved on Avala all the same
        return "refused", f"{current.note}; its project was {target} by {by}"
    if target in ("active", "paused") and not billed:
        told = f"{target} by {by}; its project was approved on Avala itself, without a yes to its quote here"
        return "needs_person", told
    return _ROUND_BECOMES[target], f"{target} by {by}"


def _project(tx: Transaction, current: Round, action: str) -> str:
    uid = journal.remote_uid(tx, current.key, "clone")
    if uid is None:
        raise UserError(
            f"Round {current.key} is in state '{current.state}' and has no project on Avala, so there is nothing to {action}. "
            f"To give it up: alaas-pipeline refuse {current.key}"
        )
    if action == "archive" and current.state in ("labelled", "export_failed", "exported", "overdue"):
        raise UserError(
            f"Round {current.key} is in state '{current.state}': its labels have not landed yet. Archive it after that."
        )
    return uid


def _intend(tx: Transaction, current: Round, action: ProjectAction, uid: str) -> Effect:
    """Each pause and each resume is an operation of its own; one that is not settled is taken up again."""
    last = journal.find(tx, current.key, action)
    attempt = 1 if last is None else last.attempt + int(last.settled)
    return journal.intend(tx, current.pool, current.key, action, uid, uid, attempt)
