"""What all sources share: the listed file, the refusal, and the rules for names."""

import hashlib
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Protocol

from alaas_pipeline.errors import UserError
from alaas_pipeline.remote import on_this_machine, split_url

_REASONS = {
    "missing": "{path} is not in {source} any more.",
    "too_large": "{path} in {source} is larger than the limit; shrink it or raise the limit.",
    "access_denied": "{path} in {source} may not be read with the present rights; grant read access to it.",
    "read_error": "{path} in {source} could not be read from the disk; check the disk and the file.",
    "changed_while_reading": "{path} in {source} changed while it was read; run again once it is complete.",
    "not_a_file": "{path} in {source} is no regular file but a pipe, a socket or a device; take it away.",
    "link_outside": "{path} in {source} is a link that leaves the source; put the file itself there.",
    "link_to_folder": "{path} in {source} is a link to a folder; put the folder itself there.",
    "link_broken": "{path} in {source} is a link to something that is not there; mend or remove it.",
    "link_loop": "{path} in {source} is a link that leads back to itself; remove it.",
    "name_not_utf8": "{path} in {source} has a name that is not valid UTF-8; rename it.",
    "name_clash": "{path} in {source} differs from its neighbour only in how accents are coded; rename it.",
    "name_unsafe": "{path} in {source} has an empty, dotted or absolute part in its name; rename it.",
    "archived": "{path} in {source} is in cold storage; restore it before the next run.",
}

_NOT_IMAGES = (
    # Text, tables, configuration and code.
    ".txt .csv .tsv .json .jsonl .ndjson .geojson .md .rst .yaml .yml .xml .html .htm .css .js .toml "
    ".ini .cfg .conf .log .py .ipynb .sh .bat .tex .sql "
    # Documents, archives, arrays, models, databases.
    ".pdf .doc .docx .xls .xlsx .ppt .pptx .odt .ods .zip .tar .gz .tgz .bz2 .xz .zst .7z .rar .parquet "
    ".arrow .feather .npy .npz .pkl .pickle .pt .pth .onnx .safetensors .h5 .hdf5 .mat .db .sqlite "
    ".sqlite3 .duckdb "
    # Moving pictures and sound, sidecars of photo programs, remains of downloads.
    ".mp4 .mov .avi .mkv .webm .m4v .mp3 .wav .flac .xmp .thm .aae .lnk .url .part .crdownload .tmp "
    ".lock .bak"
)
_NOT_IMAGE_SUFFIXES = frozenset(_NOT_IMAGES.split())
_NOT_IMAGE_NAMES = frozenset(
    {
        "thumbs.db",
        "desktop.ini",
        ".ds_store",
        "readme",
        "license",
        "licence",
        "makefile",
        "dockerfile",
        "checksums",
    }
)


class UnreadableFile(UserError):
    """One file that cannot be read; the others can.

    Attributes:
        reason: a short code, such as `too_large` or `link_outside`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason

    def __str__(self) -> str:
        return self.args[1]


@dataclass(frozen=True)
class SourceFile:
    """One file of a source, as listed.

    Attributes:
        path: POSIX path relative to the source, in NFC. Unique within one listing.
        bytes: size in bytes (0 where it is not known).
        version: changes whenever the content may have changed: `mtime_ns-size` in folders, the ETag on S3. Empty where it
            is not known.
        refused: reason code of a file that cannot be read, else empty. `Source.read` raises the same.
    """

    path: str
    bytes: int
    version: str
    refused: str = ""


class Source(Protocol):
    """A place that holds images."""

    name: str

    def list(self) -> Iterator[SourceFile]:
        """Yield every file that may be an image, readable or not.

        Raises:
            UserError: the place itself is missing or closed to us.
        """
        ...

    def read(self, path: str, max_bytes: int, version: str = "") -> bytes:
        """Return the content of one listed file: with a version, of that one and no other.

        Raises:
            UnreadableFile: this one file cannot be read, has changed, or is larger than `max_bytes`.
            UserError: the place itself is missing or closed to us.
        """
        ...


def is_image_name(path: str) -> bool:
    """Tell whether a file may be an image, judged by its name alone.

    Only well-known other kinds say no; an unknown or missing suffix is left to be judged by content.
    """
    name = PurePosixPath(path).name.lower()
    return name not in _NOT_IMAGE_NAMES and PurePosixPath(name).suffix not in _NOT_IMAGE_SUFFIXES


def parse_source(source: str, base: Path) -> tuple[str, ...]:
    """Split a pool's `source` setting into its parts.

    Args:
        source: `s3://bucket/prefix`, another scheme that fsspec knows, a folder, or a manifest, which is a file (both absolute,
            `~/...`, or relative to `base`).
        base: the folder that relative paths start from.

    Returns:
        `("s3", bucket, prefix)`, or `(scheme, place, prefix)`, with a prefix that is empty or ends in `/`; `("folder", absolute
        path)`; or `("manifest", absolute path)`.

    Raises:
        UserError: empty, no address, or one with passwords or a signature in it.
    """
    text = source.strip()
    if not text or "\0" in text:
        raise UserError("The source is empty; give a folder, or s3://bucket/prefix.")
    local = on_this_machine(text)
    if local is not None:
        path = os.path.normpath(base / Path(local).expanduser())
        return ("manifest" if is_manifest_name(path) and not os.path.isdir(path) else "folder"), path
    scheme, place, prefix = split_url(text)
    if "?" in prefix:
        raise UserError(f"A source of the kind {scheme}:// is a place without '?' and what follows; take it away.")
    if is_manifest_name(prefix):
        raise UserError(
            f"{text} is a manifest, and those are read on this machine: copy it here and name the copy. The images that it lists "
            "may be anywhere."
        )
    prefix = prefix.strip("/")
    return scheme, place, f"{prefix}/" if prefix else ""


def is_manifest_name(path: str) -> bool:
    """Tell whether a file is a list of images, judged by its name alone."""
    return path.lower().endswith((".csv", ".parquet", ".jsonl", ".ndjson"))


class Names:
    """What a listing learned about paths that are not plain names.

    Attributes:
        raw: path as listed -> the name to open, where they differ.
        refused: path as listed -> reason code.
        complete: whether a listing has come to its end.
    """

    def __init__(self) -> None:
        self.raw: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.complete = False
        self._lock = Lock()

    def complete_with(self, source: Source) -> None:
        """List the source to its end, unless that was done before."""
        with self._lock:
            if not self.complete:
                for _ in source.list():
                    pass


def unreadable(reason: str, path: str, source: str) -> UnreadableFile:
    """Return the refusal of one file, as a sentence that names file, source and remedy."""
    return UnreadableFile(reason, _REASONS[reason].format(path=repr(path), source=source))


def unsafe(path: str) -> bool:
    """Tell whether a relative path has a part that is empty or begins with a dot, or a NUL."""
    return "\0" in path or any(not part or part.startswith(".") for part in path.split("/"))


def composed(name: str) -> str | None:
    """Return `name` in NFC, or None where its bytes are not UTF-8 (as the file system hands them over)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return None
    return unicodedata.normalize("NFC", name)


def marked(name: str) -> str:
    """Return a path for a file whose own name cannot serve: readable, and unique by a digest of its bytes."""
    raw = name.encode("utf-8", "surrogateescape")
    shown = PurePosixPath(unicodedata.normalize("NFC", raw.decode("utf-8", "replace")))
    return str(shown.with_name(f"{shown.stem} (#{hashlib.sha256(raw).hexdigest()[:8]}){shown.suffix}"))
