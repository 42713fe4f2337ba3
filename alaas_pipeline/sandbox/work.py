"""The life of a project, whoever moves it: the API's user or a person in Avala's own pages."""

import sqlite3
import time

from alaas_pipeline.sandbox.errors import bad_request
from alaas_pipeline.sandbox.state import new_uid


def approve_project(con: sqlite3.Connection, project: sqlite3.Row) -> int:
    """Makes a project active, with one task for each item of its dataset.

    Returns:
        The number of tasks.

    Raises:
        ApiError: 400 if its dataset was deleted.
    """
    dataset_uid, now = project["dataset_uid"], time.time()
    known = con.execute("SELECT 1 FROM datasets WHERE uid = ?", (dataset_uid,)).fetchone()
    if dataset_uid is not None and known is None:
        raise bad_request("The dataset of this project does not exist any more.")
    items = con.execute("SELECT uid FROM items WHERE dataset_uid = ? ORDER BY seq", (dataset_uid,)).fetchall()
    con.executemany(
        "INSERT INTO tasks (uid, project_uid, item_uid, owner_name, type, status, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, 'pending', ?, ?)",
        [
            (new_uid(), project["uid"], item["uid"], project["owner_name"], project["task_type"], now, now)
            for item in items
        ],
    )
    con.execute(
        "UPDATE projects SET status = 'active', approved_at = ?, running_since = ?, batch_uid = ?, updated_at = ?"
        " WHERE uid = ?",
        (now, now, new_uid(), now, project["uid"]),
    )
    return len(items)


def move_project(con: sqlite3.Connection, project: sqlite3.Row, status: str) -> None:
    """Gives a project another status; the annotators' clock runs while it is active."""
    now, worked = time.time(), project["worked_s"]
    if project["running_since"] is not None:
        worked += now - project["running_since"]
    con.execute(
        "UPDATE projects SET status = ?, worked_s = ?, running_since = ?, updated_at = ? WHERE uid = ?",
        (status, worked, now if status == "active" else None, now, project["uid"]),
    )
