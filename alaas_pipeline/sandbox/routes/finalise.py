"""Makes datasets of uploaded files, or of files that are yet to be uploaded."""

import hashlib
import json
import sqlite3
import time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from alaas_pipeline.sandbox.auth import Actor
from alaas_pipeline.sandbox.box import ActorOf, Box, BoxOf, upload_origin
from alaas_pipeline.sandbox.errors import bad_fields, name_taken
from alaas_pipeline.sandbox.indexing import problem_with
from alaas_pipeline.sandbox.routes.datasets import one_dataset, show_dataset
from alaas_pipeline.sandbox.routes.fields import SUFFIXES, Body, DatasetName, FilePath, Slug, Visibility
from alaas_pipeline.sandbox.routes.uploads import Bytes, check_quota, root_of
from alaas_pipeline.sandbox.state import log_effect, new_uid

router = APIRouter(prefix="/datasets", tags=["uploads"])


class FileBody(BaseModel):
    """A file that is to be uploaded: its path in the dataset, and its size in bytes if that is known."""

    name: FilePath
    size: Bytes | None = None


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
    files: Annotated[list[FilePath | FileBody], Field(max_length=10_000)] = Field(default_factory=list)


@router.post("/manual-upload/", status_code=201)
def finalise(body: FinaliseBody, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Indexes everything that lies under the prefix of the dataset's name.

    Where the settings say that ``files`` counts, the answer also holds ``upload_urls``, one for a PUT of each
    file, and the dataset stays ``creating`` until all have arrived. Without that list, nothing is awaited.
    """
    actor.need("datasets.write")
    root = root_of(actor, body.organization_uid)
    data_type = _data_type(box, body.data_type)
    owner = _owner(actor, body)
    files = _files(body) if box.settings.manual_upload == "files" else {}
    with box.state.transaction() as con:
        _refuse_taken(con, box, owner, body)
        uid, now = new_uid(), time.time()
        objects = con.execute(
            "SELECT o.path, b.* FROM objects o JOIN blobs b ON b.digest = o.digest"
            " WHERE o.root = ? AND o.dataset_name = ? ORDER BY o.path",
            (root, body.name),
        ).fetchall()
        issues = {
            row["path"]: problem
            for row in objects
            if (problem := problem_with(row["path"], data_type, row["problem"])) is not None
        }
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
                max(box.settings.creating_reads, bool(files)),
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
        shown = show_dataset(box, one_dataset(con, "t.uid = ?", (uid,))) | {"status": "creating", "item_count": 0}
        if files:
            check_quota(con, box, root, sum(size or 0 for size in files.values()))
            shown["upload_urls"] = [
                _announce(con, box, request, actor, root, body.name, uid, path, size) for path, size in files.items()
            ]
        return shown


def _files(body: FinaliseBody) -> dict[str, int | None]:
    named = [(file, None) if isinstance(file, str) else (file.name, file.size) for file in body.files]
    if len({name for name, _ in named}) < len(named):
        raise bad_fields(files="Each file may be named once.")
    return dict(named)


def _announce(
    con: sqlite3.Connection,
    box: Box,
    request: Request,
    actor: Actor,
    root: str,
    dataset_name: str,
    dataset_uid: str,
    path: str,
    size: int | None,
) -> dict[str, str]:
    """Opens the upload of a file of a dataset that is there already, whose uid stands for the batch."""
    uid = new_uid()
    con.execute(
        "INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, 'PUT', NULL, 'open', NULL, ?)",
        (uid, actor.uid, root, dataset_name, path, size, dataset_uid, time.time()),
    )
    details = {"dataset_name": dataset_name, "by": "PUT", "size": size}
    log_effect(con, "presign", "POST", request.url.path, uid, path, 201, **details)
    return {
        "name": path,
        "method": "PUT",
        "url": box.signer.url(upload_origin(box, request, "PUT"), "PUT", f"/_storage/uploads/{uid}"),
    }


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


def _refuse_taken(con: sqlite3.Connection, box: Box, owner: str, body: FinaliseBody) -> None:
    taken = {
        column: f"Dataset with this {column} already exists."
        for column, value in (("name", body.name), ("slug", body.slug))
        if con.execute(f"SELECT 1 FROM datasets WHERE owner_name = ? AND {column} = ?", (owner, value)).fetchone()
    }
    if taken:
        raise name_taken(box.settings.taken_name_status, **taken)
