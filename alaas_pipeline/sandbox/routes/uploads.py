"""Manual upload: presign, parts, complete, quota, allowed types, finalise."""

import mimetypes
import sqlite3
import time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field

from alaas_pipeline.sandbox.auth import Actor
from alaas_pipeline.sandbox.blobs import Incoming
from alaas_pipeline.sandbox.box import ActorOf, Box, BoxOf, upload_origin
from alaas_pipeline.sandbox.errors import ApiError, bad_fields, bad_request, not_found
from alaas_pipeline.sandbox.indexing import index_late
from alaas_pipeline.sandbox.routes.fields import IMAGE_SUFFIXES, Body, DatasetName, FilePath, is_image_path
from alaas_pipeline.sandbox.state import log_effect, new_uid

router = APIRouter(prefix="/datasets/manual-upload", tags=["uploads"])

RESERVATION_S = 24 * 3600
MAX_PARTS = 10_000
Bytes = Annotated[int, Field(ge=0, le=2**50)]


class PresignBody(Body):
    """What a client asks for one file."""

    dataset_name: DatasetName
    file_path_in_dataset: FilePath
    content_length: Bytes | None = None
    organization_uid: UUID | None = None
    upload_protocol_version: int | None = None
    dataset_upload_uid: UUID | None = None


class PartsBody(Body):
    """Numbers of the parts that are to be sent next."""

    part_numbers: Annotated[list[Annotated[int, Field(ge=1, le=MAX_PARTS)]], Field(min_length=1, max_length=1000)]


def root_of(actor: Actor, organization_uid: UUID | None) -> str:
    """The prefix under which the files of a user or an organization lie.

    Raises:
        ApiError: 400 for an organization the user does not belong to.
    """
    if organization_uid is None:
        return f"__u__=/{actor.uid}/"
    if str(organization_uid) not in actor.organizations.values():
        raise bad_fields(organization_uid="Organization not found.")
    return f"__o__=/{organization_uid}/"


@router.post("/file-upload-url/")
def presign(body: PresignBody, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Opens the upload of one file, or resumes it: the same batch and path mean the same session."""
    actor.need("datasets.write")
    root = root_of(actor, body.organization_uid)
    method = _method(box, body)
    with box.state.transaction() as con:
        upload = _resume(con, body, root, method)
        if upload is None:
            check_quota(con, box, root, body.content_length or 0)
            upload = _open(con, box, body, actor, root, method)
        details = {"dataset_name": upload["dataset_name"], "by": upload["method"], "size": upload["content_length"]}
        log_effect(con, "presign", "POST", request.url.path, upload["uid"], upload["path"], 200, **details)
        return _descriptor(con, box, upload, upload_origin(box, request, upload["method"]))


@router.post("/uploads/{uid}/parts/")
def parts(uid: str, body: PartsBody, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Presigns some parts of a multipart upload."""
    actor.need("datasets.write")
    with box.state.transaction() as con:
        upload = _own_upload(con, uid, actor)
    if upload["method"] != "MULTIPART":
        raise bad_request("This upload has no parts.")
    if max(body.part_numbers) > _part_count(upload):
        raise bad_fields(part_numbers=f"This upload has {_part_count(upload)} parts.")
    where = upload_origin(box, request, upload["method"])
    return {
        "parts": [
            {
                "part_number": number,
                "url": box.signer.url(where, "PUT", f"/_storage/parts/{uid}/{number}"),
                "headers": {},
            }
            for number in body.part_numbers
        ]
    }


@router.post("/uploads/{uid}/complete/")
def complete(uid: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Confirms that a file has arrived whole; repeating it changes nothing."""
    actor.need("datasets.write")
    with box.state.transaction() as con:
        upload = _own_upload(con, uid, actor)
        sizes = {
            row["part_number"]: row["size"]
            for row in con.execute("SELECT part_number, size FROM upload_parts WHERE upload_uid = ?", (uid,))
        }
    if upload["method"] == "MULTIPART" and upload["status"] == "open":
        numbers = list(range(1, _part_count(upload) + 1))
        if sorted(sizes) != numbers or sum(sizes.values()) != upload["content_length"]:
            raise bad_request("The upload is not complete: parts are missing or have another size.")
        store_upload(box, upload, box.blobs.join_parts(uid, numbers), "POST", request.url.path)
        box.blobs.drop_parts(uid)
    elif upload["status"] == "open":
        raise bad_request("The file has not been received yet.")
    with box.state.transaction() as con:
        con.execute("UPDATE uploads SET status = 'complete' WHERE uid = ?", (uid,))
        log_effect(
            con, "complete", "POST", request.url.path, uid, upload["path"], 200, dataset_name=upload["dataset_name"]
        )
    return {"upload_uid": uid, "status": "complete"}


@router.get("/quota/")
def quota(box: BoxOf, actor: ActorOf, organization_uid: UUID | None = None) -> dict[str, int]:
    """Bytes held, open reservations included, and the limit."""
    actor.need("datasets.read", "datasets.write")
    root = root_of(actor, organization_uid)
    with box.state.transaction() as con:
        return {"used": _used(con, root), "limit": box.settings.quota_bytes}


@router.get("/allowed-mimes/")
def allowed_mimes(actor: ActorOf) -> dict[str, Any]:
    """Content types that are indexed as images, and the prefix of those indexed as videos."""
    types = {mimetypes.guess_type(f"a{suffix}")[0] or "image/webp" for suffix in IMAGE_SUFFIXES}
    return {"mime_types": sorted(types), "video_prefix": "video/"}


def store_upload(box: Box, upload: sqlite3.Row, incoming: Incoming, method: str, path: str) -> None:
    """Puts a received file in its place under the dataset's prefix, durably, and closes its reservation."""
    blob = box.blobs.keep(incoming, image=is_image_path(upload["path"]))
    with box.state.transaction() as con:
        blob.record(con)
        con.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)",
            (upload["root"], upload["dataset_name"], upload["path"], blob.digest, time.time()),
        )
        index_late(con, upload["batch_uid"], upload["path"], blob.digest)
        con.execute("UPDATE uploads SET status = 'stored', digest = ? WHERE uid = ?", (blob.digest, upload["uid"]))
        details = {"dataset_name": upload["dataset_name"], "sha256": blob.digest, "size": blob.size}
        log_effect(con, "upload", method, path, upload["uid"], upload["path"], 200, **details)


