"""Datasets and their items."""

import json
import sqlite3
from typing import Any

from fastapi import APIRouter, Request

from alaas_pipeline.sandbox.auth import Actor
from alaas_pipeline.sandbox.box import ActorOf, Box, BoxOf
from alaas_pipeline.sandbox.errors import not_found
from alaas_pipeline.sandbox.paging import cursor_page, numbered_page, shown_until
from alaas_pipeline.sandbox.state import iso

router = APIRouter(prefix="/datasets", tags=["datasets"])

COLUMNS = """t.*,
    (SELECT count(*) FROM projects p WHERE p.dataset_uid = t.uid) AS project_count,
    (SELECT count(*) FROM tasks k JOIN items i ON i.uid = k.item_uid
     WHERE i.dataset_uid = t.uid AND k.result = 'labelled') AS annotations_count"""


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
            lambda row: _seen(con, box, row),
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
        return numbered_page(request, rows, lambda row: _seen(con, box, row))


@router.get("/{uid}/")
def get_dataset(uid: str, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One dataset by uid."""
    actor.need("datasets.read", "datasets.write")
    where, values = _visible(actor)
    with box.state.transaction() as con:
        return _seen(con, box, one_dataset(con, " AND ".join([*where, "t.uid = ?"]), [*values, uid]))


@router.get("/{owner}/{slug}/")
def get_by_slug(owner: str, slug: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One dataset by owner and slug."""
    actor.need("datasets.read", "datasets.write")
    with box.state.transaction() as con:
        row = dataset_by_slug(con, actor, owner, slug)
        if row["created_at"] > shown_until(request):
            raise not_found()
        return _seen(con, box, row)


@router.get("/{owner}/{slug}/health/")
def health(owner: str, slug: str, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """How the indexing went; ``issues`` names every file that did not become an item."""
    actor.need("datasets.read", "datasets.write")
    with box.state.transaction() as con:
        dataset = dataset_by_slug(con, actor, owner, slug)
    issues, shown = json.loads(dataset["issues"]), show_dataset(box, dataset)
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


def show_dataset(box: Box, row: sqlite3.Row) -> dict[str, Any]:
    """The JSON object of a dataset."""
    creating = row["reads_left"] > 0
    shown = {
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
    return shown | ({"owner": row["owner_name"]} if box.settings.owner_field == "both" else {})


def _seen(con: sqlite3.Connection, box: Box, row: sqlite3.Row) -> dict[str, Any]:
    if row["reads_left"] > 0 and not _awaits_files(con, box, row["uid"]):
        con.execute("UPDATE datasets SET reads_left = reads_left - 1 WHERE uid = ?", (row["uid"],))
    return show_dataset(box, row)


def _awaits_files(con: sqlite3.Connection, box: Box, uid: str) -> bool:
    """Whether files were announced together with the dataset and have not arrived."""
    if box.settings.manual_upload != "files":
        return False
    return con.execute("SELECT 1 FROM uploads WHERE batch_uid = ? AND status = 'open'", (uid,)).fetchone() is not None


def _visible(actor: Actor) -> tuple[list[str], list[Any]]:
    if actor.staff:
        return ["1"], []
    marks = ",".join("?" * len(actor.owners))
    return [f"(t.owner_name IN ({marks}) OR t.visibility = 'public')"], list(actor.owners)


def one_dataset(con: sqlite3.Connection, where: str, values: Any) -> sqlite3.Row:
    """The first dataset that fulfils a condition.

    Raises:
        ApiError: 404 if there is none.
    """
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
    return one_dataset(con, conditions, [*values, actor.owner_named(owner) or owner, slug])
