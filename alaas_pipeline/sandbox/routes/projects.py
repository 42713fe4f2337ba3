"""Projects: lists, clone, approval, change of status, metrics."""

import sqlite3
import time
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request

from alaas_pipeline.sandbox.annotators import catch_up_all
from alaas_pipeline.sandbox.auth import PAID_PLANS, Actor
from alaas_pipeline.sandbox.box import ActorOf, Box, BoxOf
from alaas_pipeline.sandbox.errors import ApiError, bad_fields, bad_request, forbidden, name_taken, not_found
from alaas_pipeline.sandbox.paging import cursor_page
from alaas_pipeline.sandbox.routes.fields import Body, ProjectName
from alaas_pipeline.sandbox.routes.slices import dataset_of_slice
from alaas_pipeline.sandbox.state import iso, log_effect, new_uid
from alaas_pipeline.sandbox.work import approve_project, move_project

router = APIRouter(tags=["projects"])

ORDERINGS = ("created_at", "name", "updated_at", "status")
# Which dataset a template wants, as the body names it, and of which data type.
ATTACHES = {
    "image-annotation": ("image_dataset_uid", "image"),
    "video-annotation": ("image_dataset_uid", "video"),
    "point-cloud-annotation": ("lidar_dataset_uid", "lidar"),
    "point-cloud-objects": ("lidar_dataset_uid", "lidar"),
}
TRANSITIONS = {
    "pause": (("active",), "paused"),
    "resume": (("paused",), "active"),
    "cancel": (("active", "paused"), "canceled"),
    "archive": (("completed", "canceled"), "archived"),
}


class CloneBody(Body):
    """A template, a name, and the data that the new project is about."""

    source_project_uid: UUID
    name: ProjectName
    image_dataset_uid: UUID | None = None
    lidar_dataset_uid: UUID | None = None
    slice_uid: UUID | None = None
    copy_collaborators: bool = True


@router.get("/users/me/projects/")
def my_projects(request: Request, box: BoxOf, actor: ActorOf, name: str = "", status: str = "") -> dict[str, Any]:
    """Projects that the user may access."""
    return _list(request, box, actor, None, name, status)


