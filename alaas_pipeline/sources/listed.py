"""Images that a manifest lists, wherever each of them is."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

from alaas_pipeline.remote import ObjectRefused
from alaas_pipeline.sources.base import SourceFile, UnreadableFile, unsafe
from alaas_pipeline.sources.manifest import BadRow, ManifestRow, read_rows
from alaas_pipeline.sources.places import Places, UnusableUri

LOOKS = 16
CHUNK = 64

_PROBLEMS = {
    "missing": "is not there; put it there, or correct its 'uri'",
    "too_large": "is larger than the limit; shrink it or raise the limit",
    "access_denied": "may not be read with the present rights; grant read access to it",
    "archived": "is in cold storage; restore it before the next run",
    "changed_while_reading": "changed while it was read; run again once it is complete",
}


class ManifestSource:
    """The images of a CSV, Parquet or JSONL file with the columns `id` and `uri`.

    A uri is a path, relative to the file, or an address of any kind; without one the id serves. A row that says nothing of
    any image is listed by its line, as refused.

    Args:
        path: the file.
        client: makes a client of S3; called for the first image there.
    """

    def __init__(self, path: Path, client: Callable[[], Any]) -> None:
        self.path = path
        self.name = str(path)
        self._places = Places(path.parent, client)
        self._uris: dict[str, str] | None = None
        self._bad: dict[str, str] = {}
        self._lock = Lock()

    def rows(self) -> Iterator[ManifestRow | BadRow]:
        """Yield the rows; one whose id cannot serve as a path is bad.

        Raises:
            UserError: the file is missing, or none that can be read.
        """
        for row in read_rows(self.path, "source"):
            if isinstance(row, ManifestRow) and unsafe(row.path):
                yield BadRow(
                    f"the id {row.path!r}",
                    "it has an empty, dotted or absolute part. Write a plain path, and the address as 'uri'.",
                )
            else:
                yield row

    def list(self) -> Iterator[SourceFile]:
        """Yield the images in the order of the file. See `Source.list`."""
        with self._lock:
            uris, bad = self._uris, self._bad = self._read()
        rows = iter(uris)
        with ThreadPoolExecutor(LOOKS) as threads:
            while chunk := list(islice(rows, CHUNK)):
                yield from threads.map(self._look, chunk)
        for name, problem in bad.items():
            yield SourceFile(name, 0, _short(problem), "manifest_row")

    def read(self, path: str, max_bytes: int, version: str = "") -> bytes:
        """Return the content of one image. See `Source.read`."""
        uri = self._uri(path)
        try:
            return self._places.read(uri, max_bytes, version.rpartition("@")[0])
        except (ObjectRefused, UnusableUri) as error:
            raise self._unreadable(path, error) from None

    def _read(self) -> tuple[dict[str, str], dict[str, str]]:
        uris, bad = {}, {}
        for row in self.rows():
            if isinstance(row, BadRow):
                bad[f"{self.path.name}, {row.place}"] = row.problem
            else:
                uris[row.path] = row.uri or row.path
        return uris, bad

    def _uri(self, path: str) -> str:
        with self._lock:
            if self._uris is None:
                self._uris, self._bad = self._read()
        if path in self._bad:
            raise UnreadableFile("manifest_row", f"{path}: {self._bad[path]}")
        if path not in self._uris:
            raise UnreadableFile("missing", f"{path!r} is not in {self.name} any more.")
        return self._uris[path]

    def _look(self, path: str) -> SourceFile:
        uri = self._uri(path)
        try:
            found = self._places.look(uri)
        except UnreadableFile as error:
            return SourceFile(path, 0, "", error.reason)
        except (ObjectRefused, UnusableUri) as error:
            return SourceFile(path, 0, "", self._unreadable(path, error).reason)
        # Another address is another version; what follows a question mark is a signature, which is new each time.
        return SourceFile(path, found.bytes, f"{found.version}@{_short(uri.partition('?')[0])}")

    def _unreadable(self, path: str, error: ObjectRefused | UnusableUri) -> UnreadableFile:
        if isinstance(error, UnusableUri):
            return UnreadableFile("uri", f"The uri of {path!r} in {self.name} cannot be used: {error}")
        return UnreadableFile(error.reason, f"What {path!r} names in {self.name} {_PROBLEMS[error.reason]}.")


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
