"""Changes behind the client's back, as a person makes them in Avala's own pages. All below ``/_sandbox/``.

Each is written into the log of effects under a kind that begins with ``by_hand:``.
"""

import sqlite3
import time
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response

from alaas_pipeline.sandbox.box import BoxOf
from alaas_pipeline.sandbox.errors import bad_fields, bad_request, not_found
from alaas_pipeline.sandbox.gate import ADMIN
from alaas_pipeline.sandbox.routes.fields import Body, Name, ProjectName
from alaas_pipeline.sandbox.routes.projects import show_project
from alaas_pipeline.sandbox.state import ensure_user, log_effect, new_uid
from alaas_pipeline.sandbox.work import approve_project, move_project

router = APIRouter(prefix=ADMIN, tags=["sandbox"])

MOVES = {"active": "resume", "paused": "pause", "canceled": "cancel", "archived": "archive", "completed": "complete"}


class StatusBody(Body):
    """The status that a project is to have."""

    status: Literal["active", "paused", "canceled", "archived", "completed"]


class ProjectBody(Body):
    """A project that somebody else made. The owner is a user or an organization; a new name makes a user."""

    name: ProjectName
    owner: Name | None = None
    dataset_uid: UUID | None = None


@router.delete("/datasets/{uid}", status_code=204)
def delete_dataset(uid: str, request: Request, box: BoxOf) -> Response:
    """Deletes a dataset and its items.

    Its projects stay, without data; exports of it that are not done fail. The files stay in the storage, where
    nothing deletes them: a dataset of the same name would index them again.
    """
    with box.state.transaction() as con:
        dataset = _one(con, "datasets", uid)
        con.execute("DELETE FROM items WHERE dataset_uid = ?", (uid,))
        con.execute("DELETE FROM datasets WHERE uid = ?", (uid,))
        _log(con, "delete_dataset", request, dataset, items=dataset["item_count"])
    return Response(status_code=204)


@router.delete("/projects/{uid}", status_code=204)
def delete_project(uid: str, request: Request, box: BoxOf) -> Response:
    """Deletes a project and its tasks; exports of it that are not done fail."""
    with box.state.transaction() as con:
        project = _one(con, "projects", uid)
        tasks = con.execute("DELETE FROM tasks WHERE project_uid = ?", (uid,)).rowcount
        con.execute("DELETE FROM projects WHERE uid = ?", (uid,))
        _log(con, "delete_project", request, project, tasks=tasks, dataset_uid=project["dataset_uid"])
    return Response(status_code=204)


@router.delete("/exports/{uid}", status_code=204)
def delete_export(uid: str, request: Request, box: BoxOf) -> Response:
    """Deletes an export; its download is gone with it."""
    with box.state.transaction() as con:
        export = _one(con, "exports", uid)
        con.execute("DELETE FROM exports WHERE uid = ?", (uid,))
        _log(con, "delete_export", request, export, project_uid=export["project_uid"])
    return Response(status_code=204)


@router.post("/exports/{uid}/fail")
def fail_export(uid: str, request: Request, box: BoxOf) -> dict[str, Any]:
    """Ends an export that is not done as `failed`."""
    with box.state.transaction() as con:
        export = _one(con, "exports", uid)
        if export["status"] in ("exported", "failed"):
            raise bad_request(f"This export has ended already: it is {export['status']}.")
        con.execute("UPDATE exports SET status = 'failed', updated_at = ? WHERE uid = ?", (time.time(), uid))
        _log(con, "fail_export", request, export, project_uid=export["project_uid"])
    return {"uid": uid, "name": export["name"], "status": "failed"}


@router.post("/projects", status_code=201)
def create_project(body: ProjectBody, request: Request, box: BoxOf) -> dict[str, Any]:
    """Makes a project that waits for approval, by default one of the user whose key the settings name."""
    owner = body.owner or box.settings.username
    dataset_uid = None if body.dataset_uid is None else str(body.dataset_uid)
    with box.state.transaction() as con:
        if (
            dataset_uid is not None
            and not con.execute("SELECT 1 FROM datasets WHERE uid = ?", (dataset_uid,)).fetchone()
        ):
            raise bad_fields(dataset_uid=f'Invalid pk "{dataset_uid}" - object does not exist.')
        if con.execute("SELECT 1 FROM projects WHERE owner_name = ? AND name = ?", (owner, body.name)).fetchone():
            raise bad_fields(name="Project with this name already exists for this owner.")
        if not con.execute("SELECT 1 FROM organizations WHERE slug = ?", (owner,)).fetchone():
            ensure_user(con, owner, f"{owner}@sandbox.invalid")
        uid, now = new_uid(), time.time()
        con.execute(
            "INSERT INTO projects (uid, name, owner_name, task_type, status, visibility, short_description, template,"
            " dataset_uid, labels, created_at, updated_at)"
            " VALUES (?, ?, ?, 'image-annotation', 'pending-approval', 'private', '', 0, ?, '[]', ?, ?)",
            (uid, body.name, owner, dataset_uid, now, now),
        )
        project = _one(con, "projects", uid)
        _log(con, "create_project", request, project, 201, owner=owner, dataset_uid=dataset_uid)
        return show_project(project)


@router.post("/projects/{uid}/status")
def set_status(uid: str, body: StatusBody, request: Request, box: BoxOf) -> dict[str, Any]:
    """Gives a project any other status. `active` approves it, with its tasks, if nobody has approved it yet."""
    with box.state.transaction() as con:
        _one(con, "projects", uid)
        box.annotators.catch_up(con, uid)
        project = _one(con, "projects", uid)
        before = project["status"]
        if before == body.status:
            raise bad_request(f"The project is {before} already.")
        if body.status == "active" and project["approved_at"] is None and not project["template"]:
            tasks = approve_project(con, project)
            _log(con, "approve", request, project, before=before, tasks=tasks, dataset_uid=project["dataset_uid"])
        else:
            move_project(con, project, body.status)
            _log(con, MOVES[body.status], request, project, before=before)
        return show_project(_one(con, "projects", uid))


def _one(con: sqlite3.Connection, table: str, uid: str) -> sqlite3.Row:
    row = con.execute(f"SELECT * FROM {table} WHERE uid = ?", (uid,)).fetchone()
    if row is None:
        raise not_found()
    return row


def _log(
    con: sqlite3.Connection, what: str, request: Request, row: sqlite3.Row, status: int | None = None, **details: Any
) -> None:
    done = status or (204 if request.method == "DELETE" else 200)
    log_effect(con, f"by_hand:{what}", request.method, request.url.path, row["uid"], row["name"], done, **details)
