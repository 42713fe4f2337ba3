"""What simulated annotators can know: from sub-folders, from a labelled folder, or from a table (`table`)."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Protocol

from alaas_pipeline.sandbox.errors import SandboxError
from alaas_pipeline.sandbox.names import FOLD, nfc, sha256
from alaas_pipeline.sandbox.rectangles import Rectangle
from alaas_pipeline.sandbox.table import TableTruth

log = logging.getLogger(__name__)


class Truth(Protocol):
    """Knows the class of some images, and the boxes of some."""

    def label(self, digest: str, path: str) -> str | None:
        """The true label of an image, or None if nobody told.

        Args:
            digest: SHA-256 of the file, in hex.
            path: the path it was uploaded under.
        """
        ...

    def rectangles(self, digest: str, path: str) -> tuple[Rectangle, ...]:
        """The true boxes of an image, none if nobody told."""
        ...

    def names(self) -> tuple[str, ...]:
        """All labels that can come of it, sorted; empty when they are known only image by image."""
        ...


class NoRectangles:
    """A truth about classes alone."""

    def rectangles(self, digest: str, path: str) -> tuple[Rectangle, ...]:
        """Always none."""
        return ()


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
        "CSV file with the columns file and label, or file, x, y, width and height."
    )


class NoNames(NoRectangles):
    """A truth that knows its labels only image by image."""

    def names(self) -> tuple[str, ...]:
        """Always empty."""
        return ()


class NoTruth(NoNames):
    """Nothing is known: every task waits for a person."""

    def label(self, digest: str, path: str) -> str | None:
        """Always None."""
        return None


class SubfolderTruth(NoNames):
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


class FolderTruth(NoRectangles):
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

    def names(self) -> tuple[str, ...]:
        """The classes of all sub-folders."""
        return tuple(sorted(set(self._labels.values())))


def _files(folder: Path) -> Iterable[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(root, name)
