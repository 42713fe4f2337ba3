"""One root for all files the project writes: a local folder, or `s3://bucket/prefix` through fsspec."""

import json
import os
import re
import uuid
from pathlib import Path
from typing import Any

from alaas_pipeline.errors import UserError

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")


class Store:
    """Reads and writes whole files by paths relative to one root.

    Relative paths use `/`. Every write is atomic: a reader sees the old file, the new one, or none.

    Args:
        root: a local folder (made when first written to), or a URL such as `s3://bucket/prefix`. S3 takes
            credentials and endpoint from the usual AWS environment.

    Raises:
        UserError: empty root, or a URL whose package is not installed.
    """

    def __init__(self, root: str) -> None:
        if not root.strip():
            raise UserError("The store has no root; give a folder, or s3://bucket/prefix.")
        self._fs: Any = None
        if "://" in root:
            self.root = root.rstrip("/")
            self._fs = _file_system(root)
        else:
            self.root = os.path.abspath(os.path.expanduser(root))

    def path(self, *parts: str) -> str:
        """Return the full path or URL of a file below the root; each part may hold several names.

        Raises:
            UserError: a part is empty, absolute, or has `..`, a backslash or a control character in it.
        """
        return "/".join((self.root.rstrip("/"), *(_checked(part) for part in parts)))

    def local(self, *parts: str) -> Path:
        """Return the path of a file below a local root.

        Raises:
            UserError: the root is not local, or a part is not allowed (see `path`).
        """
        if self._fs is not None:
            raise UserError(f"{self.root} is not a local folder, which this step needs; set the storage to a folder.")
        return Path(self.path(*parts))

    def write_bytes(self, rel: str, data: bytes) -> str:
        """Write one file, replacing an earlier one, and return its full path.

        Locally: temporary file, fsync, rename, fsync of the folder, so that it also survives a loss of power.
        """
        path = self.path(rel)
        if self._fs is not None:
            self._fs.pipe_file(path, data)
            return path
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)
        return path

    def read_bytes(self, rel: str) -> bytes:
        """Return the content of one file.

        Raises:
            FileNotFoundError: there is none.
        """
        path = self.path(rel)
        return self._fs.cat_file(path) if self._fs is not None else Path(path).read_bytes()

    def exists(self, rel: str) -> bool:
        """Tell whether there is a file of this name."""
        path = self.path(rel)
        return bool(self._fs.isfile(path)) if self._fs is not None else Path(path).is_file()

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
        """Return the relative paths of all files in and below the folder `prefix`, sorted."""
        base = self.path(prefix) if prefix else self.root
        if self._fs is not None:
            root = self._fs._strip_protocol(self.root).rstrip("/")
            return sorted(found[len(root) :].lstrip("/") for found in self._fs.find(base))
        return sorted(
            Path(folder, name).relative_to(self.root).as_posix()
            for folder, _, names in os.walk(base)
            for name in names
            if not _TEMPORARY.fullmatch(name)
        )


def _file_system(url: str) -> Any:
    import fsspec

    scheme = url.partition("://")[0]
    try:
        # Other processes write too: a remembered listing would be wrong.
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError:
        remedy = "install alaas-pipeline[s3]" if scheme == "s3" else "install its fsspec package"
        raise UserError(f"Storage on {scheme}:// needs a package that is missing; {remedy}.") from None
    except ValueError:
        raise UserError(f"Storage on {scheme}:// is unknown; give a folder, or s3://bucket/prefix.") from None


def _checked(part: str) -> str:
    names = part.split("/")
    if any(name in ("", ".", "..") for name in names) or re.search(r"[\\\x00-\x1f\x7f]", part):
        raise UserError(f"{part!r} is no path inside the store; use plain names with '/' between them.")
    return part


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
