"""Images in a local folder."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from alaas_pipeline.errors import UserError
from alaas_pipeline.sources.base import (
    Names,
    SourceFile,
    UnreadableFile,
    composed,
    is_image_name,
    marked,
    unreadable,
    unsafe,
)

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class _Folder:
    raw: str
    shown: str
    refused: str


class FolderSource:
    """A local folder and all folders in it.

    Hidden files and folders are skipped. Links to files are followed within the folder; links to folders,
    links that leave the folder, loops, pipes and devices are listed as refused and never opened.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)
        self._names = Names()

    def list(self) -> Iterator[SourceFile]:
        """Yield the files, sorted by path. See `Source.list`."""
        if not self.root.is_dir():
            what = "is not a folder" if self.root.exists() else "does not exist"
            raise UserError(f"The source folder {self.name!r} {what}; create it or mend the pool's source.")
        return self._walk()

    def look(self, path: str) -> SourceFile:
        """Tell of one file without reading it.

        Raises:
            UnreadableFile: it cannot be read.
        """
        info = self._resolve(self._raw(path), path)[1]
        return SourceFile(path, info.st_size, _version(info))

    def read(self, path: str, max_bytes: int, version: str = "") -> bytes:
        """Return the content of one file. See `Source.read`."""
        real, before = self._resolve(self._raw(path), path)
        if version and version != _version(before):
            self._refuse("changed_while_reading", path)
        if before.st_size > max_bytes:
            self._refuse("too_large", path)
        try:
            # A pipe put in the file's place after the look would otherwise block for ever.
            with open(os.open(real, _OPEN), "rb") as file:
                data = file.read(max_bytes + 1)
                after = os.fstat(file.fileno())
        except OSError as error:
            self._refuse_os(error, path)
        if len(data) > max_bytes:
            self._refuse("too_large", path)
        if len(data) != after.st_size or _version(after) != _version(before) or after.st_ino != before.st_ino:
            self._refuse("changed_while_reading", path)
        return data

    def _walk(self) -> Iterator[SourceFile]:
        # A stack of its own: folders may be nested deeper than Python's functions.
        stack = [iter(self._entries(_Folder("", "", "")))]
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
            elif isinstance(item, _Folder):
                stack.append(iter(self._entries(item)))
            else:
                yield item
        self._names.complete = True

    def _entries(self, folder: _Folder) -> Sequence[SourceFile | _Folder]:
        try:
            with os.scandir(self.root / folder.raw) as scan:
                entries = sorted((e for e in scan if not e.name.startswith(".")), key=lambda e: e.name)
        except OSError:
            if not folder.raw:
                raise UserError(f"The source folder {self.name!r} cannot be listed; grant access.") from None
            return [self._listed(folder.raw, folder.shown.rstrip("/"), "access_denied", None)]
        names = [composed(entry.name) for entry in entries]
        # The composed spelling itself wins over the others, so that reading it by path finds the same file.
        owners = {name: entry.name for entry, name in reversed(list(zip(entries, names, strict=True)))}
        owners |= {e.name: e.name for e in entries if e.name in owners}
        items: dict[str, SourceFile | _Folder] = {}
        for entry, name in zip(entries, names, strict=True):
            refused = folder.refused
            if name is None or owners[name] != entry.name:
                refused = refused or ("name_not_utf8" if name is None else "name_clash")
                name = marked(entry.name)
            raw, shown = folder.raw + entry.name, folder.shown + name
            if entry.is_dir(follow_symlinks=False):
                items[f"{name}/"] = _Folder(f"{raw}/", f"{shown}/", refused)
            elif is_image_name(entry.name):
                items[name] = self._file(entry, raw, shown, refused)
        return [items[key] for key in sorted(items)]

    def _file(self, entry: "os.DirEntry[str]", raw: str, shown: str, refused: str) -> SourceFile:
        try:
            info = entry.stat(follow_symlinks=False)
            if not refused and not stat.S_ISREG(info.st_mode):
                info = self._resolve(raw, shown)[1]
        except OSError:
            return self._listed(raw, shown, refused or "read_error", None)
        except UnreadableFile as error:
            return self._listed(raw, shown, error.reason, None)
        return self._listed(raw, shown, refused, info)

    def _listed(self, raw: str, shown: str, refused: str, info: os.stat_result | None) -> SourceFile:
        if refused:
            self._names.refused[shown] = refused
        elif raw != shown:
            self._names.raw[shown] = raw
        return SourceFile(shown, info.st_size if info else 0, _version(info) if info else "", refused)

    def _raw(self, path: str) -> str:
        names = self._names
        if path in names.raw:
            return names.raw[path]
        if path not in names.refused and unsafe(path):
            self._refuse("name_unsafe", path)
        if not os.path.lexists(self.root / path):
            names.complete_with(self)
            if path in names.raw:
                return names.raw[path]
            self._refuse(names.refused.get(path, "missing"), path)
        return path

    def _resolve(self, raw: str, shown: str) -> tuple[str, os.stat_result]:
        """The real file behind a name: inside the folder, and regular."""
        root = os.path.realpath(self.root)
        try:
            real = os.path.realpath(self.root / raw, strict=True)
            info = os.lstat(real)
        except OSError as error:
            self._refuse_os(error, shown)
        if os.path.commonpath((root, real)) != root:
            self._refuse("link_outside", shown)
        if stat.S_ISDIR(info.st_mode):
            above = os.path.join(os.path.realpath(os.path.dirname(self.root / raw)), "")
            self._refuse("link_loop" if above.startswith(os.path.join(real, "")) else "link_to_folder", shown)
        if not stat.S_ISREG(info.st_mode):
            self._refuse("not_a_file", shown)
        return real, info

    def _refuse_os(self, error: OSError, path: str) -> NoReturn:
        linked = os.path.islink(self.root / path)
        codes = {
            errno.ENOENT: "link_broken" if linked else "missing",
            errno.ELOOP: "link_loop",
            errno.EACCES: "access_denied",
            errno.EPERM: "access_denied",
        }
        self._refuse(codes.get(error.errno or 0, "read_error"), path)

    def _refuse(self, reason: str, path: str) -> NoReturn:
        raise unreadable(reason, path, self.name)


def _version(info: os.stat_result) -> str:
    return f"{info.st_mtime_ns}-{info.st_size}"
