"""Simulated annotators: what they have done by now follows from the clock, the pace and the images alone.

Nobody works in the background. Whenever a project is read, the answers that are due by then are written down:
how many follows from the time the project has been active, which ones from the order of its tasks, what they
say from each image's content and the seed. A restart, or a day without a reader, changes nothing.
"""

import hashlib
import math
import sqlite3
import time
from dataclasses import dataclass

from alaas_pipeline.sandbox.settings import Settings
from alaas_pipeline.sandbox.state import State, new_uid
from alaas_pipeline.sandbox.truth import Truth

UNUSABLE = "image unusable"


@dataclass(frozen=True)
class Answer:
    """What somebody says about one image: a label, or why it cannot have one."""

    label: str | None
    refusal_reason: str | None
    annotator: str


class Annotators:
    """The annotators of one sandbox.

    Args:
        settings: their pace, number, accuracy, refusals and seed.
        truth: what they can know.
    """

    def __init__(self, settings: Settings, truth: Truth) -> None:
        self._settings = settings
        self._truth = truth

    def catch_up(self, con: sqlite3.Connection, project_uid: str) -> None:
        """Writes down every answer of an active project that is due by now.

        Args:
            con: an open transaction.
            project_uid: the project; one that is not active, or was deleted, stays as it is.
        """
        project = con.execute("SELECT * FROM projects WHERE uid = ?", (project_uid,)).fetchone()
        if project is None or project["status"] != "active" or project["template"]:
            return
        elapsed = project["worked_s"] + time.time() - project["running_since"]
        pace = self._settings.pace
        due = math.inf if pace == 0 else math.floor(elapsed / pace) * self._settings.annotators
        self._answer_until(con, project, due)

    def finish(self, con: sqlite3.Connection, project_uid: str) -> None:
        """Answers every task of an active project that can be answered, at once."""
        project = con.execute("SELECT * FROM projects WHERE uid = ?", (project_uid,)).fetchone()
        self._answer_until(con, project, math.inf)

    def answer_by_hand(self, con: sqlite3.Connection, project_uid: str, task_uid: str, answer: Answer) -> None:
        """Writes down a person's answer to one pending task."""
        write_answer(con, task_uid, answer, time.time())
        complete_if_done(con, project_uid)

    def _answer_until(self, con: sqlite3.Connection, project: sqlite3.Row, due: float) -> None:
        answered = project["answered"]
        if due > answered:
            answerable = self._answerable(con, project["uid"])
            names = sorted({truth for _, _, truth in answerable} | self._dataset_labels(con, project["dataset_uid"]))
            for task_uid, digest, truth in answerable:
                if answered >= due:
                    break
                moment = project["approved_at"] + (answered // self._settings.annotators + 1) * self._settings.pace
                annotator = f"annotator-{answered % self._settings.annotators + 1}"
                write_answer(con, task_uid, self._judge(digest, truth, names, annotator), moment)
                answered += 1
            if answered != project["answered"]:
                con.execute("UPDATE projects SET answered = ? WHERE uid = ?", (answered, project["uid"]))
        complete_if_done(con, project["uid"])

    def _answerable(self, con: sqlite3.Connection, project_uid: str) -> list[tuple[str, str, str]]:
        rows = con.execute(
            "SELECT t.uid, i.digest, i.key FROM tasks t JOIN items i ON i.uid = t.item_uid"
            " WHERE t.project_uid = ? AND t.status = 'pending' ORDER BY t.seq",
            (project_uid,),
        )
        known = ((row["uid"], row["digest"], self._truth.label(row["digest"], row["key"])) for row in rows)
        return [(uid, digest, truth) for uid, digest, truth in known if truth is not None]

    def _dataset_labels(self, con: sqlite3.Connection, dataset_uid: str) -> set[str]:
        if self._settings.accuracy >= 1:
            return set()
        rows = con.execute("SELECT digest, key FROM items WHERE dataset_uid = ?", (dataset_uid,))
        return {truth for row in rows if (truth := self._truth.label(row["digest"], row["key"])) is not None}

    def _judge(self, digest: str, truth: str, names: list[str], annotator: str) -> Answer:
        if self._chance(digest, "refuse") < self._settings.refusal_rate:
            return Answer(None, UNUSABLE, annotator)
        wrong = [name for name in names if name != truth]
        if wrong and self._chance(digest, "mistake") >= self._settings.accuracy:
            return Answer(wrong[int(self._chance(digest, "which") * len(wrong))], None, annotator)
        return Answer(truth, None, annotator)

    def _chance(self, digest: str, question: str) -> float:
        seeded = hashlib.sha256(f"{self._settings.seed}/{question}/{digest}".encode()).digest()
        return int.from_bytes(seeded[:8], "big") / 2**64


def write_answer(con: sqlite3.Connection, task_uid: str, answer: Answer, moment: float) -> None:
    """Completes one task, at a moment of the annotators' clock."""
    con.execute(
        "UPDATE tasks SET status = 'completed', result = ?, label = ?, refusal_reason = ?, annotator = ?,"
        " annotation_uid = ?, updated_at = ? WHERE uid = ?",
        (
            "refused" if answer.label is None else "labelled",
            answer.label,
            answer.refusal_reason,
            answer.annotator,
            None if answer.label is None else new_uid(),
            moment,
            task_uid,
        ),
    )


def complete_if_done(con: sqlite3.Connection, project_uid: str) -> None:
    """Moves an active project without a pending task to `completed`, and stops its clock."""
    con.execute(
        """
        UPDATE projects
        SET status = 'completed', running_since = NULL,
            updated_at = coalesce((SELECT max(updated_at) FROM tasks WHERE project_uid = :uid), updated_at)
        WHERE uid = :uid AND status = 'active' AND template = 0
            AND NOT EXISTS (SELECT 1 FROM tasks WHERE project_uid = :uid AND status = 'pending')
        """,
        {"uid": project_uid},
    )


def catch_up_all(annotators: Annotators, state: State) -> None:
    """Brings every active project up to now, before a list of projects or tasks is shown."""
    with state.transaction() as con:
        active = con.execute("SELECT uid FROM projects WHERE status = 'active' AND template = 0").fetchall()
        for row in active:
            annotators.catch_up(con, row["uid"])
