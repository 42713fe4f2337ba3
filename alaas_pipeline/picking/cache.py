"""Vectors of images that were looked at before, so that asking again costs nothing.

One SQLite file under ALAAS_HOME. Vectors are kept by the digest of the image's content and the encoder's id; a file that kept its time
and size is not read again. Everything in it can be made anew.
"""

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alaas_pipeline.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_WAIT_S = 60.0
_TABLES = """
create table if not exists files (folder blob, path text, version text, digest text, primary key (folder, path));
create table if not exists vectors (encoder text, digest text, vector blob, refusal text, primary key (encoder, digest));
create table if not exists encoders (spec text primary key, made_of text, encoder text);
"""


class VectorCache:
    """What is known about files, images and encoders. Use `open_cache`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def files(self, folder: Path) -> dict[str, tuple[str, str]]:
        """Return version and digest of each file of a folder, as of the last look."""
        rows = self._database.execute("select path, version, digest from files where folder = ?", [_key(folder)])
        return {path: (version, digest) for path, version, digest in rows}

    def keep_files(self, folder: Path, files: Mapping[str, tuple[str, str]]) -> None:
        """Keep version and digest of each file of a folder, in place of what was kept."""
        with self._database:
            self._database.execute("delete from files where folder = ?", [_key(folder)])
            self._database.executemany(
                "insert into files values (?, ?, ?, ?)", [(_key(folder), path, *rest) for path, rest in files.items()]
            )

    def encoder_id(self, spec: str, made_of: str) -> str | None:
        """Return the id that an encoder had when it was loaded last, unless what it is made of changed since."""
        row = self._database.execute(
            "select encoder from encoders where spec = ? and made_of = ?", [spec, made_of]
        ).fetchone()
        return row[0] if row else None

    def keep_encoder_id(self, spec: str, made_of: str, encoder_id: str) -> None:
        """Keep the id of an encoder; refusals made with other libraries are forgotten, for these may decode more."""
        with self._database:
            self._database.execute("delete from vectors where encoder = ? and refusal is not null", [encoder_id])
            self._database.execute("insert or replace into encoders values (?, ?, ?)", [spec, made_of, encoder_id])

    def vectors(
        self, encoder_id: str, digests: Iterable[str]
    ) -> tuple[dict[str, "NDArray[np.float16]"], dict[str, str]]:
        """Return the vectors that are there, and the reasons of images that can have none, both by digest."""
        found: dict[str, NDArray[np.float16]] = {}
        refused: dict[str, str] = {}
        for digest in digests:
            row = self._database.execute(
                "select vector, refusal from vectors where encoder = ? and digest = ?", [encoder_id, digest]
            ).fetchone()
            if row and row[1] is not None:
                refused[digest] = row[1]
            elif row:
                found[digest] = np.frombuffer(row[0], np.float16)
        return found, refused

    def keep_vectors(
        self, encoder_id: str, vectors: Mapping[str, "NDArray[np.float16]"], refused: Mapping[str, str]
    ) -> None:
        """Keep vectors and refusals by digest."""
        with self._database:
            self._database.executemany(
                "insert or replace into vectors values (?, ?, ?, ?)",
                [
                    *((encoder_id, digest, vector.tobytes(), None) for digest, vector in vectors.items()),
                    *((encoder_id, digest, None, reason) for digest, reason in refused.items()),
                ],
            )


@contextmanager
def open_cache(folder: Path) -> Iterator[VectorCache]:
    """Open the cache in a folder, made when missing.

    Raises:
        UserError: its file is damaged, locked for too long, or cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vectors.sqlite"
    try:
        with closing(sqlite3.connect(path, timeout=_WAIT_S)) as database:
            database.executescript(_TABLES)
            yield VectorCache(database)
    except sqlite3.Error as error:
        raise UserError(
            f"The cache {path} cannot be used: {error}. Mend that, or delete the file: it is made anew."
        ) from None


def _key(folder: Path) -> bytes:
    return os.fsencode(folder.resolve())
