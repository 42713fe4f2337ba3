"""Exports: asked for, worked on while they are read, downloaded from a signed URL."""

import json
import sqlite3
import time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field

from alaas_pipeline.sandbox.auth import Actor
from alaas_pipeline.sandbox.box import ActorOf, Box, BoxOf, origin
from alaas_pipeline.sandbox.errors import ApiError, bad_fields, not_found, throttled
from alaas_pipeline.sandbox.exports import FORMAT, build_export, pack_export
from alaas_pipeline.sandbox.gate import API
from alaas_pipeline.sandbox.paging import cursor_page
from alaas_pipeline.sandbox.routes.fields import Body, ExportName
from alaas_pipeline.sandbox.routes.projects import own_project
from alaas_pipeline.sandbox.state import iso, log_effect, new_uid

router = APIRouter(tags=["exports"])

REQUIRED = ("name", "format", "datasets", "projects", "slices")
Uids = Annotated[list[UUID], Field(max_length=100)]


class ExportBody(Body):
    """The four published ways of asking for an export, in one body.

    The documented one is ``name, format, datasets, projects, slices``; the others name a ``project``, a
    ``project_id`` or a ``dataset``.
    """

    name: ExportName | None = None
    format: str | None = None
    datasets: Uids | None = None
    projects: Uids | None = None
    slices: Uids | None = None
    filter_query_string: str | None = None
    project: UUID | None = None
    project_id: UUID | None = None
    dataset: UUID | None = None


class ProjectExportBody(Body):
    """The body of the route below a project."""

    format: str = FORMAT


