"""Files that are there in full or not at all."""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that appears under its name only when it is complete and on disk, and makes its folder.

    Whatever stood there before is kept until then. A writer that is killed leaves a file with a name of `is_unfinished`.

    Raises:
        OSError: It cannot be written; nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not made of the file's own name, which may already be as long as a name can be.
    unfinished = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def is_unfinished(name: str) -> bool:
    """Tells whether a file's name is that of one whose writer never came to the end."""
    return re.fullmatch(r"\.[0-9a-f]{32}\.tmp", name) is not None


def _sync_folder(folder: Path) -> None:
    # Not every file system lets a folder be synced; the rename is atomic without it.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
