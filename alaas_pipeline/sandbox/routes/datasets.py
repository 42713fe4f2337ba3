"""Datasets and their items."""

import hashlib
import json
import sqlite3
import time
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request

from alaas_pipeline.sandbox.auth import Actor
from alaas_pipeline.sandbox.box import ActorOf, Box, BoxOf
from alaas_pipeline.sandbox.errors import ApiError, bad_fields, not_found
from alaas_pipeline.sandbox.paging import cursor_page, numbered_page, shown_until
from alaas_pipeline.sandbox.routes.fields import SUFFIXES, Body, DatasetName, Slug, Visibility
from alaas_pipeline.sandbox.routes.uploads import root_of
from alaas_pipeline.sandbox.state import iso, log_effect, new_uid

router = APIRouter(prefix="/datasets", tags=["datasets"])

COLUMNS = """t.*,
    (SELECT count(*) FROM projects p WHERE p.dataset_uid = t.uid) AS project_count,
    (SELECT count(*) FROM tasks k JOIN items i ON i.uid = k.item_uid
     WHERE i.dataset_uid = t.uid AND k.result = 'labelled') AS annotations_count"""


class FinaliseBody(Body):
    """What makes a dataset out of uploaded files."""

    name: DatasetName
    slug: Slug
    data_type: str
    visibility: Visibility = "private"
    create_metadata: bool = True
    owner_name: str | None = None
    metadata: dict[str, Any] | None = None
    industry: int | None = None
    license: int | None = None
    organization_uid: UUID | None = None
    dataset_upload_uid: UUID | None = None


@router.post("/manual-upload/", status_code=201, tags=["uploads"])
def finalise(body: FinaliseBody, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Indexes everything that lies under the prefix of the dataset's name."""
    actor.need("datasets.write")
    root = root_of(actor, body.organization_uid)
    data_type = _data_type(box, body.data_type)
    owner = _owner(actor, body)
    with box.state.transaction() as con:
        _refuse_taken(con, owner, body)
        uid, now = new_uid(), time.time()
        objects = con.execute(
            "SELECT o.path, b.* FROM objects o JOIN blobs b ON b.digest = o.digest"
            " WHERE o.root = ? AND o.dataset_name = ? ORDER BY o.path",
            (root, body.name),
        ).fetchall()
        issues = {row["path"]: problem for row in objects if (problem := _problem(row, data_type)) is not None}
        indexed = [row for row in objects if row["path"] not in issues]
        con.execute(
            "INSERT INTO datasets (uid, name, slug, owner_name, data_type, visibility, reads_left, prefix, "
            "item_count, size_bytes, issues, metadata, created_at, updated_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                uid,
                body.name,
                body.slug,
                owner,
                data_type,
                body.visibility,
                box.settings.creating_reads,
                f"{root}{body.name}/",
                len(indexed),
                sum(row["size"] for row in indexed),
                json.dumps([f"{path}: {problem}" for path, problem in issues.items()]),
                json.dumps(body.metadata or {}),
                now,
                now,
            ),
        )
        con.executemany(
            "INSERT INTO items (uid, dataset_uid, key, digest, created_at) VALUES (?, ?, ?, ?, ?)",
            [(new_uid(), uid, row["path"], row["digest"], now) for row in indexed],
        )
        details = {"slug": body.slug, "owner": owner, "items": len(indexed), "issues": len(issues)}
        names = hashlib.sha256("".join(f"{path}\n" for path in sorted(row["path"] for row in indexed)).encode())
        log_effect(
            con,
            "finalise",
            "POST",
            request.url.path,
            uid,
            body.name,
            201,
            **details,
            files_sha256=names.hexdigest(),
        )
        # Always `creating` in this answer, however soon it is done.
        return show_dataset(_one(con, "t.uid = ?", (uid,))) | {"status": "creating", "item_count": 0}


@router.get("/")
def list_datasets(
    request: Request,
    box: BoxOf,
    actor: ActorOf,
    data_type: str = "",
    name: str = "",
    status: str = "",
    visibility: str = "",
) -> dict[str, Any]:
    """Datasets the user may see, newest first; ``name`` matches a part, in any case."""
    actor.need("datasets.read", "datasets.write")
    where, values = _visible(actor)
    for column, value in (("data_type", data_type), ("visibility", visibility)):
        if value:
            where.append(f"t.{column} = ?")
            values.append(value)
    if name:
        where.append("instr(lower(t.name), lower(?)) > 0")
        values.append(name)
    if status:
        where.append("(CASE WHEN t.reads_left > 0 THEN 'creating' ELSE 'created' END) = ?")
        values.append(status.lower())
    with box.state.transaction() as con:
        return cursor_page(
            con,
            request,
            COLUMNS,
            "datasets t",
            where,
            values,
            lambda row: _seen(con, row),
            box.settings.page_size,
            ("created_at", "name", "updated_at"),
        )