@router.post("/exports/", status_code=201)
def create(body: ExportBody, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Asks for an export of one project or one dataset. Every call makes a new one."""
    actor.need("exports.create")
    if box.settings.strict_exports:
        missing = {name: ["This field is required."] for name in REQUIRED if getattr(body, name) is None}
        if missing:
            raise ApiError(400, missing)
    if body.format not in (None, FORMAT):
        raise bad_fields(format=f'"{body.format}" is not a valid choice.')
    if body.slices:
        raise bad_fields(slices="Slice not found.")
    projects = _distinct(body.projects, body.project, body.project_id)
    datasets = _distinct(body.datasets, body.dataset)
    if not projects and not datasets:
        raise bad_fields(non_field_errors="Name a project or a dataset to export.")
    for field, uids in (("projects", projects), ("datasets", datasets)):
        if len(uids) > 1:
            raise bad_fields(**{field: "This server exports one at a time."})
    return _create(request, box, actor, projects, datasets, body.name, body.filter_query_string)


@router.post("/projects/{uid}/exports/", status_code=201)
def create_for_project(
    uid: str, request: Request, box: BoxOf, actor: ActorOf, body: ProjectExportBody | None = None
) -> dict[str, Any]:
    """Asks for an export of one project; ``coco`` is accepted, and answered with the format written."""
    actor.need("exports.create")
    if body is not None and body.format not in (FORMAT, "coco"):
        raise bad_fields(format=f'"{body.format}" is not a valid choice.')
    with box.state.transaction() as con:
        own_project(con, box, actor, uid)
    return _create(request, box, actor, [uid], [], None, None)


@router.get("/exports/")
def list_exports(request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Exports, newest first. Each one that is shown moves on, as if it had been read by itself."""
    actor.need("exports.read", "exports.create")
    where, values = [f"t.owner_name IN ({','.join('?' * len(actor.owners))})"], list(actor.owners)
    with box.state.transaction() as con:
        return cursor_page(
            con,
            request,
            "t.*",
            "exports t",
            where,
            values,
            lambda row: _read(con, request, box, row),
            box.settings.page_size,
        )


@router.get("/exports/{uid}/")
def get_export(uid: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One export; its download URL is signed anew for every answer."""
    actor.need("exports.read", "exports.create")
    with box.state.transaction() as con:
        return _read(con, request, box, _own_export(con, actor, uid))


@router.get("/exports/{uid}/download/", response_class=FileResponse)
def download(uid: str, box: BoxOf, actor: ActorOf) -> Response:
    """The file of an export that is done, for whoever holds the key: one of the published kinds of link."""
    actor.need("exports.read", "exports.create")
    with box.state.transaction() as con:
        row = _own_export(con, actor, uid)
    if row["status"] != "exported":
        raise not_found()
    media_type = "application/zip" if row["kind"] == "zip" else "application/json"
    return FileResponse(box.blobs.path(row["digest"]), media_type=media_type)


def _own_export(con: sqlite3.Connection, actor: Actor, uid: str) -> sqlite3.Row:
    row = con.execute("SELECT * FROM exports WHERE uid = ?", (uid,)).fetchone()
    if row is None or row["owner_name"] not in actor.owners:
        raise not_found()
    return row


def _distinct(many: list[UUID] | None, *single: UUID | None) -> list[str]:
    return list(dict.fromkeys(str(uid) for uid in (*(many or ()), *single) if uid is not None))


def _create(
    request: Request,
    box: Box,
    actor: Actor,
    projects: list[str],
    datasets: list[str],
    name: str | None,
    filter_query: str | None,
) -> dict[str, Any]:
    with box.state.transaction() as con:
        dataset_uid = _dataset(con, box, actor, projects, datasets)
        running = con.execute(
            "SELECT count(*) FROM exports WHERE owner_name = ? AND status NOT IN ('exported', 'failed')",
            (actor.username,),
        ).fetchone()[0]
        if running >= box.settings.concurrent_exports:
            raise throttled(5, box.settings.retry_after)
        shown = projects or [
            row["uid"]
            for row in con.execute("SELECT uid FROM projects WHERE dataset_uid = ? ORDER BY seq", (dataset_uid,))
        ]
        uid, now = new_uid(), time.time()
        name = name or f"Export {iso(now)}"
        con.execute(
            "INSERT INTO exports (uid, name, owner_name, format, project_uid, dataset_uid, projects, datasets, "
            "filter_query_string, status, reads_left, kind, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, "
            "?, ?, ?, ?, ?, ?, ?)",
            (
                uid,
                name,
                actor.username,
                FORMAT,
                projects[0] if projects else None,
                dataset_uid,
                json.dumps(shown),
                json.dumps(datasets),
                filter_query,
                box.settings.export_first,
                box.settings.export_reads,
                box.settings.export_kind,
                now,
                now,
            ),
        )
        details = {"project_uid": projects[0] if projects else None, "dataset_uid": dataset_uid}
        log_effect(con, "export", "POST", request.url.path, uid, name, 201, **details)
        return _show(request, box, con.execute("SELECT * FROM exports WHERE uid = ?", (uid,)).fetchone())


def _dataset(con: sqlite3.Connection, box: Box, actor: Actor, projects: list[str], datasets: list[str]) -> str:
    for uid in projects:
        project = con.execute("SELECT owner_name, dataset_uid FROM projects WHERE uid = ?", (uid,)).fetchone()
        if project is None or project["owner_name"] not in actor.owners:
            raise bad_fields(projects=f'Invalid pk "{uid}" - object does not exist.')
        if project["dataset_uid"] is None:
            raise bad_fields(projects="This project has no data to export.")
        if datasets not in ([], [project["dataset_uid"]]):
            raise bad_fields(datasets="This dataset is not the one of the project.")
        return project["dataset_uid"]
    dataset = con.execute("SELECT owner_name FROM datasets WHERE uid = ?", (datasets[0],)).fetchone()
    if dataset is None or dataset["owner_name"] not in actor.owners:
        raise bad_fields(datasets=f'Invalid pk "{datasets[0]}" - object does not exist.')
    return datasets[0]


def _read(con: sqlite3.Connection, request: Request, box: Box, row: sqlite3.Row) -> dict[str, Any]:
    if row["status"] in ("exported", "failed"):
        return _show(request, box, row)
    if row["reads_left"] > 0:
        con.execute(
            "UPDATE exports SET status = 'processing', reads_left = reads_left - 1, updated_at = ? WHERE uid = ?",
            (time.time(), row["uid"]),
        )
    elif row["seq"] <= box.settings.failing_exports or _source_is_gone(con, row):
        con.execute("UPDATE exports SET status = 'failed', updated_at = ? WHERE uid = ?", (time.time(), row["uid"]))
    else:
        for project in json.loads(row["projects"]):
            box.annotators.catch_up(con, project)
        content, total, done = build_export(con, row)
        digest = box.blobs.store(pack_export(content, row["kind"]))
        con.execute(
            "UPDATE exports SET status = 'exported', total_task_count = ?, exported_task_count = ?, digest = ?, "
            "updated_at = ? WHERE uid = ?",
            (total, done, digest, time.time(), row["uid"]),
        )
    return _show(request, box, con.execute("SELECT * FROM exports WHERE uid = ?", (row["uid"],)).fetchone())


def _source_is_gone(con: sqlite3.Connection, row: sqlite3.Row) -> bool:
    """Whether the dataset or the project of an export was deleted."""
    wanted = {"datasets": row["dataset_uid"], "projects": row["project_uid"]}
    return any(
        uid is not None and con.execute(f"SELECT 1 FROM {table} WHERE uid = ?", (uid,)).fetchone() is None
        for table, uid in wanted.items()
    )


def _show(request: Request, box: Box, row: sqlite3.Row) -> dict[str, Any]:
    url = None
    if row["status"] == "exported":
        if box.settings.export_url == "api":
            url = f"{origin(request)}{API}/exports/{row['uid']}/download/"
        else:
            url = box.signer.url(origin(request), "GET", f"/_storage/exports/{row['uid']}.{row['kind']}")
    return {
        "uid": row["uid"],
        "name": row["name"],
        "format": row["format"],
        # Stored under one name, so that a state outlives a change of the setting.
        "status": box.settings.export_final if row["status"] == "exported" else row["status"],
        "total_task_count": row["total_task_count"],
        "exported_task_count": row["exported_task_count"],
        "download_url": url,
        "datasets": json.loads(row["datasets"]),
        "slices": [],
        "projects": json.loads(row["projects"]),
        "organization": None,
        "filter_query_string": row["filter_query_string"],
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
    }
