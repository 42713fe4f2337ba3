"""What Avala does not have: the log of effects, further keys, answers by hand. All below ``/_sandbox/``."""

import json
import sqlite3
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from alaas_pipeline.sandbox.annotators import Answer
from alaas_pipeline.sandbox.box import BoxOf
from alaas_pipeline.sandbox.errors import bad_fields, bad_request, not_found
from alaas_pipeline.sandbox.pictures import shown_size
from alaas_pipeline.sandbox.rectangles import Rectangle, Size, rectangles_of
from alaas_pipeline.sandbox.routes.fields import Body, Name
from alaas_pipeline.sandbox.routes.projects import show_project
from alaas_pipeline.sandbox.routes.tasks import show_task
from alaas_pipeline.sandbox.settings import Plan
from alaas_pipeline.sandbox.state import ensure_user, iso, key_digest

router = APIRouter(prefix="/_sandbox", tags=["sandbox"])

PERSON = "person"
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Side = Annotated[float, Field(allow_inf_nan=False)]


class KeyBody(Body):
    """A further API key. A username that is new makes a user with an organization of their own."""

    key: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]
    username: Name | None = None
    email: Name | None = None
    plan: Plan = "PRO"
    scopes: list[str] | None = None
    coworker: bool = False
    staff: bool = False
    expired: bool = False


class BoxBody(Body):
    """A labelled box in pixels of the image as it is shown, from its top left corner."""

    label: Word
    x: Side
    y: Side
    width: Side
    height: Side


class AnswerBody(Body):
    """A label, boxes or both; or the reason why the image can have neither.

    ``again`` replaces what a person has answered, as long as the project is active.
    """

    label: Word | None = None
    refusal_reason: Word | None = None
    boxes: list[BoxBody] = Field(default_factory=list, max_length=1000)
    again: bool = False


@router.get("/health")
def health(box: BoxOf) -> dict[str, str]:
    """Says that the server answers and that its state can be read."""
    with box.state.transaction() as con:
        con.execute("SELECT count(*) FROM users").fetchone()
    return {"status": "ok"}


@router.get("/effects")
def list_effects(box: BoxOf) -> dict[str, Any]:
    """Every accepted change since the state was made, numbered from 1; ``name`` is the file's path for uploads.

    ``details`` holds, by kind:

    - ``presign``: dataset_name, by (POST, PUT or MULTIPART), size (null if it was not announced)
    - ``upload``: dataset_name, sha256, size
    - ``complete``: dataset_name
    - ``finalise``: slug, owner, items, files_sha256 (SHA-256 in hex over the items' file names, sorted, each
      followed by a line feed), issues (number of files that did not become items)
    - ``clone``: owner, source_project_uid, dataset_uid
    - ``approve``: tasks, dataset_uid
    - ``pause``, ``resume``, ``cancel``, ``archive``: before (status)
    - ``export``: project_uid (null for an export of a dataset), dataset_uid
    - ``invite``: organization, role
    - ``slice``: owner, datasets

    What was done below ``/_sandbox/``, behind the client's back, has a kind that begins with ``by_hand:``:
    ``delete_dataset`` (items), ``delete_project`` (tasks, dataset_uid), ``delete_export`` (project_uid),
    ``fail_export`` (project_uid), ``create_project`` (owner, dataset_uid), ``approve`` (before, tasks,
    dataset_uid), and ``pause``, ``resume``, ``cancel``, ``archive``, ``complete`` (before).
    """
    with box.state.transaction() as con:
        rows = con.execute("SELECT * FROM effects ORDER BY n").fetchall()
    return {"effects": [{**dict(row), "at": iso(row["at"]), "details": json.loads(row["details"])} for row in rows]}


@router.post("/keys", status_code=201)
def add_key(body: KeyBody, box: BoxOf) -> dict[str, Any]:
    """Registers a key, or changes one that is there."""
    username = body.username or box.settings.username
    with box.state.transaction() as con:
        known = con.execute("SELECT from_settings FROM api_keys WHERE digest = ?", (key_digest(body.key),)).fetchone()
        if known is not None and known["from_settings"]:
            raise bad_fields(key="This is the key of the settings: it cannot be changed here.")
        email = body.email or f"{username}@sandbox.invalid"
        holder = con.execute("SELECT username FROM users WHERE email = ?", (email,)).fetchone()
        if holder is not None and holder["username"] != username:
            raise bad_fields(email="Another user has this address.")
        user = ensure_user(con, username, email)
        scopes = None if body.scopes is None else json.dumps(body.scopes)
        con.execute(
            "INSERT OR REPLACE INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            (key_digest(body.key), user, body.plan, scopes, body.coworker, body.staff, body.expired),
        )
    return {"username": username, "user_uid": user, "plan": body.plan, "scopes": body.scopes}


