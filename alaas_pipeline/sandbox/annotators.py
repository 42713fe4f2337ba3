"""Simulated annotators: what they have done by now follows from the clock, the pace and the images alone.

Nobody works in the background. Whenever a project is read, the answers that are due by then are written down:
how many follows from the time the project has been active, which ones from the order of its tasks, what they
say from each image's content and the seed. A restart, or a day without a reader, changes nothing.
"""

import hashlib
import math
import sqlite3
import time
from dataclasses import dataclass, replace

from alaas_pipeline.sandbox.blobs import Blobs
from alaas_pipeline.sandbox.pictures import shown_size
from alaas_pipeline.sandbox.rectangles import Rectangle, Size, store_rectangles
from alaas_pipeline.sandbox.settings import Settings
from alaas_pipeline.sandbox.state import State, new_uid
from alaas_pipeline.sandbox.truth import Truth

UNUSABLE = "image unusable"
NOTHING_THERE = "no box lies on the image"


@dataclass(frozen=True)
class Answer:
    """What somebody says about one image: a label, boxes or both; or why it can have neither.

    ``size`` is the width and height of the shown image, on which the boxes lie.
    """

    label: str | None
    refusal_reason: str | None
    annotator: str
    rectangles: tuple[Rectangle, ...] = ()
    size: Size = (0, 0)


@dataclass(frozen=True)
class Question:
    """A task that the annotators can answer, and the true answer."""

    task_uid: str
    digest: str
    label: str | None
    rectangles: tuple[Rectangle, ...]

    @property
    def names(self) -> set[str]:
        """Every label of the true answer."""
        return {*(box.label for box in self.rectangles), *([] if self.label is None else [self.label])}


class Annotators:
    """The annotators of one sandbox.

    Args:
        settings: their pace, number, accuracy, refusals and seed.
        truth: what they can know.
        blobs: the images, whose sizes bound their boxes.
    """

    def __init__(self, settings: Settings, truth: Truth, blobs: Blobs) -> None:
        self._settings = settings
        self._truth = truth
        self._blobs = blobs

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
            names = sorted(self._dataset_labels(con, project["dataset_uid"]).union(*(one.names for one in answerable)))
            for question in answerable:
                if answered >= due:
                    break
                turn, number = divmod(answered, self._settings.annotators)
                moment = project["approved_at"] + (turn + 1) * self._settings.pace
                write_answer(con, question.task_uid, self._judge(question, names, number), moment)
                answered += 1
            if answered != project["answered"]:
                con.execute("UPDATE projects SET answered = ? WHERE uid = ?", (answered, project["uid"]))
        complete_if_done(con, project["uid"])

    def _answerable(self, con: sqlite3.Connection, project_uid: str) -> list[Question]:
        rows = con.execute(
            "SELECT t.uid, i.digest, i.key FROM tasks t JOIN items i ON i.uid = t.item_uid"
            " WHERE t.project_uid = ? AND t.status = 'pending' ORDER BY t.seq",
            (project_uid,),
        )
        asked = [
            Question(
                row["uid"],
                row["digest"],
                self._truth.label(row["digest"], row["key"]),
                self._truth.rectangles(row["digest"], row["key"]),
            )
            for row in rows
        ]
        return [question for question in asked if question.names]

    def _dataset_labels(self, con: sqlite3.Connection, dataset_uid: str) -> set[str]:
        if min(self._settings.accuracies) >= 1:
            return set()
        rows = con.execute("SELECT digest, key FROM items WHERE dataset_uid = ?", (dataset_uid,))
        return {
            name
            for row in rows
            for name in Question(
                "", "", self._truth.label(row["digest"], row["key"]), self._truth.rectangles(row["digest"], row["key"])
            ).names
        }

    def _judge(self, question: Question, names: list[str], number: int) -> Answer:
        annotator, digest = f"annotator-{number + 1}", question.digest
        if self._chance(digest, "refuse") < self._settings.refusal_rate:
            return Answer(None, UNUSABLE, annotator)
        accuracy = self._settings.accuracies[number]
        label = None if question.label is None else self._name(digest, "", question.label, names, accuracy)
        size = shown_size(self._blobs, digest) if question.rectangles else None
        drawn = [
            self._draw(digest, f" {place}", box, names, accuracy, size)
            for place, box in enumerate(question.rectangles)
            if size is not None
        ]
        rectangles = tuple(box for box in drawn if box is not None)
        if label is None and not rectangles:
            return Answer(None, NOTHING_THERE, annotator)
        return Answer(label, None, annotator, rectangles, size or (0, 0))

    def _name(self, digest: str, which: str, truth: str, names: list[str], accuracy: float) -> str:
        wrong = [name for name in names if name != truth]
        if wrong and self._chance(digest, f"mistake{which}") >= accuracy:
            return wrong[int(self._chance(digest, f"which{which}") * len(wrong))]
        return truth

    def _draw(
        self, digest: str, which: str, truth: Rectangle, names: list[str], accuracy: float, size: Size
    ) -> Rectangle | None:
        left, top, right, bottom = (
            (2 * self._chance(digest, f"{edge}{which}") - 1) * self._settings.box_jitter
            for edge in ("left", "top", "right", "bottom")
        )
        drawn = replace(
            truth,
            label=self._name(digest, which, truth.label, names, accuracy),
            x=truth.x + left * truth.width,
            y=truth.y + top * truth.height,
            width=truth.width * (1 + right - left),
            height=truth.height * (1 + bottom - top),
        )
        return drawn.within(size)

    def _chance(self, digest: str, question: str) -> float:
        seeded = hashlib.sha256(f"{self._settings.seed}/{question}/{digest}".encode()).digest()
        return int.from_bytes(seeded[:8], "big") / 2**64


def write_answer(con: sqlite3.Connection, task_uid: str, answer: Answer, moment: float) -> None:
    """Completes one task, at a moment of the annotators' clock; an answer that was there is replaced."""
    con.execute(
        "UPDATE tasks SET status = 'completed', result = ?, label = ?, refusal_reason = ?, annotator = ?,"
        " annotation_uid = ?, updated_at = ? WHERE uid = ?",
        (
            "labelled" if answer.refusal_reason is None else "refused",
            answer.label,
            answer.refusal_reason,
            answer.annotator,
            None if answer.label is None else new_uid(),
            moment,
            task_uid,
        ),
    )
    store_rectangles(con, task_uid, answer.rectangles, answer.size)


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
