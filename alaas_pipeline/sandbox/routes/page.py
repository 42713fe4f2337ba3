"""The pages for a person at this machine: what the sandbox holds, and the view to label in."""

import json
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from alaas_pipeline.sandbox.annotators import catch_up_all
from alaas_pipeline.sandbox.box import Box, BoxOf, origin
from alaas_pipeline.sandbox.errors import not_found
from alaas_pipeline.sandbox.gate import ADMIN
from alaas_pipeline.sandbox.page import html
from alaas_pipeline.sandbox.pictures import shown_size

router = APIRouter(prefix=ADMIN, include_in_schema=False)

FILES = {"page.css": "text/css", "live.js": "text/javascript", "label.js": "text/javascript"}
ROWS, CARDS, IMAGES, STRIP = 25, 10, 60, 8
THUMBNAIL, LARGE = 320, 2048
PLACEHOLDER = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 120"><rect width="160" height="120" fill="#8c959f"/>'
    '<text x="80" y="65" fill="#ffffff" font-family="sans-serif" font-size="14" text-anchor="middle">no picture</text>'
    "</svg>"
)
# Nothing is loaded from elsewhere, and no other site may frame a page on which clicks answer.
SAFE = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# The content behind an item's uid never changes.
KEPT = {"Cache-Control": "private, max-age=86400, immutable"} | SAFE

COUNTS = """(SELECT count(*) FROM tasks t WHERE t.project_uid = p.uid) AS total,
    (SELECT count(t.result) FROM tasks t WHERE t.project_uid = p.uid) AS completed,
    (SELECT count(*) FROM tasks t WHERE t.project_uid = p.uid AND t.result = 'refused') AS refused"""
SHOW = {"all": "1", "pending": "t.status = 'pending'", "labelled": "t.result = 'labelled'"}
SHOW["refused"] = "t.result = 'refused'"
Show = Literal["all", "pending", "labelled", "refused"]


@router.get("")
def without_slash() -> Response:
    """Leads to the overview."""
    return RedirectResponse(f"{ADMIN}/")


@router.get("/")
def overview(box: BoxOf, projects: int = 1, datasets: int = 1, exports: int = 1) -> Response:
    """Projects, datasets and exports, newest first."""
    catch_up_all(box.annotators, box.state)
    with box.state.transaction() as con:
        found, pages = _page(con, f"SELECT p.*, {COUNTS} FROM projects p WHERE p.template = 0", projects, ROWS)
        project_part = html.project_table(found) + html.pager("projects=", *pages)
        found, pages = _page(con, "SELECT * FROM datasets p WHERE 1", datasets, CARDS)
        cards = [(row, _items(con, row["uid"], STRIP, 0)) for row in found]
        dataset_part = html.dataset_cards(cards) + html.pager("datasets=", *pages)
        found, pages = _page(con, "SELECT * FROM exports p WHERE 1", exports, ROWS)
        export_part = html.export_table(found) + html.pager("exports=", *pages)
    return _html(html.overview(_who_answers(box), project_part, dataset_part, export_part))


@router.get("/datasets/{uid}")
def dataset(uid: str, box: BoxOf, page: int = 1) -> Response:
    """The images of a dataset."""
    with box.state.transaction() as con:
        row = _one(con, "SELECT * FROM datasets WHERE uid = ?", uid)
        if row is None:
            return _html(html.missing(), 404)
        number, pages = _bounded(page, row["item_count"], IMAGES)
        items = _items(con, uid, IMAGES, (number - 1) * IMAGES)
    return _html(html.dataset_page(row, items, html.pager("page=", number, pages)))


@router.get("/projects/{uid}")
def project(uid: str, box: BoxOf, show: Show = "all", page: int = 1) -> Response:
    """The tasks of a project and what was answered."""
    with box.state.transaction() as con:
        row = _project(con, box, uid)
        if row is None:
            return _html(html.missing(), 404)
        source = f"FROM tasks t JOIN items i ON i.uid = t.item_uid WHERE t.project_uid = ? AND {SHOW[show]}"
        count = con.execute(f"SELECT count(*) {source}", (uid,)).fetchone()[0]
        number, pages = _bounded(page, count, IMAGES)
        tasks = con.execute(
            f"SELECT t.*, i.key, (SELECT count(*) FROM rectangles r WHERE r.task_uid = t.uid) AS boxes {source}"
            " ORDER BY t.seq LIMIT ? OFFSET ?",
            (uid, IMAGES, (number - 1) * IMAGES),
        ).fetchall()
    return _html(html.project_page(row, tasks, show, html.pager(f"show={show}&page=", number, pages)))


@router.get("/projects/{uid}/label")
def label(uid: str, box: BoxOf) -> Response:
    """The view in which a person answers the tasks of a project."""
    with box.state.transaction() as con:
        row = _project(con, box, uid)
        if row is None:
            return _html(html.missing(), 404)
        declared = json.loads(row["labels"])
        labels = declared or _labels_seen(con, row)
    return _html(html.label_page(row, labels, fixed=bool(declared)))


