"""Take the files that are read out of an export: the export itself, or entries of a ZIP that may be hostile.

A megabyte of ZIP can unpack to a gigabyte and its directory can lie about that, so entries are streamed
against counters and nothing is ever written to disk. Archives inside the archive are not opened.
"""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from alaas_pipeline.errors import UserError

_SYMLINK = 0o120000
_CHUNK = 1 << 16
# Below this many bytes no ratio is worth judging.
_RATIO_FLOOR = 1 << 20
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


@dataclass(frozen=True)
class Limits:
    """What an export file may be at most: sizes in bytes, ``ratio`` of unpacked to packed bytes."""

    file_bytes: int
    unpacked_bytes: int
    entries: int
    ratio: int


def read_entries(path: Path, limits: Limits, endings: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents: of the file itself, or of each entry of a ZIP whose name has one of the endings.

    Raises:
        UserError: if a limit is exceeded, an entry's name is unsafe, or the ZIP is damaged. The file stays.
    """
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise refusal(path, f"is larger than {limits.file_bytes:,} bytes")
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == b"PK":
        yield from _read_zip(path, limits, endings)
    else:
        yield path.name, path.read_bytes()


def refusal(path: Path, fault: str) -> UserError:
    """The error for a file that cannot be landed as a whole."""
    return UserError(
        f"The export file {path.name} {fault}, so nothing of it was landed. It is kept as {path}: "
        "look into it, or request a new export."
    )


def _read_zip(path: Path, limits: Limits, endings: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _checked_entries(path, archive, limits, endings)
            budget = limits.unpacked_bytes
            for entry in entries:
                content = _unpack(path, archive, entry, budget, limits.ratio)
                budget -= len(content)
                yield entry.filename, content
    except _BROKEN as error:
        kind = type(error).__name__
    else:
        return
    raise refusal(path, f"is a damaged or unsupported ZIP archive ({kind})")


def _checked_entries(
    path: Path, archive: zipfile.ZipFile, limits: Limits, endings: tuple[str, ...]
) -> list[zipfile.ZipInfo]:
    """The entries to read, after the names of *all* entries were found to be safe."""
    entries = archive.infolist()
    if len(entries) > limits.entries:
        raise refusal(path, f"holds more than {limits.entries:,} entries")
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        folded = name.casefold()
        if folded in seen:
            raise refusal(path, f"holds the name {name[:80]!r} twice")
        seen.add(folded)
        if _is_unsafe(name) or (entry.external_attr >> 16) & 0o170000 == _SYMLINK:
            raise refusal(path, f"holds an entry of the unsafe name or kind {name[:80]!r}")
    return [entry for entry in entries if entry.filename.lower().endswith(endings)]


def _is_unsafe(name: str) -> bool:
    parts = PurePosixPath(name).parts
    control = any(ord(character) < 32 or ord(character) == 127 for character in name)
    return not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in name or control


def _unpack(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, budget: int, ratio: int) -> bytes:
    content = bytearray()
    with archive.open(entry) as stream:
        while chunk := stream.read(_CHUNK):
            content += chunk
            if len(content) > budget:
                raise refusal(path, "unpacks to more bytes than are allowed")
            if len(content) > max(_RATIO_FLOOR, ratio * entry.compress_size):
                raise refusal(path, f"unpacks to more than {ratio} times its size, like a decompression bomb")
    return bytes(content)