@router.get("/{owner}/list/")
def list_of_owner(owner: str, request: Request, box: BoxOf, actor: ActorOf, ordering: str = "") -> dict[str, Any]:
    """An owner's datasets, by page number."""
    actor.need("datasets.read", "datasets.write")
    where, values = _visible(actor)
    column, order = ordering.removeprefix("-"), "t.seq DESC"
    if column in ("name", "created_at"):
        order = f"t.{column} {'DESC' if ordering.startswith('-') else 'ASC'}, t.seq"
    with box.state.transaction() as con:
        rows = con.execute(
            f"SELECT {COLUMNS} FROM datasets t WHERE {' AND '.join(where)} AND t.owner_name = ? AND t.created_at <= ?"
            f" ORDER BY {order}",
            [*values, actor.owner_named(owner) or owner, shown_until(request)],
        ).fetchall()
        return numbered_page(request, rows, lambda row: _seen(con, row))


@router.get("/{uid}/")
def get_dataset(uid: str, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One dataset by uid."""
    actor.need("datasets.read", "datasets.write")
    where, values = _visible(actor)
    with box.state.transaction() as con:
        return _seen(con, _one(con, " AND ".join([*where, "t.uid = ?"]), [*values, uid]))


@router.get("/{owner}/{slug}/")
def get_by_slug(owner: str, slug: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One dataset by owner and slug."""
    actor.need("datasets.read", "datasets.write")
    with box.state.transaction() as con:
        row = dataset_by_slug(con, actor, owner, slug)
        if row["created_at"] > shown_until(request):
            raise not_found()
        return _seen(con, row)


@router.get("/{owner}/{slug}/health/")
def health(owner: str, slug: str, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """How the indexing went; ``issues`` names every file that did not become an item."""
    actor.need("datasets.read", "datasets.write")
    with box.state.transaction() as con:
        dataset = dataset_by_slug(con, actor, owner, slug)
    issues, shown = json.loads(dataset["issues"]), show_dataset(dataset)
    return {
        "dataset_uid": dataset["uid"],
        "dataset_slug": dataset["slug"],
        "dataset_status": shown["status"],
        "data_type": dataset["data_type"],
        "is_sequence": False,
        "item_count": shown["item_count"],
        "sequence_count": 0,
        "total_frames": 0,
        "s3_prefix": dataset["prefix"],
        "ingest_ok": not issues and shown["status"] == "created",
        "issues": issues,
        "sequences": [],
    }


def show_dataset(row: sqlite3.Row) -> dict[str, Any]:
    """The JSON object of a dataset."""
    creating = row["reads_left"] > 0
    return {
        "uid": row["uid"],
        "name": row["name"],
        "slug": row["slug"],
        "data_type": row["data_type"],
        "is_sequence": False,
        "visibility": row["visibility"],
        "status": "creating" if creating else "created",
        "item_count": 0 if creating else row["item_count"],
        "project_count": row["project_count"],
        "owner_name": row["owner_name"],
        "size_bytes": row["size_bytes"],
        "annotations_count": row["annotations_count"],
        "predefined_labels": [],
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
    }


def _seen(con: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    if row["reads_left"] > 0:
        con.execute("UPDATE datasets SET reads_left = reads_left - 1 WHERE uid = ?", (row["uid"],))
    return show_dataset(row)


def _visible(actor: Actor) -> tuple[list[str], list[Any]]:
    if actor.staff:
        return ["1"], []
    marks = ",".join("?" * len(actor.owners))
    return [f"(t.owner_name IN ({marks}) OR t.visibility = 'public')"], list(actor.owners)


def _one(con: sqlite3.Connection, where: str, values: Any) -> sqlite3.Row:
    row = con.execute(f"SELECT {COLUMNS} FROM datasets t WHERE {where}", values).fetchone()
    if row is None:
        raise not_found()
    return row


def dataset_by_slug(con: sqlite3.Connection, actor: Actor, owner: str, slug: str) -> sqlite3.Row:
    """A dataset that the user may see.

    Raises:
        ApiError: 404 if there is none under this owner and slug.
    """
    where, values = _visible(actor)
    conditions = " AND ".join([*where, "t.owner_name = ?", "t.slug = ?"])
    return _one(con, conditions, [*values, actor.owner_named(owner) or owner, slug])


def _data_type(box: Box, asked: str) -> str:
    if asked == "images" and not box.settings.strict_data_type:
        return "image"
    if asked not in SUFFIXES:
        raise bad_fields(data_type=f'"{asked}" is not a valid choice.')
    return asked


def _owner(actor: Actor, body: FinaliseBody) -> str:
    if body.owner_name:
        owner = actor.owner_named(body.owner_name)
        if owner is None:
            raise bad_fields(owner_name="Owner not found.")
        return owner
    for slug, uid in actor.organizations.items():
        if body.organization_uid is not None and uid == str(body.organization_uid):
            return slug
    return actor.username


def _refuse_taken(con: sqlite3.Connection, owner: str, body: FinaliseBody) -> None:
    taken: dict[str, list[str]] = {}
    for column, value in (("name", body.name), ("slug", body.slug)):
        if con.execute(f"SELECT 1 FROM datasets WHERE owner_name = ? AND {column} = ?", (owner, value)).fetchone():
            taken[column] = [f"Dataset with this {column} already exists."]
    if taken:
        raise ApiError(400, taken)


def _problem(row: sqlite3.Row, data_type: str) -> str | None:
    suffix = "." + row["path"].rpartition(".")[2].lower()
    if suffix not in SUFFIXES[data_type]:
        return f"not a file that is indexed as {data_type}"
    return row["problem"] if data_type == "image" else None