def content_type_of(path: str) -> str:
    """The content type that the storage expects for a path."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def _method(box: Box, body: PresignBody) -> str:
    method = box.settings.upload_method
    if method == "auto":
        method = "put" if body.upload_protocol_version == 2 else "post"
    if method == "multipart" and not body.content_length:
        # A multipart upload has at least one part, and its parts follow from the size.
        if body.content_length is None:
            raise bad_fields(content_length="This field is required.")
        method = "put"
    return method.upper()


def _resume(con: sqlite3.Connection, body: PresignBody, root: str, method: str) -> sqlite3.Row | None:
    if body.dataset_upload_uid is None:
        return None
    found = con.execute(
        "SELECT * FROM uploads WHERE root = ? AND dataset_name = ? AND path = ? AND batch_uid = ? AND method = ?",
        (root, body.dataset_name, body.file_path_in_dataset, str(body.dataset_upload_uid), method),
    ).fetchone()
    if found is not None and found["content_length"] != body.content_length:
        raise bad_fields(content_length="This batch has announced another size for the same file.")
    return found


def _open(con: sqlite3.Connection, box: Box, body: PresignBody, actor: Actor, root: str, method: str) -> sqlite3.Row:
    uid = new_uid()
    batch = None if body.dataset_upload_uid is None else str(body.dataset_upload_uid)
    part_size = None
    if method == "MULTIPART":
        part_size = max(box.settings.part_size, -(-(body.content_length or 0) // MAX_PARTS))
    con.execute(
        "INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', NULL, ?)",
        (
            uid,
            actor.uid,
            root,
            body.dataset_name,
            body.file_path_in_dataset,
            body.content_length,
            batch,
            method,
            part_size,
            time.time(),
        ),
    )
    return con.execute("SELECT * FROM uploads WHERE uid = ?", (uid,)).fetchone()


def _descriptor(con: sqlite3.Connection, box: Box, upload: sqlite3.Row, where: str) -> dict[str, Any]:
    uid, content_type = upload["uid"], content_type_of(upload["path"])
    if upload["method"] == "POST":
        key = upload["root"] + upload["dataset_name"] + "/" + upload["path"]
        fields = box.signer.form(key, uid, content_type, upload["content_length"])
        return {"method": "POST", "url": f"{where}/_storage/form", "fields": fields}
    there = upload["status"] != "open"
    if upload["method"] == "PUT":
        return {
            "method": "PUT",
            "upload_uid": uid,
            "url": box.signer.url(where, "PUT", f"/_storage/uploads/{uid}", content_type),
            "headers": {"Content-Type": content_type},
            "complete": there,
        }
    uploaded = con.execute(
        "SELECT part_number, size, etag FROM upload_parts WHERE upload_uid = ? ORDER BY part_number", (uid,)
    )
    return {
        "method": "MULTIPART",
        "upload_uid": uid,
        "part_size": upload["part_size"],
        "part_count": _part_count(upload),
        "uploaded_parts": [dict(row) for row in uploaded],
        "complete": there,
    }


def _part_count(upload: sqlite3.Row) -> int:
    return -(-upload["content_length"] // upload["part_size"])


def _own_upload(con: sqlite3.Connection, uid: str, actor: Actor) -> sqlite3.Row:
    upload = con.execute("SELECT * FROM uploads WHERE uid = ? AND user_uid = ?", (uid, actor.uid)).fetchone()
    if upload is None:
        raise not_found()
    return upload


def _used(con: sqlite3.Connection, root: str) -> int:
    held = con.execute(
        "SELECT coalesce(sum(b.size), 0) FROM objects o JOIN blobs b ON b.digest = o.digest WHERE o.root = ?",
        (root,),
    ).fetchone()[0]
    reserved = con.execute(
        "SELECT coalesce(sum(content_length), 0) FROM uploads WHERE root = ? AND status = 'open' AND created_at > ?",
        (root, time.time() - RESERVATION_S),
    ).fetchone()[0]
    return held + reserved


def check_quota(con: sqlite3.Connection, box: Box, root: str, wanted: int) -> None:
    """Refuses bytes for which there is no room.

    Raises:
        ApiError: 413 with the limit and what is used of it.
    """
    used, limit = _used(con, root), box.settings.quota_bytes
    if used + wanted > limit:
        raise ApiError(413, {"detail": "Upload quota exceeded.", "limit": limit, "used": used})
