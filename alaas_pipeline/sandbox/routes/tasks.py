"""Tasks and work batches of approved projects."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request

from alaas_pipeline.sandbox.annotators import catch_up_all
from alaas_pipeline.sandbox.auth import Actor
from alaas_pipeline.sandbox.box import ActorOf, BoxOf
from alaas_pipeline.sandbox.errors import not_found
from alaas_pipeline.sandbox.paging import cursor_page
from alaas_pipeline.sandbox.rectangles import rectangles_of
from alaas_pipeline.sandbox.routes.projects import own_project
from alaas_pipeline.sandbox.state import iso

router = APIRouter()


@router.get("/tasks/", tags=["tasks"])
def list_tasks(request: Request, box: BoxOf, actor: ActorOf, project: str = "", status: str = "") -> dict[str, Any]:
    """Tasks, newest first; ``status`` is pending or completed."""
    actor.need("tasks.read")
    catch_up_all(box.annotators, box.state)
    where, values = _asked_for(actor, project, status)
    with box.state.transaction() as con:
        return cursor_page(
            con,
            request,
            "t.*",
            "tasks t",
            where,
            values,
            show_task,
            box.settings.page_size,
            ("created_at", "updated_at", "status"),
        )


@router.get("/tasks/{uid}/", tags=["tasks"])
def get_task(uid: str, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One task."""
    actor.need("tasks.read")
    catch_up_all(box.annotators, box.state)
    where, values = _visible(actor)
    with box.state.transaction() as con:
        row = con.execute(f"SELECT * FROM tasks t WHERE {' AND '.join(where)} AND t.uid = ?", [*values, uid]).fetchone()
    if row is None:
        raise not_found()
    return show_task(row)


@router.get("/projects/{uid}/tasks/", tags=["tasks"])
def tasks_of_project(uid: str, request: Request, box: BoxOf, actor: ActorOf, status: str = "") -> dict[str, Any]:
    """A project's tasks with their annotations: announced in Avala's examples, 404 unless the settings have it."""
    if box.settings.project_tasks == "absent":
        raise not_found()
    actor.need("tasks.read")
    where, values = _asked_for(actor, uid, status)
    with box.state.transaction() as con:
        own_project(con, box, actor, uid)
        boxes = rectangles_of(con, [uid])
        return cursor_page(
            con,
            request,
            "t.*",
            "tasks t",
            where,
            values,
            lambda row: show_task(row) | {"annotations": _annotations(row, boxes.get(row["uid"], ()))},
            box.settings.page_size,
        )


@router.get("/work-batches/", tags=["tasks"])
def list_batches(request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One batch for each approved project. Its fields are this sandbox's own: Avala publishes none."""
    actor.need("work_batches.read")
    catch_up_all(box.annotators, box.state)
    where, values = _visible(actor)
    columns = """t.*, (SELECT count(*) FROM tasks k WHERE k.project_uid = t.uid) AS total,
        (SELECT count(k.result) FROM tasks k WHERE k.project_uid = t.uid) AS completed"""
    with box.state.transaction() as con:
        return cursor_page(
            con,
            request,
            columns,
            "projects t",
            [*where, "t.batch_uid IS NOT NULL"],
            values,
            _show_batch,
            box.settings.page_size,
        )


def show_task(row: sqlite3.Row) -> dict[str, Any]:
    """The JSON object of a task.

    A refused image counts as completed. ``result`` (labelled, refused or null) is this sandbox's own
    addition.
    """
    return {
        "uid": row["uid"],
        "type": row["type"],
        "name": "classification" if row["type"] == "image-annotation" else "cuboid",
        "status": row["status"],
        "project": row["project_uid"],
        "result": row["result"],
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
    }


def _annotations(row: sqlite3.Row, boxes: Sequence[sqlite3.Row]) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    if row["label"] is not None:
        shown.append({"uid": row["annotation_uid"], "label": row["label"], "annotation_type": "classification"})
    for box in boxes:
        sides = {side: box[side] for side in ("x", "y", "width", "height")}
        shown.append({"uid": box["uid"], "label": box["label"], "annotation_type": "bounding_box", **sides})
    return shown


def _show_batch(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "uid": row["batch_uid"],
        "name": row["name"],
        "status": row["status"],
        "project": row["uid"],
        "total_work_units": row["total"],
        "completed_work_units": row["completed"],
        "created_at": iso(row["approved_at"]),
    }


def _asked_for(actor: Actor, project: str, status: str) -> tuple[list[str], list[Any]]:
    where, values = _visible(actor)
    for column, wanted in (("project_uid", project), ("status", status.lower())):
        if wanted:
            where.append(f"t.{column} = ?")
            values.append(wanted)
    return where, values


def _visible(actor: Actor) -> tuple[list[str], list[Any]]:
    if actor.staff:
        return ["1"], []
    return [f"t.owner_name IN ({','.join('?' * len(actor.owners))})"], list(actor.owners)
