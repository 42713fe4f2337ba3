"""The storage behind presigned URLs. It knows signatures, not API keys, and answers errors in XML."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from xml.sax.saxutils import escape

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from alaas_pipeline.sandbox.auth import HEADER
from alaas_pipeline.sandbox.blobs import Incoming
from alaas_pipeline.sandbox.box import Box, BoxOf
from alaas_pipeline.sandbox.multipart import Part, read_form
from alaas_pipeline.sandbox.routes.uploads import content_type_of, store_upload
from alaas_pipeline.sandbox.signing import SignatureError

router = APIRouter(prefix="/_storage", include_in_schema=False)

MAX_FORM_BYTES = 256 * 1024 * 1024
CHUNK = 1 << 20


class StorageError(Exception):
    """A storage request that is refused, with the status and the code of the XML answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def answer_error(request: Request, error: Exception) -> Response:
    """The XML answer to a refused storage request."""
    status = error.status if isinstance(error, StorageError) else 403
    if isinstance(error, SignatureError) and error.code == "EntityWrongSize":
        status = 400
    code = error.code if isinstance(error, StorageError | SignatureError) else "InternalError"
    body = f"<Error><Code>{code}</Code><Message>{escape(str(error))}</Message></Error>"
    return Response(body, status, media_type="application/xml")


@router.put("/uploads/{uid}")
async def put_file(uid: str, request: Request, box: BoxOf) -> Response:
    """Receives a whole file."""
    try:
        _check(request, box, request.headers.get("content-type", ""))
    except SignatureError as error:
        if error.code != "SignatureDoesNotMatch":
            raise
        # A URL that was signed for no content type takes any.
        _check(request, box, "")
    upload = await run_in_threadpool(_upload, box, uid)
    if upload["status"] != "open":
        raise StorageError(412, "PreconditionFailed", "The object is there already.")
    incoming = box.blobs.incoming()
    try:
        await _receive(request.stream(), incoming, upload["content_length"])
        await run_in_threadpool(store_upload, box, upload, incoming, "PUT", request.url.path)
    finally:
        incoming.drop()
    return Response(status_code=200, headers={"ETag": f'"{incoming.etag}"'})


@router.put("/parts/{uid}/{number}")
async def put_part(uid: str, number: int, request: Request, box: BoxOf) -> Response:
    """Receives one part of a multipart upload."""
    _check(request, box, "")
    upload = await run_in_threadpool(_upload, box, uid)
    if upload["status"] != "open":
        raise StorageError(404, "NoSuchUpload", "The upload is complete already.")
    wanted = min(upload["part_size"], upload["content_length"] - (number - 1) * upload["part_size"])
    incoming = box.blobs.incoming()
    try:
        await _receive(request.stream(), incoming, wanted)
        await run_in_threadpool(_keep_part, box, uid, number, incoming)
    finally:
        incoming.drop()
    return Response(status_code=200, headers={"ETag": f'"{incoming.etag}"'})


@router.post("/form")
async def post_form(request: Request, box: BoxOf) -> Response:
    """Receives a file in a signed form, whose last part is the file."""
    _refuse_keys(request)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise StorageError(400, "EntityTooLarge", "Your upload exceeds the largest form.")
    try:
        parts = read_form(request.headers.get("content-type", ""), bytes(body))
    except ValueError as error:
        raise StorageError(400, "MalformedPOSTRequest", str(error)) from None
    await run_in_threadpool(_store_form, box, parts, request.url.path)
    return Response(status_code=204)


@router.get("/items/{uid}")
def get_item(uid: str, request: Request, box: BoxOf) -> Response:
    """The image of an item."""
    _check(request, box, "")
    with box.state.transaction() as con:
        item = con.execute("SELECT key, digest FROM items WHERE uid = ?", (uid,)).fetchone()
    if item is None:
        raise StorageError(404, "NoSuchKey", "The object does not exist.")
    return FileResponse(box.blobs.path(item["digest"]), media_type=content_type_of(item["key"]))


@router.get("/exports/{name}")
def get_export(name: str, request: Request, box: BoxOf) -> Response:
    """The file of an export."""
    _check(request, box, "")
    with box.state.transaction() as con:
        export = con.execute("SELECT digest, kind FROM exports WHERE uid = ?", (Path(name).stem,)).fetchone()
    if export is None or export["digest"] is None:
        raise StorageError(404, "NoSuchKey", "The object does not exist.")
    media_type = "application/zip" if export["kind"] == "zip" else "application/json"
    return FileResponse(box.blobs.path(export["digest"]), media_type=media_type)


def _refuse_keys(request: Request) -> None:
    # A client that sends its key to a storage host gives it away: here that is an error it cannot miss.
    if HEADER in request.headers or "authorization" in request.headers:
        raise StorageError(400, "InvalidRequest", "A storage request must not carry an API key.")


def _check(request: Request, box: Box, content_type: str) -> None:
    _refuse_keys(request)
    query = request.query_params
    box.signer.check_url(
        request.method,
        request.url.path,
        content_type,
        query.get("X-Amz-Expires"),
        query.get("X-Amz-Signature"),
    )


def _upload(box: Box, uid: str) -> sqlite3.Row:
    with box.state.transaction() as con:
        upload = con.execute("SELECT * FROM uploads WHERE uid = ?", (uid,)).fetchone()
    if upload is None:
        raise StorageError(404, "NoSuchUpload", "The upload does not exist.")
    return upload


async def _receive(stream: AsyncIterator[bytes], incoming: Incoming, wanted: int | None) -> None:
    async for chunk in stream:
        if len(chunk) > CHUNK:
            await asyncio.to_thread(incoming.write, chunk)
        else:
            incoming.write(chunk)
        if wanted is not None and incoming.size > wanted:
            break
    if wanted is not None and incoming.size != wanted:
        raise StorageError(400, "EntityWrongSize", "Your upload does not have the size that was announced.")


def _keep_part(box: Box, uid: str, number: int, incoming: Incoming) -> None:
    incoming.keep(box.blobs.part(uid, number))
    with box.state.transaction() as con:
        con.execute(
            "INSERT OR REPLACE INTO upload_parts VALUES (?, ?, ?, ?)",
            (uid, number, incoming.size, incoming.etag),
        )


def _store_form(box: Box, parts: list[Part], path: str) -> None:
    if not parts or parts[-1].name != "file" or any(part.name == "file" for part in parts[:-1]):
        raise StorageError(400, "InvalidArgument", "The form must have one part named file, and it must be the last.")
    fields = {part.name: part.data.decode("utf-8", "replace") for part in parts[:-1]}
    uid = box.signer.check_form(fields, len(parts[-1].data))
    upload = _upload(box, uid)
    incoming = box.blobs.incoming()
    try:
        incoming.write(parts[-1].data)
        store_upload(box, upload, incoming, "POST", path)
    finally:
        incoming.drop()