@router.post("/projects/{uid}/finish")
def finish(uid: str, box: BoxOf) -> dict[str, Any]:
    """Lets the annotators answer at once everything that they can."""
    with box.state.transaction() as con:
        if _project(con, uid)["status"] != "active":
            raise bad_request("Only an active project can be finished.")
        box.annotators.finish(con, uid)
        total, completed = con.execute(
            "SELECT count(*), count(result) FROM tasks WHERE project_uid = ?", (uid,)
        ).fetchone()
        return {
            **show_project(_project(con, uid)),
            "total_tasks": total,
            "completed_tasks": completed,
            "pending_tasks": total - completed,
        }


@router.get("/projects/{uid}/tasks")
def list_tasks(uid: str, box: BoxOf) -> dict[str, Any]:
    """Every task of a project with the key of its image, in the order in which annotators take them."""
    with box.state.transaction() as con:
        _project(con, uid)
        box.annotators.catch_up(con, uid)
        rows = con.execute(
            "SELECT t.*, i.key FROM tasks t JOIN items i ON i.uid = t.item_uid WHERE t.project_uid = ? ORDER BY t.seq",
            (uid,),
        ).fetchall()
        boxes = rectangles_of(con, [uid])
    return {
        "tasks": [
            {
                **show_task(row),
                "item_uid": row["item_uid"],
                "key": row["key"],
                "label": row["label"],
                "refusal_reason": row["refusal_reason"],
                "annotator": row["annotator"],
                "boxes": [
                    {name: box[name] for name in ("label", "x", "y", "width", "height")}
                    for box in boxes.get(row["uid"], [])
                ],
            }
            for row in rows
        ]
    }


@router.post("/projects/{uid}/tasks/{task_uid}/answer")
def answer(uid: str, task_uid: str, body: AnswerBody, box: BoxOf) -> dict[str, Any]:
    """A person's answer to one task that nobody has answered yet, or their second thought."""
    labelled = body.label is not None or bool(body.boxes)
    if labelled == (body.refusal_reason is not None):
        raise bad_fields(label="Give either a label, boxes or both, or a refusal_reason.")
    with box.state.transaction() as con:
        _project(con, uid)
        box.annotators.catch_up(con, uid)
        if (status := _project(con, uid)["status"]) not in ("active", "completed"):
            raise bad_request("Only tasks of an active project can be answered.")
        task = con.execute(
            "SELECT t.*, i.digest FROM tasks t LEFT JOIN items i ON i.uid = t.item_uid"
            " WHERE t.uid = ? AND t.project_uid = ?",
            (task_uid, uid),
        ).fetchone()
        if task is None:
            raise not_found()
        changes = body.again and status == "active" and task["annotator"] == PERSON
        if task["status"] != "pending" and not changes:
            raise bad_request("This task is answered already.")
        size = shown_size(box.blobs, task["digest"] or "") if body.boxes else (0, 0)
        drawn = _on_image(body.boxes, size)
        given = Answer(body.label, body.refusal_reason, PERSON, drawn, size or (0, 0))
        box.annotators.answer_by_hand(con, uid, task_uid, given)
        return show_task(con.execute("SELECT * FROM tasks WHERE uid = ?", (task_uid,)).fetchone())


def _on_image(boxes: list[BoxBody], size: Size | None) -> tuple[Rectangle, ...]:
    if size is None:
        raise bad_fields(boxes="This is no image that a box could be drawn on.")
    drawn = [Rectangle(one.label, one.x, one.y, one.width, one.height).within(size) for one in boxes]
    if None in drawn:
        raise bad_fields(boxes=f"A box lies outside the image, which is shown {size[0]} by {size[1]} pixels.")
    return tuple(box for box in drawn if box is not None)


def _project(con: sqlite3.Connection, uid: str) -> sqlite3.Row:
    project = con.execute("SELECT * FROM projects WHERE uid = ?", (uid,)).fetchone()
    if project is None:
        raise not_found()
    return project
