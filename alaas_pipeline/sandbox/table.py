"""True classes and boxes from a CSV file."""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from alaas_pipeline.sandbox.errors import SandboxError
from alaas_pipeline.sandbox.names import names_of, nfc, sha256
from alaas_pipeline.sandbox.rectangles import Rectangle

SIDES = ("x", "y", "width", "height")
THING = "object"


@dataclass(frozen=True)
class Known:
    """What a table says about one image."""

    label: str | None = None
    rectangles: tuple[Rectangle, ...] = ()

    def contradicts(self, other: "Known") -> bool:
        """Whether both cannot be said of the same image."""
        labels, boxes = {self.label, other.label} - {None}, {self.rectangles, other.rectangles} - {()}
        return len(labels) > 1 or len(boxes) > 1

    def joined(self, other: "Known") -> "Known":
        """What two that do not contradict each other say together."""
        return Known(self.label or other.label, self.rectangles or other.rectangles)


class TableTruth:
    """A CSV file with the columns ``file`` and ``label``, or with ``file, x, y, width, height`` and maybe ``label``.

    A row without numbers tells the image's class. A row with numbers tells one box, in pixels of the image as it
    is shown, from its top left corner; its label is the box's, ``object`` when it has none. An image may have
    several boxes, and a class beside them.

    When its files lie beside it, images are recognised by content. When none does, they are recognised by the
    uploaded path, by its last part, or by the path that a flat name folds (`SubfolderTruth`), with or without
    its suffix.

    Args:
        table: the CSV file, UTF-8.

    Raises:
        SandboxError: for a table that cannot be used; names the row.
    """

    def __init__(self, table: Path) -> None:
        files, rows = _read(table)
        found = (label for known in files.values() for label in (known.label, *(box.label for box in known.rectangles)))
        self._names = tuple(sorted({label for label in found if label is not None}))
        there = [(table.parent / file).is_file() for file in files]
        self._by_content: dict[str, Known] = {}
        self._by_name: dict[str, Known] = {}
        self._by_short_name: dict[str, Known | None] = {}
        for (file, known), exists in zip(files.items(), there, strict=True):
            if exists:
                self._learn_content(f"{table}, row {rows[file]}: {file}", sha256(table.parent / file), known)
            elif any(there):
                raise SandboxError(
                    f"{table}, row {rows[file]}: there is no file {file} beside the table, while other rows' files are "
                    "there. Correct the row or take it out."
                )
            else:
                self._learn_name(file, known)

    def label(self, digest: str, path: str) -> str | None:
        """The label of the row that means this image."""
        return self._known(digest, path).label

    def rectangles(self, digest: str, path: str) -> tuple[Rectangle, ...]:
        """The boxes of the rows that mean this image, in the order of the table."""
        return self._known(digest, path).rectangles

    def names(self) -> tuple[str, ...]:
        """The labels of all rows."""
        return self._names

    def _known(self, digest: str, path: str) -> Known:
        if digest in self._by_content:
            return self._by_content[digest]
        names = names_of(path) if self._by_name else ()
        found = (self._by_name.get(name) or self._by_short_name.get(name) for name in names)
        return next((known for known in found if known is not None), Known())

    def _learn_content(self, where: str, digest: str, known: Known) -> None:
        before = self._by_content.get(digest, Known())
        if before.contradicts(known):
            told = f"is labelled {known.label} here and {before.label}" if known.label != before.label else "has boxes"
            raise SandboxError(f"{where} {told} in another row for the same content. Keep one of them.")
        self._by_content[digest] = before.joined(known)

    def _learn_name(self, file: str, known: Known) -> None:
        self._by_name[file] = known
        path = PurePosixPath(file)
        for short in {path.name, path.stem, path.with_suffix("").as_posix()} - {file}:
            # A short name of two files that are not told the same about means neither of them.
            if self._by_short_name.setdefault(short, known) != known:
                self._by_short_name[short] = None


def _read(table: Path) -> tuple[dict[str, Known], dict[str, int]]:
    """What is said about each file, in the order of the table, and the last row that says it."""
    files: dict[str, Known] = {}
    rows: dict[str, int] = {}
    for line, name, told in _rows(table):
        # A file on disk may be stored decomposed: it is looked for as written.
        file = PurePosixPath(name if (table.parent / name).is_file() else nfc(name)).as_posix()
        before = files.get(file, Known())
        if told.label is not None and before.label not in (None, told.label):
            raise SandboxError(
                f"{table}, row {line}: {file} is labelled {told.label} here and {before.label} in another row. Keep "
                "one of them."
            )
        files[file] = Known(before.label or told.label, before.rectangles + told.rectangles)
        rows[file] = line
    return files, rows


def _rows(table: Path) -> Iterable[tuple[int, str, Known]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if "file" not in columns or not ("label" in columns or set(SIDES) <= columns):
                raise SandboxError(
                    f"{table} needs a header row with the columns file and label, or file, x, y, width and height."
                )
            empty = True
            for row in reader:
                empty = False
                name, label = (row["file"] or "").strip(), nfc((row.get("label") or "").strip())
                sides = [(row.get(side) or "").strip() for side in SIDES]
                if not name or not (label or any(sides)):
                    raise SandboxError(f"{table}, row {reader.line_num}: give both a file and a label.")
                if any(sides):
                    box = _rectangle(f"{table}, row {reader.line_num}", label or THING, sides)
                    yield reader.line_num, name, Known(None, (box,))
                else:
                    yield reader.line_num, name, Known(label)
            if empty:
                raise SandboxError(f"{table} has no rows below its header.")
    except (UnicodeDecodeError, csv.Error) as error:
        raise SandboxError(f"{table} is not a CSV file in UTF-8: {error}.") from None


def _rectangle(where: str, label: str, sides: list[str]) -> Rectangle:
    try:
        x, y, width, height = (float(side) for side in sides)
    except ValueError:
        raise SandboxError(
            f"{where}: a box needs four numbers, x, y, width and height, or none of them for a class."
        ) from None
    if not all(math.isfinite(side) for side in (x, y, width, height)) or width <= 0 or height <= 0:
        raise SandboxError(f"{where}: a box's width and height must be above 0, and every number finite.")
    return Rectangle(label, x, y, width, height)
