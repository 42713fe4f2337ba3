"""Files by content: each stored once under its SHA-256, durable before it is spoken of."""

import hashlib
import os
import secrets
import shutil
import sqlite3
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, PngImagePlugin

from alaas_pipeline.sandbox.state import sync_folder, write_durably


@dataclass(frozen=True)
class Blob:
    """One stored content: SHA-256 in hex, bytes, and what a full decode says (pixels as stored)."""

    digest: str
    size: int
    width: int | None = None
    height: int | None = None
    format: str | None = None
    problem: str | None = None

    def record(self, con: sqlite3.Connection) -> None:
        """Writes the row that items and exports join on."""
        # The same content may have come before under a name that is no image's, when nobody decoded it.
        con.execute(
            "INSERT INTO blobs VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET width = "
            "excluded.width, height = excluded.height, format = excluded.format, problem = excluded.problem WHERE "
            "excluded.format IS NOT NULL OR excluded.problem IS NOT NULL",
            (self.digest, self.size, self.width, self.height, self.format, self.problem),
        )


class Incoming:
    """A file that is being received: write to it, then keep it or drop it."""

    def __init__(self, scratch: Path) -> None:
        self.path = scratch
        self.size = 0
        self._sha = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._file: BinaryIO = scratch.open("xb")

    def write(self, data: bytes) -> None:
        """Appends bytes."""
        self._file.write(data)
        self._sha.update(data)
        self._md5.update(data)
        self.size += len(data)

    def flush(self) -> None:
        """Lets other readers of the file see what was written so far."""
        self._file.flush()

    @property
    def digest(self) -> str:
        """SHA-256 of what was written so far, in hex."""
        return self._sha.hexdigest()

    @property
    def etag(self) -> str:
        """MD5 of what was written so far, in hex: what object stores send as ETag."""
        return self._md5.hexdigest()

    def keep(self, target: Path) -> None:
        """Moves the file to its place, on the disk when it returns."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        make_durable_folder(target.parent)
        os.replace(self.path, target)
        sync_folder(target.parent)

    def drop(self) -> None:
        """Forgets the file; does nothing after `keep`."""
        self._file.close()
        self.path.unlink(missing_ok=True)


# A colour profile of several megabytes is no reason to leave an image out; for Pillow one is the most.
PngImagePlugin.MAX_TEXT_CHUNK = 64 << 20


class Blobs:
    """The content-addressed folder ``STATE/objects``."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "objects"
        self._scratch = state / "incoming"
        self._parts = state / "parts"
        # Half-received files of a killed server were never acknowledged.
        shutil.rmtree(self._scratch, ignore_errors=True)
        for folder in (self.folder, self._scratch, self._parts):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where a content lies."""
        return self.folder / digest[:2] / digest

    def part(self, upload_uid: str, number: int) -> Path:
        """Where one part of an unfinished multipart upload lies."""
        return self._parts / upload_uid / str(number)

    def incoming(self) -> Incoming:
        """A new scratch file."""
        return Incoming(self._scratch / secrets.token_hex(16))

    def keep(self, incoming: Incoming, *, image: bool) -> Blob:
        """Stores a received file under its digest.

        Args:
            incoming: the received file.
            image: decode it whole, to learn its size and whether it can be used.
        """
        found = inspect(incoming) if image else Blob(incoming.digest, incoming.size)
        incoming.keep(self.path(found.digest))
        return found

    def join_parts(self, upload_uid: str, numbers: list[int]) -> Incoming:
        """One scratch file out of the parts of a multipart upload."""
        whole = self.incoming()
        for number in numbers:
            with self.part(upload_uid, number).open("rb") as part:
                while chunk := part.read(1 << 20):
                    whole.write(chunk)
        return whole

    def drop_parts(self, upload_uid: str) -> None:
        """Frees the parts of an upload that is complete."""
        shutil.rmtree(self._parts / upload_uid, ignore_errors=True)

    def store(self, data: bytes) -> str:
        """Stores bytes and returns their digest."""
        digest = hashlib.sha256(data).hexdigest()
        target = self.path(digest)
        make_durable_folder(target.parent)
        write_durably(target, data)
        return digest


def make_durable_folder(folder: Path) -> None:
    """Makes a folder, once, in a way that outlives a power cut."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)


def inspect(incoming: Incoming) -> Blob:
    """Decodes an image whole: a header alone does not show that a file was cut short."""
    incoming.flush()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(incoming.path) as image:
                width, height, form = image.width, image.height, image.format
                image.load()
    # A damaged file can raise almost anything from inside a codec; each one means: not an image.
    except Exception as error:
        return Blob(incoming.digest, incoming.size, problem=f"cannot be decoded ({type(error).__name__})")
    return Blob(incoming.digest, incoming.size, width, height, form)
