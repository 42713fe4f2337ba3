"""What the server remembers: one SQLite file, on the disk before a request is acknowledged."""

import hashlib
import json
import os
import secrets
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alaas_pipeline.sandbox.errors import SandboxError
from alaas_pipeline.sandbox.events import TABLES, TRIGGERS
from alaas_pipeline.sandbox.schema import ADDED, SCHEMA
from alaas_pipeline.sandbox.settings import Settings

SCHEMA_VERSION = 2
TEMPLATE_AGE_S = 30 * 86_400


def new_uid() -> str:
    """A lower-case version 4 UUID."""
    return str(uuid.uuid4())


def iso(moment: float) -> str:
    """Seconds since the epoch as UTC text, such as ``2026-04-09T12:00:00.250000Z``."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def key_digest(api_key: str) -> str:
    """What is stored in place of an API key."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder as durable as the files they name."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a whole file or nothing, on the disk when it returns."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)
    sync_folder(path.parent)


class State:
    """The state file of one sandbox.

    All requests share one connection behind a lock: SQLite has one writer anyway, and transactions last well
    under a millisecond beside their write to the disk.

    Args:
        settings: where it lies, and what the first start creates.

    Raises:
        SandboxError: if the file was written by another version of the server.
    """

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.state
        self._lock = threading.RLock()
        path = settings.state / "sandbox.sqlite"
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            self._connection.close()
            raise SandboxError(
                f"{path} was written by another version of the sandbox (its schema is {version}, this one's is "
                f"{SCHEMA_VERSION}). Start with an empty state folder."
            )
        with self.transaction() as con:
            if version == 0:
                for statement in SCHEMA.split(";"):
                    con.execute(statement)
                con.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            for statement in (*ADDED.split(";"), *TABLES, *TRIGGERS):
                con.execute(statement)
            self._first_inhabitants(con, settings)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on the disk when the block ends, undone when it raises."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def _first_inhabitants(self, con: sqlite3.Connection, settings: Settings) -> None:
        user = ensure_user(con, settings.username, f"{settings.username}@sandbox.invalid")
        con.execute("DELETE FROM api_keys WHERE from_settings = 1")
        con.execute(
            "INSERT OR REPLACE INTO api_keys VALUES (?, ?, ?, NULL, 0, 0, 0, 1)",
            (key_digest(settings.api_key), user, settings.plan),
        )
        templates = (
            (
                settings.template_uid,
                "Image classification template",
                "image-annotation",
                "One class for each image.",
            ),
            (
                settings.lidar_template_uid,
                "Point cloud template",
                "point-cloud-annotation",
                "Cuboids in point clouds.",
            ),
        )
        # Older than any lag of a list: templates are nothing that has just been made.
        then = time.time() - TEMPLATE_AGE_S
        for uid, name, task_type, description in templates:
            con.execute(
                "INSERT OR IGNORE INTO projects (uid, name, owner_name, task_type, status, visibility,"
                " short_description, template, labels, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, 'active', 'private', ?, 1, '[]', ?, ?)",
                (uid, name, settings.username, task_type, description, then, then),
            )
        con.execute(
            "UPDATE projects SET labels = ? WHERE uid = ?",
            (json.dumps(settings.labels), settings.template_uid),
        )


def ensure_user(con: sqlite3.Connection, username: str, email: str) -> str:
    """The uid of a user; a new one is created together with an organization of their own."""
    row = con.execute("SELECT uid FROM users WHERE username = ?", (username,)).fetchone()
    if row is not None:
        return row["uid"]
    uid, organization, now = new_uid(), new_uid(), time.time()
    con.execute("INSERT INTO users VALUES (?, ?, ?, ?)", (uid, username, email, now))
    con.execute(
        "INSERT INTO organizations (uid, name, slug, created_at) VALUES (?, ?, ?, ?)",
        (organization, f"{username} organization", f"{username}-org", now),
    )
    con.execute("INSERT INTO members VALUES (?, ?, 'owner')", (organization, uid))
    return uid


def log_effect(
    con: sqlite3.Connection,
    kind: str,
    method: str,
    path: str,
    uid: str | None,
    name: str | None,
    status: int,
    **details: Any,
) -> None:
    """Numbers one accepted change, in the same transaction as the change itself.

    Args:
        con: the transaction of the change.
        kind: what was done, such as ``approve``; ``by_hand:approve`` if it did not come through the API.
        method: HTTP method of the request.
        path: its path, without the query.
        uid: uid of what was changed.
        name: its name, or the path of an uploaded file.
        status: status of the answer.
        **details: what else somebody who audits the change must know, by kind: see `list_effects`.
    """
    con.execute(
        "INSERT INTO effects (at, kind, method, path, uid, name, status, details) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (time.time(), kind, method, path, uid, name, status, json.dumps(details, ensure_ascii=False)),
    )
