"""Boxes around what an image shows, in pixels of the image as it is shown, from its top left corner."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace

from alaas_pipeline.sandbox.state import new_uid

Size = tuple[int, int]


@dataclass(frozen=True)
class Rectangle:
    """One labelled box; ``x`` and ``y`` are its top left corner."""

    label: str
    x: float
    y: float
    width: float
    height: float

    def within(self, size: Size) -> "Rectangle | None":
        """The part of the box that lies on an image of this width and height, to a hundredth of a pixel."""
        left, top = (round(max(0.0, side), 2) for side in (self.x, self.y))
        right = round(min(size[0], self.x + self.width), 2)
        bottom = round(min(size[1], self.y + self.height), 2)
        if right <= left or bottom <= top:
            return None
        return replace(self, x=left, y=top, width=round(right - left, 2), height=round(bottom - top, 2))


def store_rectangles(con: sqlite3.Connection, task_uid: str, rectangles: Iterable[Rectangle], size: Size) -> None:
    """Writes down the boxes of one task, in place of those it had.

    Args:
        con: an open transaction.
        task_uid: the task.
        rectangles: its boxes; none takes away what was there.
        size: width and height of the shown image in pixels.
    """
    con.execute("DELETE FROM rectangles WHERE task_uid = ?", (task_uid,))
    con.executemany(
        "INSERT INTO rectangles (uid, task_uid, label, x, y, width, height, image_width, image_height)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(new_uid(), task_uid, one.label, one.x, one.y, one.width, one.height, *size) for one in rectangles],
    )


def rectangles_of(con: sqlite3.Connection, projects: list[str]) -> dict[str, list[sqlite3.Row]]:
    """The stored boxes of every task of some projects, by the task's uid, in the order they were drawn."""
    marks = ",".join("?" * len(projects)) or "NULL"
    found: dict[str, list[sqlite3.Row]] = {}
    for row in con.execute(
        f"SELECT r.* FROM rectangles r JOIN tasks t ON t.uid = r.task_uid WHERE t.project_uid IN ({marks})"
        " ORDER BY r.seq",
        projects,
    ):
        found.setdefault(row["task_uid"], []).append(row)
    return found
