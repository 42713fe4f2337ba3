"""One root for all files the project writes: a local folder, `s3://bucket/prefix`, or any other address that fsspec knows."""

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home, absolute_from_env
from alaas_pipeline.remote import ObjectRefused, Objects, on_this_machine, open_objects, split_url
from alaas_pipeline.whole_file import is_unfinished, whole_file

SETTING = "ALAAS_FILES"


def open_store(home: Home) -> "Store":
    """Return the store that `ALAAS_FILES` names, else the folder `files` of the home.

    Raises:
        UserError: the setting is a relative path, or an address that cannot be used.
    """
    address = os.environ.get(SETTING, "").strip()
    return Store(address if "://" in address else str(absolute_from_env(SETTING) or home.files))


class Store:
    """Reads and writes whole files by paths relative to one root.

    Relative paths use `/`. Every write is atomic: a reader sees the old file, the new one, or none.

    Args:
        root: a local folder (made when first written to), or a URL such as `s3://bucket/prefix`. S3 takes
            credentials and endpoint from the usual AWS environment.

    Raises:
        UserError: empty root, or a URL that is not valid, of an unknown kind or whose package is not installed.
    """

    def __init__(self, root: str) -> None:
        if not root.strip():
            raise UserError("The store has no root; give a folder, or s3://bucket/prefix.")
        self._objects: Objects | None = None
        folder = on_this_machine(root)
        if folder is None:
            scheme, place, prefix = split_url(root.strip())
            self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
            self.root = f"{scheme}://{place}/{self._prefix}".rstrip("/")
            self._objects = open_objects(scheme, place, self.root)
        else:
            self.root = os.path.abspath(os.path.expanduser(folder))

    def path(self, *parts: str) -> str:
        """Return the full path or URL of a file below the root; each part may hold several names.

        Raises:
            UserError: a part is empty, absolute, or has `..`, a backslash or a control character in it.
        """
        return "/".join((self.root.rstrip("/"), *(_checked(part) for part in parts)))

    @contextmanager
    def making(self, rel: str) -> Iterator[Path]:
        """Yield a path on this machine at which a file or a folder is made; its parent is there.

        Of a remote store it is a temporary one. What stands there at the end is put in its place, after a failure too; of a
        folder what lies deepest comes first, so that a file that names the others is the last.

        Raises:
            UserError: it cannot be written, or the path is not allowed (see `path`).
        """
        place = self.path(rel)
        if self._objects is None:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            yield Path(place)
            return
        with tempfile.TemporaryDirectory(prefix="alaas-") as folder:
            made = Path(folder, Path(rel).name)
            try:
                yield made
            finally:
                files = [made] if made.is_file() else [path for path in made.rglob("*") if path.is_file()]
                for path in sorted(files, key=lambda path: (-len(path.parts), path)):
                    below = path.relative_to(made).as_posix()
                    self.write_bytes(rel if below == "." else f"{rel}/{below}", path.read_bytes())

    def write_bytes(self, rel: str, data: bytes) -> str:
        """Write one file, replacing an earlier one, and return its full path.

        Locally: temporary file, fsync, rename, fsync of the folder, so that it also survives a loss of power.

        Raises:
            UserError: the remote store cannot be written to.
        """
        path = self.path(rel)
        if self._objects is not None:
            self._objects.write(self._prefix + rel, data)
            return path
        with whole_file(Path(path)) as file:
            file.write(data)
        return path

    def read_bytes(self, rel: str) -> bytes:
        """Return the content of one file.

        Raises:
            FileNotFoundError: there is none.
            UserError: it, or the remote store as a whole, is closed to us.
        """
        path = self.path(rel)
        if self._objects is None:
            return Path(path).read_bytes()
        try:
            return self._objects.read(self._prefix + rel)
        except ObjectRefused as error:
            raise _refusal(error, path) from None

    def exists(self, rel: str) -> bool:
        """Tell whether there is a file of this name.

        Raises:
            UserError: it, or the remote store as a whole, is closed to us.
        """
        path = self.path(rel)
        if self._objects is None:
            return Path(path).is_file()
        try:
            self._objects.look(self._prefix + rel)
        except ObjectRefused as error:
            if error.reason == "missing":
                return False
            raise _refusal(error, path) from None
        return True

    def write_json(self, rel: str, value: Any) -> str:
        """Write a JSON file with sorted keys, the same bytes for the same value, and return its full path.

        Raises:
            ValueError: the value holds NaN or an infinity, which are not JSON.
        """
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, indent=2, sort_keys=True)
        return self.write_bytes(rel, f"{text}\n".encode())

    def read_json(self, rel: str) -> Any:
        """Return the value of a JSON file.

        Raises:
            FileNotFoundError: there is none.
            UserError: it is not JSON.
        """
        try:
            return json.loads(self.read_bytes(rel))
        except (ValueError, RecursionError):
            raise UserError(f"{self.path(rel)} is not valid JSON; restore or remove it.") from None

    def list(self, prefix: str = "") -> "list[str]":
        """Return the relative paths of all files in and below the folder `prefix`, sorted.

        Raises:
            UserError: the remote store is closed to us.
        """
        base = self.path(prefix) if prefix else self.root
        if self._objects is not None:
            below = self._prefix + (f"{prefix}/" if prefix else "")
            return sorted(found.key.removeprefix(self._prefix) for found in self._objects.list(below))
        return sorted(
            Path(folder, name).relative_to(self.root).as_posix()
            for folder, _, names in os.walk(base)
            for name in names
            if not is_unfinished(name)
        )


def _refusal(error: ObjectRefused, path: str) -> Exception:
    if error.reason == "missing":
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return UserError(f"{path} cannot be read ({error.reason.replace('_', ' ')}); grant access to it, or restore it.")


def _checked(part: str) -> str:
    names = part.split("/")
    if any(name in ("", ".", "..") for name in names) or re.search(r"[\\\x00-\x1f\x7f]", part):
        raise UserError(f"{part!r} is no path inside the store; use plain names with '/' between them.")
    return part