@router.get("/items/{uid}")
def item(uid: str, box: BoxOf) -> dict[str, Any]:
    """An item's key, and its size as it is shown (null for what is no image)."""
    row = _item(box, uid)
    width, height = shown_size(box.blobs, row["digest"]) or (None, None)
    return {"uid": uid, "key": row["key"], "width": width, "height": height}


@router.get("/items/{uid}/thumbnail")
def thumbnail(uid: str, box: BoxOf) -> Response:
    """A small JPEG of an item, the right way up."""
    return _picture(box, uid, THUMBNAIL)


@router.get("/items/{uid}/image")
def image(uid: str, box: BoxOf) -> Response:
    """A JPEG of an item to label by, the right way up, at most 2,048 pixels wide or high."""
    return _picture(box, uid, LARGE)


@router.get("/exports/{uid}/file")
def export_file(uid: str, request: Request, box: BoxOf) -> Response:
    """Leads to the file of an export that is done, at an address that is signed anew each time."""
    with box.state.transaction() as con:
        row = _one(con, "SELECT * FROM exports WHERE uid = ? AND digest IS NOT NULL", uid)
    if row is None:
        return _html(html.missing(), 404)
    url = box.signer.url(origin(request), "GET", f"/_storage/exports/{uid}.{row['kind']}")
    return RedirectResponse(url, 303, {"Cache-Control": "no-store"})


@router.get("/page/{name}")
def static(name: str) -> Response:
    """Style and scripts of the pages."""
    if name not in FILES:
        raise not_found()
    path = Path(html.__file__).with_name(name)
    return FileResponse(path, media_type=FILES[name], headers={"Cache-Control": "no-cache"} | SAFE)


def _html(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status, {"Cache-Control": "no-store"} | SAFE)


def _picture(box: Box, uid: str, side: int) -> Response:
    made = box.thumbnails.jpeg(_item(box, uid)["digest"], side)
    if made is None:
        return Response(PLACEHOLDER, headers=KEPT, media_type="image/svg+xml")
    return Response(made, headers=KEPT, media_type="image/jpeg")


def _who_answers(box: Box) -> str:
    if box.settings.truth is None:
        return "No truth was given, so a person answers: open a project below."
    number = box.settings.annotators
    team = "One simulated annotator answers" if number == 1 else f"{number} simulated annotators answer"
    return f"{team} what the given truth knows; the rest waits for a person."


def _one(con: sqlite3.Connection, sql: str, uid: str) -> sqlite3.Row | None:
    return con.execute(sql, (uid,)).fetchone()


def _item(box: Box, uid: str) -> sqlite3.Row:
    with box.state.transaction() as con:
        row = _one(con, "SELECT * FROM items WHERE uid = ?", uid)
    if row is None:
        raise not_found()
    return row


def _project(con: sqlite3.Connection, box: Box, uid: str) -> sqlite3.Row | None:
    box.annotators.catch_up(con, uid)
    return _one(con, f"SELECT p.*, {COUNTS} FROM projects p WHERE p.uid = ?", uid)


def _items(con: sqlite3.Connection, dataset_uid: str, limit: int, offset: int) -> list[sqlite3.Row]:
    return con.execute(
        "SELECT uid AS item_uid, key FROM items WHERE dataset_uid = ? ORDER BY seq LIMIT ? OFFSET ?",
        (dataset_uid, limit, offset),
    ).fetchall()


def _bounded(number: int, count: int, size: int) -> tuple[int, int]:
    """The page that is shown for the one asked for, and how many there are."""
    pages = max(1, -(-count // size))
    return min(max(1, number), pages), pages


def _page(con: sqlite3.Connection, sql: str, asked: int, size: int) -> tuple[Sequence[sqlite3.Row], tuple[int, int]]:
    count = con.execute(f"SELECT count(*) FROM ({sql})").fetchone()[0]
    number, pages = _bounded(asked, count, size)
    sql += " ORDER BY p.seq DESC LIMIT ? OFFSET ?"
    return con.execute(sql, (size, (number - 1) * size)).fetchall(), (number, pages)


def _labels_seen(con: sqlite3.Connection, project: sqlite3.Row) -> list[str]:
    """Labels used in this project and in other rounds of the same pool, in the order of their first use."""
    family = _family(project["name"])
    rows = con.execute("SELECT uid, name FROM projects WHERE owner_name = ?", (project["owner_name"],)).fetchall()
    kin = [row["uid"] for row in rows if _family(row["name"]) == family]
    marks = ",".join("?" * len(kin))
    used = con.execute(
        f"""SELECT label, min(at) FROM (
            SELECT label, updated_at AS at FROM tasks WHERE project_uid IN ({marks}) AND label IS NOT NULL
            UNION ALL SELECT r.label, t.updated_at FROM rectangles r JOIN tasks t ON t.uid = r.task_uid
            WHERE t.project_uid IN ({marks})
        ) GROUP BY label ORDER BY 2, 1""",
        [*kin, *kin],
    )
    return [row["label"] for row in used]


def _family(name: str) -> str:
    return re.split(r"-r\d{4,}-", name)[0]
