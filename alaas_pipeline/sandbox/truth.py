"""True labels for the simulated annotators: from sub-folders, from a labelled folder, or from a table."""

import csv
import hashlib
import logging
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Protocol

from alaas_pipeline.sandbox.errors import SandboxError

log = logging.getLogger(__name__)

FOLD = "__"


class Truth(Protocol):
    """Knows the class of some images."""

    def label(self, digest: str, path: str) -> str | None:
        """The true label of an image, or None if nobody told.

        Args:
            digest: SHA-256 of the file, in hex.
            path: the path it was uploaded under.
        """
        ...


def load_truth(setting: str | None) -> Truth:
    """Reads the truth that a setting names.

    Args:
        setting: None, ``subfolder``, the path of a folder, or the path of a ``.csv`` file.

    Raises:
        SandboxError: if the folder or the table is missing or unsound; names the row.
    """
    if setting is None:
        return NoTruth()
    if setting == "subfolder":
        return SubfolderTruth()
    path = Path(setting)
    if path.is_dir():
        return FolderTruth(path)
    if path.is_file():
        return TableTruth(path)
    raise SandboxError(
        f"The truth {setting!r} does not exist. Give `subfolder`, a folder with one sub-folder for each class, or a "
        "CSV file with the columns file and label."
    )


class NoTruth:
    """Nothing is known: every task waits for a person."""

    def label(self, digest: str, path: str) -> str | None:
        """Always None."""
        return None


class SubfolderTruth:
    """The top folder of the uploaded path is the class.

    A flat name may hold a folded path and a digest, joined by two underscores: ``cats__photo
    1__3fa91c2b7d0e4f11.jpg`` came from ``cats/photo 1.jpg``; a name of two parts came from no folder and
    tells nothing.
    """

    def label(self, digest: str, path: str) -> str | None:
        """The first folder, in composed Unicode."""
        folder, _, rest = nfc(path).partition("/")
        if rest:
            return folder
        parts = PurePosixPath(folder).stem.split(FOLD)
        return parts[0] or None if len(parts) >= 3 else None


class FolderTruth:
    """A folder with one sub-folder for each class; images are recognised by content, not by name.

    Args:
        folder: the folder; files that lie at its top have no class.

    Raises:
        SandboxError: if no file lies in a sub-folder.
    """

    def __init__(self, folder: Path) -> None:
        self._labels: dict[str, str] = {}
        for path in _files(folder):
            parts = path.relative_to(folder).parts
            if len(parts) < 2:
                continue
            label, digest = nfc(parts[0]), sha256(path)
            known = self._labels.setdefault(digest, label)
            if known != label:
                log.warning("%s has the same content as an image of class %s, which is taken.", path, known)
        if not self._labels:
            raise SandboxError(
                f"The truth folder {folder} has no file in a sub-folder: make one folder for each class."
            )

    def label(self, digest: str, path: str) -> str | None:
        """The class of the sub-folder that holds this content."""
        return self._labels.get(digest)


class TableTruth:
    """A CSV file with the columns ``file`` and ``label``.

    When its files lie beside it, images are recognised by content. When none does, they are recognised by the
    uploaded path, by its last part, or by the path that a flat name folds (`SubfolderTruth`), with or without
    its suffix.

    Args:
        table: the CSV file, UTF-8.

    Raises:
        SandboxError: for a table that cannot be used; names the row.
    """

    def __init__(self, table: Path) -> None:
        rows = list(_rows(table))
        there = [(table.parent / file).is_file() for _, file, _ in rows]
        self._by_content: dict[str, str] = {}
        self._by_name: dict[str, str] = {}
        self._by_short_name: dict[str, str | None] = {}
        for (line, file, label), exists in zip(rows, there, strict=True):
            if exists:
                known = self._by_content.setdefault(sha256(table.parent / file), label)
                if known != label:
                    raise SandboxError(
                        f"{table}, row {line}: {file} is labelled {label} here and {known} in another row for the "
                        "same content. Keep one of them."
                    )
            elif any(there):
                raise SandboxError(
                    f"{table}, row {line}: there is no file {file} beside the table, while other rows' files are "
                    "there. Correct the row or take it out."
                )
            else:
                self._learn_name(table, line, file, label)

    def label(self, digest: str, path: str) -> str | None:
        """The label of the row that means this image."""
        if digest in self._by_content:
            return self._by_content[digest]
        for name in names_of(path):
            label = self._by_name.get(name) or self._by_short_name.get(name)
            if label is not None:
                return label
        return None

    def _learn_name(self, table: Path, line: int, file: str, label: str) -> None:
        full = PurePosixPath(file).as_posix()
        known = self._by_name.get(full)
        if known is not None and known != label:
            raise SandboxError(
                f"{table}, row {line}: {file} is labelled {label} here and {known} in another row. Keep one of them."
            )
        self._by_name[full] = label
        for short in _shorter(full):
            # A short name that two rows share with different labels means neither of them.
            if self._by_short_name.setdefault(short, label) != label:
                self._by_short_name[short] = None


def names_of(path: str) -> list[str]:
    """What a table may call an uploaded image, the surest name first."""
    whole = PurePosixPath(nfc(path))
    names = [whole.as_posix(), whole.name, whole.stem]
    parts = whole.stem.split(FOLD)
    if len(parts) >= 2:
        origin = "/".join(parts[:-1])
        names += [origin + whole.suffix, origin, parts[-2] + whole.suffix, parts[-2]]
    return names


def nfc(text: str) -> str:
    """Composed Unicode: file systems disagree about how an accent is stored."""
    return unicodedata.normalize("NFC", text)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shorter(full: str) -> set[str]:
    path = PurePosixPath(full)
    return {path.name, path.stem, path.with_suffix("").as_posix()} - {full}


def _files(folder: Path) -> Iterable[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(root, name)


def _rows(table: Path) -> Iterable[tuple[int, str, str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"file", "label"} <= set(reader.fieldnames or ()):
                raise SandboxError(f"{table} needs a header row with the columns file and label.")
            empty = True
            for row in reader:
                empty = False
                name, label = (row["file"] or "").strip(), (row["label"] or "").strip()
                if not name or not label:
                    raise SandboxError(f"{table}, row {reader.line_num}: give both a file and a label.")
                # A file on disk may be stored decomposed: it is looked for as written.
                yield reader.line_num, name if (table.parent / name).is_file() else nfc(name), nfc(label)
            if empty:
                raise SandboxError(f"{table} has no rows below its header.")
    except (UnicodeDecodeError, csv.Error) as error:
        raise SandboxError(f"{table} is not a CSV file in UTF-8: {error}.") from None