@router.get("/users/me/projects/{uid}/")
def get_project(uid: str, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One project."""
    actor.need("projects.read", "projects.write")
    with box.state.transaction() as con:
        return show_project(own_project(con, box, actor, uid))


@router.get("/projects/")
def every_project(request: Request, box: BoxOf, actor: ActorOf, name: str = "", status: str = "") -> dict[str, Any]:
    """Every project there is, for staff; others are refused, or see their own where the settings say so."""
    if not actor.staff and box.settings.every_project == "staff":
        raise forbidden()
    return _list(request, box, actor, None, name, status)


@router.get("/projects/{owner}/")
def owner_projects(
    owner: str, request: Request, box: BoxOf, actor: ActorOf, name: str = "", status: str = ""
) -> dict[str, Any]:
    """An owner's projects; 404 when the owner is unknown or has none that the user may see."""
    owner = actor.owner_named(owner) or owner
    with box.state.transaction() as con:
        found = con.execute("SELECT 1 FROM projects WHERE owner_name = ?", (owner,)).fetchone()
    if found is None or not (actor.staff or owner in actor.owners):
        raise not_found()
    return _list(request, box, actor, owner, name, status)


@router.post("/projects/create-from-existing/", status_code=201)
def clone(body: CloneBody, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Clones a template onto a dataset. Nothing is billed before the new project is approved."""
    if actor.coworker:
        raise forbidden()
    with box.state.transaction() as con:
        template = con.execute("SELECT * FROM projects WHERE uid = ?", (str(body.source_project_uid),)).fetchone()
        # Templates are there for everybody; other projects only for their owner.
        if template is None or not (template["template"] or actor.staff or template["owner_name"] in actor.owners):
            raise not_found()
        dataset_uid = _dataset_for(con, actor, body, template["task_type"])
        if con.execute(
            "SELECT 1 FROM projects WHERE owner_name = ? AND name = ?", (actor.username, body.name)
        ).fetchone():
            message = "Project with this name already exists for this owner."
            raise name_taken(box.settings.taken_name_status, name=message)
        uid, now = new_uid(), time.time()
        con.execute(
            "INSERT INTO projects (uid, name, owner_name, task_type, status, visibility, short_description, "
            "template, source_uid, dataset_uid, labels, created_at, updated_at) VALUES (?, ?, ?, ?, "
            "'pending-approval', 'private', ?, 0, ?, ?, ?, ?, ?)",
            (
                uid,
                body.name,
                actor.username,
                template["task_type"],
                template["short_description"],
                template["uid"],
                dataset_uid,
                template["labels"],
                now,
                now,
            ),
        )
        details = {"owner": actor.username, "source_project_uid": template["uid"], "dataset_uid": dataset_uid}
        log_effect(con, "clone", "POST", request.url.path, uid, body.name, 201, **details)
        return show_project(con.execute("SELECT * FROM projects WHERE uid = ?", (uid,)).fetchone())


@router.post("/projects/{uid}/approve/")
def approve(uid: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Starts the billable work: one task for each item. It cannot be undone."""
    actor.need("projects.write")
    with box.state.transaction() as con:
        project = own_project(con, box, actor, uid)
        if actor.plan not in PAID_PLANS and not actor.staff:
            raise forbidden("Project approval requires a PRO or ENTERPRISE plan.", "plan_insufficient")
        if project["status"] != "pending-approval":
            raise bad_request(f"Cannot approve a project in status {project['status']}: it must be pending-approval.")
        tasks = approve_project(con, project)
        details = {"tasks": tasks, "dataset_uid": project["dataset_uid"]}
        log_effect(con, "approve", "POST", request.url.path, uid, project["name"], 200, **details)
        return show_project(con.execute("SELECT * FROM projects WHERE uid = ?", (uid,)).fetchone())


@router.get("/projects/{uid}/metrics/")
def metrics(uid: str, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Progress, and the share of finished tasks whose image was not refused (1 while none is finished)."""
    actor.need("projects.read", "projects.write")
    with box.state.transaction() as con:
        own_project(con, box, actor, uid)
        total, completed, labelled = con.execute(
            "SELECT count(*), count(result), coalesce(sum(result = 'labelled'), 0) FROM tasks WHERE project_uid = ?",
            (uid,),
        ).fetchone()
    return {
        "total_tasks": total,
        "completed_tasks": completed,
        "acceptance_rate": labelled / completed if completed else 1.0,
    }


def _change(action: str, uid: str, request: Request, box: Box, actor: Actor) -> dict[str, Any]:
    allowed, target = TRANSITIONS[action]
    with box.state.transaction() as con:
        project = own_project(con, box, actor, uid)
        if project["status"] not in allowed:
            raise bad_request(f"Cannot {action} a project in status {project['status']}.")
        move_project(con, project, target)
        log_effect(con, action, "POST", request.url.path, uid, project["name"], 200, before=project["status"])
        return show_project(con.execute("SELECT * FROM projects WHERE uid = ?", (uid,)).fetchone())


@router.post("/projects/{uid}/pause/")
def pause(uid: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Stops the annotators and their clock: active to paused."""
    return _change("pause", uid, request, box, actor)


@router.post("/projects/{uid}/resume/")
def resume(uid: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Lets the annotators go on: paused to active."""
    return _change("resume", uid, request, box, actor)


@router.post("/projects/{uid}/cancel/")
def cancel(uid: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Ends the work for good: active or paused to canceled."""
    return _change("cancel", uid, request, box, actor)


@router.post("/projects/{uid}/archive/")
def archive(uid: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Puts a project away: completed or canceled to archived."""
    return _change("archive", uid, request, box, actor)


def own_project(con: sqlite3.Connection, box: Box, actor: Actor, uid: str) -> sqlite3.Row:
    """A project of this user, with the annotators' work brought up to now.

    Raises:
        ApiError: 404 if it does not exist or belongs to somebody else.
    """
    project = con.execute("SELECT * FROM projects WHERE uid = ?", (uid,)).fetchone()
    if project is None or not (actor.staff or project["owner_name"] in actor.owners):
        raise not_found()
    box.annotators.catch_up(con, uid)
    return con.execute("SELECT * FROM projects WHERE uid = ?", (uid,)).fetchone()


def show_project(row: sqlite3.Row) -> dict[str, Any]:
    """The JSON object of a project; like Avala's, it does not name the dataset."""
    return {
        "uid": row["uid"],
        "name": row["name"],
        "task_type": row["task_type"],
        "status": row["status"],
        "is_active": row["status"] == "active",
        "visibility": row["visibility"],
        "is_imported": False,
        "owner_name": row["owner_name"],
        "short_description": row["short_description"],
        "industry_icon": "other",
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
    }


def _list(request: Request, box: Box, actor: Actor, owner: str | None, name: str, status: str) -> dict[str, Any]:
    actor.need("projects.read", "projects.write")
    catch_up_all(box.annotators, box.state)
    where: list[str] = []
    values: list[Any] = []
    if owner is not None:
        where.append("t.owner_name = ?")
        values.append(owner)
    elif not actor.staff:
        where.append(f"t.owner_name IN ({','.join('?' * len(actor.owners))})")
        values += actor.owners
    if name:
        where.append("instr(lower(t.name), lower(?)) > 0")
        values.append(name)
    if status:
        where.append("t.status = ?")
        values.append(status.lower().replace("_", "-").replace("cancelled", "canceled"))
    with box.state.transaction() as con:
        return cursor_page(
            con, request, "t.*", "projects t", where, values, show_project, box.settings.page_size, ORDERINGS
        )


def _dataset_for(con: sqlite3.Connection, actor: Actor, body: CloneBody, task_type: str) -> str:
    field, data_type = ATTACHES[task_type]
    given = {"image_dataset_uid": body.image_dataset_uid, "lidar_dataset_uid": body.lidar_dataset_uid}
    if body.slice_uid is not None:
        if any(given.values()):
            raise bad_fields(slice_uid="Give a slice instead of a dataset, not beside one.")
        given[field] = UUID(dataset_of_slice(con, actor, str(body.slice_uid)))
    # Whether Avala takes a clone without any data is not known: here it is an error that nobody can miss.
    if all(uid is None for uid in given.values()):
        raise bad_fields(**{field: "This field is required."})
    for name, uid in given.items():
        if uid is None:
            continue
        dataset = con.execute("SELECT * FROM datasets WHERE uid = ?", (str(uid),)).fetchone()
        if dataset is None or not (actor.staff or dataset["owner_name"] in actor.owners):
            raise bad_fields(**{name: f'Invalid pk "{uid}" - object does not exist.'})
        if name != field or dataset["data_type"] != data_type:
            raise bad_fields(**{name: f"A project of type {task_type} needs a dataset of type {data_type}."})
        if dataset["reads_left"] > 0:
            raise bad_fields(**{name: "This dataset is still being created."})
    chosen = given[field]
    if chosen is None:
        raise ApiError(400, {field: ["This field is required."]})
    return str(chosen)
