"""Items of a dataset: in one object, the fields of both published descriptions."""

import sqlite3
from typing import Any

from fastapi import APIRouter, Request

from alaas_pipeline.sandbox.box import ActorOf, Box, BoxOf, origin
from alaas_pipeline.sandbox.errors import not_found
from alaas_pipeline.sandbox.paging import cursor_page
from alaas_pipeline.sandbox.routes.datasets import dataset_by_slug
from alaas_pipeline.sandbox.state import iso

router = APIRouter(prefix="/datasets", tags=["datasets"])

COLUMNS = """t.*, b.size, b.width, b.height, b.format,
    (SELECT count(*) FROM tasks k WHERE k.item_uid = t.uid AND k.result = 'labelled') AS annotations_count,
    (SELECT label FROM tasks k WHERE k.item_uid = t.uid AND k.result = 'labelled'
     ORDER BY k.seq DESC LIMIT 1) AS label"""
TABLE = "items t JOIN blobs b ON b.digest = t.digest"


@router.get("/{owner}/{slug}/items/")
def list_items(owner: str, slug: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Items, newest first; a dataset that is still being created shows none."""
    actor.need("datasets.read", "datasets.write")
    with box.state.transaction() as con:
        dataset = dataset_by_slug(con, actor, owner, slug)
        where = ["t.dataset_uid = ?"] if dataset["reads_left"] == 0 else ["t.dataset_uid = ?", "0"]
        return cursor_page(
            con,
            request,
            COLUMNS,
            TABLE,
            where,
            [dataset["uid"]],
            lambda row: show_item(box, request, dataset, row),
            box.settings.page_size,
            ("created_at", "key"),
        )


@router.get("/{owner}/{slug}/items/{uid}/")
def get_item(owner: str, slug: str, uid: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One item, with a freshly signed URL."""
    actor.need("datasets.read", "datasets.write")
    with box.state.transaction() as con:
        dataset = dataset_by_slug(con, actor, owner, slug)
        row = con.execute(
            f"SELECT {COLUMNS} FROM {TABLE} WHERE t.dataset_uid = ? AND t.uid = ?",
            (dataset["uid"], uid),
        ).fetchone()
    if row is None or dataset["reads_left"] > 0:
        raise not_found()
    return show_item(box, request, dataset, row)


def show_item(box: Box, request: Request, dataset: sqlite3.Row, row: sqlite3.Row) -> dict[str, Any]:
    """The JSON object of an item; its URL is signed anew each time."""
    url = box.signer.url(origin(request), "GET", f"/_storage/items/{row['uid']}")
    return {
        "id": row["seq"],
        "uid": row["uid"],
        "key": row["key"],
        "status": "created",
        "is_hidden": False,
        "dataset": dataset["uid"],
        "dataset_owner_name": dataset["owner_name"],
        "dataset_slug": dataset["slug"],
        "url": url,
        "data_url": url,
        "gpu_texture_url": None,
        "thumbnail_url": url,
        "thumbnails": [url],
        "video_thumbnail": None,
        "metadata": {
            "width": row["width"],
            "height": row["height"],
            "format": (row["format"] or "").lower() or None,
        },
        "export_snippet": None,
        "annotations": {} if row["label"] is None else {"label": row["label"]},
        "annotations_count": row["annotations_count"],
        "crop_data": None,
        "related_items": [],
        "related_sequence_uid": None,
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["created_at"]),
    }
