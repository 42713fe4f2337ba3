"""Slices: names for one or more whole datasets, so that a subset can be labelled without another upload."""

import json
import re
import sqlite3
import time
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from alaas_pipeline.sandbox.auth import Actor
from alaas_pipeline.sandbox.box import ActorOf, BoxOf
from alaas_pipeline.sandbox.errors import bad_fields, name_taken, not_found
from alaas_pipeline.sandbox.paging import cursor_page, numbered_page
from alaas_pipeline.sandbox.routes.fields import Body, DatasetName, Visibility
from alaas_pipeline.sandbox.routes.items import COLUMNS as ITEM_COLUMNS
from alaas_pipeline.sandbox.routes.items import TABLE as ITEM_TABLE
from alaas_pipeline.sandbox.routes.items import show_item
from alaas_pipeline.sandbox.state import log_effect, new_uid

router = APIRouter(prefix="/slices", tags=["slices"])


class DatasetSlice(BaseModel):
    """A part of a slice: all items of one dataset."""

    type: Literal["dataset"]
    dataset_uid: UUID


class SliceBody(Body):
    """A name and what the slice is made of."""

    name: DatasetName
    visibility: Visibility
    sub_slices: Annotated[list[DatasetSlice], Field(min_length=1, max_length=100)]
    organization: str | None = None
    random_selection_count: int | None = None


@router.post("/", status_code=201)
def create(body: SliceBody, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Makes a slice of whole datasets; its slug follows from its name."""
    actor.need("datasets.write")
    if body.random_selection_count is not None:
        raise bad_fields(random_selection_count="This server makes slices of whole datasets alone.")
    if body.organization is not None and body.organization not in actor.organizations:
        raise bad_fields(organization="Organization not found.")
    owner = body.organization or actor.username
    slug = re.sub(r"[^a-z0-9]+", "-", body.name.lower()).strip("-") or "slice"
    datasets = list(dict.fromkeys(str(part.dataset_uid) for part in body.sub_slices))
    uid = new_uid()
    with box.state.transaction() as con:
        for dataset in datasets:
            row = con.execute("SELECT owner_name FROM datasets WHERE uid = ?", (dataset,)).fetchone()
            if row is None or not (actor.staff or row["owner_name"] in actor.owners):
                raise bad_fields(sub_slices=f'Invalid pk "{dataset}" - object does not exist.')
        if con.execute(
            "SELECT 1 FROM slices WHERE owner_name = ? AND (name = ? OR slug = ?)", (owner, body.name, slug)
        ).fetchone():
            raise name_taken(box.settings.taken_name_status, name="Slice with this name already exists.")
        con.execute(
            "INSERT INTO slices (uid, name, slug, owner_name, visibility, datasets, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (uid, body.name, slug, owner, body.visibility, json.dumps(datasets), time.time()),
        )
        log_effect(con, "slice", "POST", request.url.path, uid, body.name, 201, owner=owner, datasets=datasets)
        return _show(con, con.execute("SELECT * FROM slices WHERE uid = ?", (uid,)).fetchone())


@router.get("/{owner}/list/")
def list_slices(owner: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """An owner's slices, newest first, by page number."""
    actor.need("slices.read")
    where, values = _visible(actor)
    with box.state.transaction() as con:
        rows = con.execute(
            f"SELECT * FROM slices WHERE owner_name = ? AND {where} ORDER BY seq DESC",
            (actor.owner_named(owner) or owner, *values),
        ).fetchall()
        return numbered_page(request, rows, lambda row: _show(con, row))


@router.get("/{owner}/{slug}/")
def get_slice(owner: str, slug: str, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One slice."""
    actor.need("slices.read")
    with box.state.transaction() as con:
        return _show(con, _by_slug(con, actor, owner, slug))


@router.get("/{owner}/{slug}/items/list/")
def list_items(owner: str, slug: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Items of every dataset of a slice, newest first."""
    actor.need("slices.read")
    with box.state.transaction() as con:
        within = json.loads(_by_slug(con, actor, owner, slug)["datasets"])
        datasets = _created(con, within)
        return cursor_page(
            con,
            request,
            ITEM_COLUMNS,
            ITEM_TABLE,
            [f"t.dataset_uid IN ({','.join('?' * len(datasets))})"],
            list(datasets),
            lambda row: show_item(box, request, datasets[row["dataset_uid"]], row),
            box.settings.page_size,
        )


@router.get("/{owner}/{slug}/items/{uid}/")
def get_item(owner: str, slug: str, uid: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One item of a slice, with a freshly signed URL."""
    actor.need("slices.read")
    with box.state.transaction() as con:
        datasets = _created(con, json.loads(_by_slug(con, actor, owner, slug)["datasets"]))
        row = con.execute(f"SELECT {ITEM_COLUMNS} FROM {ITEM_TABLE} WHERE t.uid = ?", (uid,)).fetchone()
    if row is None or row["dataset_uid"] not in datasets:
        raise not_found()
    return show_item(box, request, datasets[row["dataset_uid"]], row)


def dataset_of_slice(con: sqlite3.Connection, actor: Actor, uid: str) -> str:
    """The one dataset that a slice consists of.

    Raises:
        ApiError: 400 if there is no such slice, or if it is made of several datasets: this server gives a
            project one dataset.
    """
    row = con.execute("SELECT * FROM slices WHERE uid = ?", (uid,)).fetchone()
    if row is None or not (actor.staff or row["owner_name"] in actor.owners):
        raise bad_fields(slice_uid="Slice not found.")
    datasets = json.loads(row["datasets"])
    if len(datasets) > 1:
        raise bad_fields(slice_uid="This server clones onto slices of one dataset.")
    return datasets[0]


def _created(con: sqlite3.Connection, uids: list[str]) -> dict[str, sqlite3.Row]:
    marks = ",".join("?" * len(uids))
    rows = con.execute(f"SELECT * FROM datasets WHERE uid IN ({marks}) AND reads_left = 0", uids)
    return {row["uid"]: row for row in rows}


def _visible(actor: Actor) -> tuple[str, list[str]]:
    if actor.staff:
        return "1", []
    return f"(owner_name IN ({','.join('?' * len(actor.owners))}) OR visibility = 'public')", list(actor.owners)


def _by_slug(con: sqlite3.Connection, actor: Actor, owner: str, slug: str) -> sqlite3.Row:
    where, values = _visible(actor)
    row = con.execute(
        f"SELECT * FROM slices WHERE owner_name = ? AND slug = ? AND {where}",
        (actor.owner_named(owner) or owner, slug, *values),
    ).fetchone()
    if row is None:
        raise not_found()
    return row


def _show(con: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    within = json.loads(row["datasets"])
    return {
        "uid": row["uid"],
        "name": row["name"],
        "slug": row["slug"],
        "owner_name": row["owner_name"],
        "organization": None,
        "visibility": row["visibility"],
        "status": "created",
        "item_count": sum(dataset["item_count"] for dataset in _created(con, within).values()),
        "sub_slices": [{"type": "dataset", "dataset_uid": uid} for uid in within],
        "source_data": None,
        "featured_slice_item_urls": [],
    }
