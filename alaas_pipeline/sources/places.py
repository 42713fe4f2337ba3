"""Single files by what a list calls them: a path, or an address of any kind."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from alaas_pipeline.errors import UserError
from alaas_pipeline.remote import Found, ObjectRefused, Objects, on_this_machine, open_objects, split_url
from alaas_pipeline.sources.folder import FolderSource


class UnusableUri(Exception):
    """What a list calls a file is no place that can be opened; the text says why, and repeats no keys."""


class Places:
    """Looks at and reads single files.

    Args:
        base: the folder that relative paths start from.
        client: makes a client of S3.
    """

    def __init__(self, base: Path, client: Callable[[], Any]) -> None:
        self._base = base
        self._client = cache(client)
        self._open: dict[tuple[str, str], Objects | UserError] = {}
        self._lock = Lock()

    def look(self, uri: str) -> Found:
        """Tell of one file without reading it.

        Raises:
            UnreadableFile, ObjectRefused, UnusableUri: this one cannot be had.
            UserError: the service is closed to us.
        """
        path = on_this_machine(uri)
        if path is None:
            objects, key = self._remote(uri)
            return objects.look(key)
        folder, name = self._local(path)
        found = folder.look(name)
        return Found(uri, found.bytes, found.version)

    def read(self, uri: str, max_bytes: int, version: str = "") -> bytes:
        """Return the content of one file: with a version, of that one and no other.

        Raises:
            UnreadableFile, ObjectRefused, UnusableUri: this one cannot be had.
            UserError: the service is closed to us.
        """
        path = on_this_machine(uri)
        if path is None:
            objects, key = self._remote(uri)
            return objects.read(key, max_bytes, version)
        folder, name = self._local(path)
        return folder.read(name, max_bytes, version)

    def _local(self, path: str) -> tuple[FolderSource, str]:
        place = self._base / path
        try:
            # Asked for here, since a folder looks through all its files for another spelling of a name it does not have.
            there = place.is_symlink() or place.exists()
        except (OSError, ValueError):
            there = False
        if not there:
            raise ObjectRefused("missing")
        return FolderSource(place.parent), place.name

    def _remote(self, uri: str) -> tuple[Objects, str]:
        try:
            scheme, place, key = split_url(uri)
        except UserError as error:
            raise UnusableUri(str(error)) from None
        with self._lock:
            known = self._open.get((scheme, place))
            if known is None:
                try:
                    known = open_objects(scheme, place, client=self._client)
                except UserError as error:
                    known = error
                self._open[scheme, place] = known
        if isinstance(known, UserError):
            raise UnusableUri(str(known))
        return known, key
