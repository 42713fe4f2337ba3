"""Rounds: one state machine each, with a copy of the pool's settings from when the round was opened."""

import re
from dataclasses import dataclass

from alaas_pipeline.config import PoolSettings
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger.database import Row, Transaction, now

ROUND_KEY = re.compile(r"^(?P<pool>[a-z0-9_]+)\.r(?P<number>\d{4})$")

# The states a round passes when all goes well, in order.
MAIN_LINE = ("open", "selected", "quoted", "uploaded", "cloned", "approved", "labelled", "exported", "landed")
# States a round does not leave by itself.
ENDED = ("landed", "refused", "canceled", "archived", "exhausted")
# States in which a person has to act.
STOPPED = ("paused", "overdue", "export_failed", "needs_person")

_ASIDE = {"needs_person", "refused"}
ALLOWED: dict[str, set[str]] = {
    "open": {"selected", "exhausted", *_ASIDE},
    "selected": {"quoted", *_ASIDE},
    "quoted": {"uploaded", *_ASIDE},
    "uploaded": {"cloned", *_ASIDE},
    "cloned": {"approved", "canceled", "archived", *_ASIDE},
    "approved": {"labelled", "paused", "canceled", "archived", "needs_person"},
    "paused": {"approved", "labelled", "canceled", "archived", "needs_person"},
    "labelled": {"exported", "export_failed", "archived", "needs_person"},
    "export_failed": {"labelled", "exported", "needs_person"},
    "exported": {"landed", "overdue", "export_failed", "needs_person"},
    "overdue": {"exported", "landed", "export_failed", "needs_person"},
    "needs_person": {*MAIN_LINE, "refused", "canceled", "archived", "paused", "export_failed"},
    "landed": set(),
    "refused": set(),
    "canceled": {"archived"},
    "archived": set(),
    "exhausted": set(),
}


@dataclass(frozen=True)
class Round:
    """One round as the ledger knows it."""

    key: str
    pool: str
    number: int
    state: str
    settings: PoolSettings
    note: str | None
    project_status: str | None
    tasks_total: int | None
    tasks_completed: int | None
    opened_at: str
    # Until when the platform asked to be left alone (ISO 8601, UTC), and how often a person said "go on".
    wait_until: str | None = None
    retries: int = 0
    # The share of the project's finished work that was accepted, 0 to 1, where the platform tells.
    acceptance_rate: float | None = None

    def reached(self, state: str) -> bool:
        """Say whether the round has passed `state` on the main line (states aside count where they branch off)."""
        branch = {"paused": "approved", "export_failed": "labelled", "overdue": "exported", "archived": "landed"}
        at = branch.get(self.state, self.state)
        return at in MAIN_LINE and MAIN_LINE.index(at) >= MAIN_LINE.index(state)

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the round by itself."""
        return self.state in ENDED


def round_key(pool: str, number: int) -> str:
    """Return the key of a round: its identity in ledger, Dagster and remote names."""
    return f"{pool}.r{number:04d}"


def open_next(tx: Transaction, settings: PoolSettings) -> Round:
    """Open the pool's next round.

    Raises:
        UserError: the pool's last round has not ended.
    """
    last = latest(tx, settings.key)
    if last and not last.ended:
        raise UserError(
            f"Round {last.key} is not finished (state: {last.state}). A pool has one open round at a time; finish or refuse it."
        )
    number = (last.number if last else 0) + 1
    key, at = round_key(settings.key, number), now()
    tx.insert(
        "rounds",
        [
            {
                "round": key, "pool": settings.key, "number": number, "state": "open",
                "settings": settings.model_dump_json(), "opened_at": at, "updated_at": at,
            }
        ],
    )  # fmt: skip
    tx.note(f"{key}: opened")
    return get(tx, key)


def get(tx: Transaction, key: str) -> Round:
    """Return a round.

    Raises:
        UserError: the ledger has no such round.
    """
    row = tx.row("SELECT * FROM rounds WHERE round = ?", key)
    if row is None:
        raise UserError(
            f"There is no round '{key}' in the ledger. Open one with: alaas-pipeline open-round {key.split('.')[0]}"
        )
    return _round(row)


def latest(tx: Transaction, pool: str) -> Round | None:
    """Return the pool's newest round, or None."""
    row = tx.row("SELECT * FROM rounds WHERE pool = ? ORDER BY number DESC LIMIT 1", pool)
    return _round(row) if row else None


def of_pool(tx: Transaction, pool: str) -> list[Round]:
    """Return the pool's rounds, oldest first."""
    return [_round(row) for row in tx.rows("SELECT * FROM rounds WHERE pool = ? ORDER BY number", pool)]


def advance(tx: Transaction, key: str, state: str, note: str | None = None) -> None:
    """Move a round to another state, with a note for people; the same state again only changes the note.

    Raises:
        UserError: the round cannot go there from where it is.
    """
    current = get(tx, key).state
    if state != current and state not in ALLOWED[current]:
        raise UserError(
            f"Round {key} is in state '{current}' and cannot become '{state}'. Look at: alaas-pipeline status {key.split('.')[0]}"
        )
    tx.run("UPDATE rounds SET state = ?, note = ?, updated_at = ? WHERE round = ?", state, note, now(), key)
    if state != current:
        tx.note(f"{key}: {current} → {state}")


def stay_away(tx: Transaction, key: str, until: str) -> None:
    """Write until when (ISO 8601, UTC) the platform wants no call for this round."""
    tx.run("UPDATE rounds SET wait_until = ? WHERE round = ?", until, key)


def go_back(tx: Transaction, key: str, state: str, note: str) -> None:
    """Put a round that nothing was billed for, or whose export was lost, back to an earlier state of the main line.

    Raises:
        UserError: the round has ended, or `state` does not lie behind it.
    """
    current = get(tx, key)
    if current.ended or state not in MAIN_LINE or (current.state != "needs_person" and not current.reached(state)):
        raise UserError(f"Round {key} is in state '{current.state}' and cannot go back to '{state}'.")
    tx.run("UPDATE rounds SET state = ?, note = ?, updated_at = ? WHERE round = ?", state, note, now(), key)
    tx.note(f"{key}: {current.state} → {state} again")


def go_on(tx: Transaction, key: str, state: str, note: str) -> None:
    """A person said so: put the round into `state`, count it, and forget any wait."""
    advance(tx, key, state, note)
    tx.run("UPDATE rounds SET retries = retries + 1, wait_until = NULL WHERE round = ?", key)


def observe(
    tx: Transaction, key: str, project_status: str, total: int, completed: int, acceptance_rate: float | None = None
) -> None:
    """Write what the platform last said of the round's project; an acceptance rate that it does not tell stays as it was."""
    tx.run(
        "UPDATE rounds SET project_status = ?, tasks_total = ?, tasks_completed = ?, acceptance_rate = coalesce(?, acceptance_rate), "
        "observed_at = ? WHERE round = ?",
        project_status, total, completed, acceptance_rate, now(), key,
    )  # fmt: skip


def _round(row: Row) -> Round:
    return Round(
        key=row["round"],
        pool=row["pool"],
        number=row["number"],
        state=row["state"],
        settings=PoolSettings.model_validate_json(row["settings"]),
        note=row["note"],
        project_status=row["project_status"],
        tasks_total=row["tasks_total"],
        tasks_completed=row["tasks_completed"],
        opened_at=row["opened_at"],
        wait_until=row["wait_until"],
        retries=row["retries"],
        acceptance_rate=row["acceptance_rate"],
    )
