"""What an export holds: the layout ``avala-json-external`` as this sandbox writes it.

Avala publishes no description of the file, so this layout is the sandbox's own: one JSON object that lists
every item of the dataset, also those nobody has answered yet.
"""

import io
import json
import sqlite3
import zipfile
from typing import Any

from alaas_pipeline.sandbox.rectangles import rectangles_of
from alaas_pipeline.sandbox.state import iso

FORMAT = "avala-json-external"


def build_export(con: sqlite3.Connection, export: sqlite3.Row) -> tuple[dict[str, Any], int, int]:
    """The content of an export at this moment.

    Returns:
        The JSON object, the number of tasks, and how many of them are answered.
    """
    dataset = con.execute("SELECT * FROM datasets WHERE uid = ?", (export["dataset_uid"],)).fetchone()
    project = con.execute("SELECT * FROM projects WHERE uid = ?", (export["project_uid"],)).fetchone()
    projects = json.loads(export["projects"])
    marks = ",".join("?" * len(projects)) or "NULL"
    tasks: dict[str, list[sqlite3.Row]] = {}
    for task in con.execute(f"SELECT * FROM tasks WHERE project_uid IN ({marks}) ORDER BY seq", projects):
        tasks.setdefault(task["item_uid"], []).append(task)
    items = con.execute(
        "SELECT i.uid, i.key, b.width, b.height FROM items i JOIN blobs b ON b.digest = i.digest"
        " WHERE i.dataset_uid = ? ORDER BY i.seq",
        (dataset["uid"],),
    )
    boxes = rectangles_of(con, projects)
    shown = [_item(item, tasks.get(item["uid"], []), boxes) for item in items]
    every = [task for group in tasks.values() for task in group]
    labels = json.loads(project["labels"]) if project is not None else []
    content = {
        "format": FORMAT,
        "version": 1,
        "export_uid": export["uid"],
        "project": None if project is None else {"uid": project["uid"], "name": project["name"]},
        "dataset": {"uid": dataset["uid"], "name": dataset["name"], "slug": dataset["slug"]},
        "label_schema": sorted({*labels, *(one["label"] for item in shown for one in item["annotations"])}),
        "items": shown,
    }
    return content, len(every), sum(task["status"] == "completed" for task in every)


def pack_export(content: dict[str, Any], kind: str) -> bytes:
    """The file of an export; the same content gives the same bytes.

    Args:
        content: what `build_export` returned.
        kind: ``zip`` or ``json``.
    """
    text = json.dumps(content, ensure_ascii=False, indent=1).encode()
    if kind == "json":
        return text
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        # A fixed date: two exports of the same answers differ in nothing but their uid.
        entry = zipfile.ZipInfo("export.json", date_time=(1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, text)
    return packed.getvalue()


def _item(item: sqlite3.Row, tasks: list[sqlite3.Row], boxes: dict[str, list[sqlite3.Row]]) -> dict[str, Any]:
    answered = [task for task in tasks if task["result"] == "labelled"]
    refused = [task for task in tasks if task["result"] == "refused"]
    drawn = [box for task in answered for box in boxes.get(task["uid"], [])]
    return {
        "item_uid": item["uid"],
        "key": item["key"],
        # Boxes are drawn on the image as it is shown: the size beside them must be that one.
        "width": drawn[0]["image_width"] if drawn else item["width"],
        "height": drawn[0]["image_height"] if drawn else item["height"],
        "status": "completed" if answered else "refused" if refused else "pending",
        "refusal_reason": refused[0]["refusal_reason"] if refused and not answered else None,
        "annotations": [one for task in answered for one in _annotations(task, boxes.get(task["uid"], []))],
    }


def _annotations(task: sqlite3.Row, boxes: list[sqlite3.Row]) -> list[dict[str, Any]]:
    by = {"attributes": {}, "created_by": task["annotator"], "created_at": iso(task["updated_at"])}
    whole = {"uid": task["annotation_uid"], "type": "classification", "label": task["label"], **by}
    drawn = [
        {
            "uid": box["uid"],
            "type": "bounding_box",
            "label": box["label"],
            **{side: box[side] for side in ("x", "y", "width", "height")},
            **by,
        }
        for box in boxes
    ]
    return drawn if task["label"] is None else [whole, *drawn]
