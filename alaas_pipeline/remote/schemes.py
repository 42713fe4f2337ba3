"""Objects of every other service, by the file systems of fsspec: `gs://`, `az://`, `https://`, `memory://` and many more."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from alaas_pipeline.errors import UserError
from alaas_pipeline.remote.objects import Found, ObjectRefused

# What file systems call a mark that changes with the content; the first that is there is taken.
_MARKS = ("ETag", "etag", "md5Hash", "content_md5", "generation", "mtime", "LastModified", "last_modified", "created")
_STATUS = {401: "access_denied", 403: "access_denied", 404: "missing", 410: "missing"}


class Files:
    """The files below a URL. See `Objects`.

    Args:
        url: scheme and place, such as `gs://bucket`; keys are relative to it.
        place: how messages call what is read or written.

    Raises:
        UserError: the scheme is unknown, or its package is not installed.
    """

    def __init__(self, url: str, place: str = "") -> None:
        self._place = place or url
        self._fs, root = _file_system(url)
        self._root = root.rstrip("/")

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield the files, folder by folder. See `Objects.list`."""
        # Not with fsspec's own walk, which takes a folder below that cannot be listed for an empty one.
        top = f"{self._root}/{prefix}".rstrip("/") or "/"
        folders = [top]
        while folders:
            folder = folders.pop()
            for info in self._entries(folder, top):
                name = info["name"].rstrip("/")
                if not name.startswith(f"{folder.rstrip('/')}/"):
                    continue  # itself, or a link to elsewhere
                if info["type"] == "directory":
                    folders.append(name)
                else:
                    yield _found(name[len(self._root) + 1 :], info)

    def _entries(self, folder: str, top: str) -> "list[dict[str, Any]]":
        with self._told("read"):
            try:
                return sorted(self._fs.ls(folder, detail=True), key=lambda info: info["name"])
            except FileNotFoundError:
                if folder != top:
                    raise
                # Services of objects know no empty folders, and the others need not differ.
                return []

    def look(self, key: str) -> Found:
        """Tell of one file. See `Objects.look`."""
        with self._told("read", one=True):
            info = self._fs.info(self._path(key))
        if info.get("type") == "directory":
            raise ObjectRefused("missing")
        return _found(key, info)

    def read(self, key: str, max_bytes: int | None = None, version: str = "") -> bytes:
        """Return the content of one file. See `Objects.read`."""
        found = self.look(key)
        if _differ(version, found.version):
            raise ObjectRefused("changed_while_reading")
        if max_bytes is not None and found.bytes > max_bytes:
            raise ObjectRefused("too_large")
        with self._told("read", one=True), self._fs.open(self._path(key), "rb") as file:
            # What is larger than it says, or does not say, is not read to its end.
            data = file.read() if max_bytes is None else file.read(max_bytes + 1)
        if max_bytes is not None and len(data) > max_bytes:
            raise ObjectRefused("too_large")
        if found.bytes and len(data) != found.bytes:
            raise ObjectRefused("changed_while_reading")
        return data

    def write(self, key: str, data: bytes) -> None:
        """Put one file there. See `Objects.write`."""
        with self._told("written"):
            self._fs.pipe_file(self._path(key), data)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextmanager
    def _told(self, doing: str, *, one: bool = False) -> Iterator[None]:
        """Every library has errors of its own, whose text may hold addresses: only their kind is told."""
        try:
            yield
        except (UserError, ObjectRefused):
            raise
        except Exception as error:
            refusal = _refusal(error)
            if one and refusal:
                raise ObjectRefused(refusal) from None
            remedy = (
                "grant access to it" if refusal == "access_denied" else "check the address, the rights and the network"
            )
            raise UserError(f"{self._place} cannot be {doing} ({type(error).__name__}); {remedy}.") from None


def _refusal(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "missing"
    if isinstance(error, PermissionError):
        return "access_denied"
    return _STATUS.get(getattr(error, "status", None) or getattr(error, "code", None) or 0, "")


def _found(key: str, info: dict[str, Any]) -> Found:
    size = info.get("size") or 0
    name = next((name for name in _MARKS if info.get(name)), "")
    mark = info.get(name, "")
    if isinstance(mark, datetime):
        mark = mark.timestamp()
    return Found(key, size, f"{name}:{mark}-{size}" if name else f":{size}" if size else "")


def _differ(listed: str, looked: str) -> bool:
    """Whether a listing and a look speak of different contents; they cannot be compared where one of them tells less."""
    comparable = bool(listed and looked) and listed.partition(":")[0] == looked.partition(":")[0]
    return comparable and listed != looked


def _file_system(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    scheme = url.partition("://")[0]
    try:
        # Other processes write too: a remembered listing would be wrong.
        return url_to_fs(url, use_listings_cache=False)
    except ImportError:
        known = known_implementations.get(scheme, {})
        package = known.get("class", "").split(".")[0]
        # fsspec's own file systems say what they need; of all others the package is what is missing.
        remedy = known.get("err", "") if package == "fsspec" else f"install {package}"
        raise UserError(f"{scheme}:// needs a package that is missing: {remedy}.") from None
    except ValueError:
        raise UserError(f"{scheme}:// is unknown; give a folder, or s3://bucket/prefix.") from None
    except Exception as error:
        raise UserError(f"{scheme}:// cannot be opened ({type(error).__name__}); check the address.") from None
