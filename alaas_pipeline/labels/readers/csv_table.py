"""CSV: the columns ``image`` and ``label``, and a box in ``xmin, ymin, xmax, ymax`` where there is one.

A line is one annotation: of the image as a whole, or of a box in pixels of the image as shown. All lines of an image are
one record. Columns are separated by comma, semicolon, tab or bar; the first line names them.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alaas_pipeline.avala.redact import redact
from alaas_pipeline.labels.annotation import Annotation
from alaas_pipeline.labels.frame import Frame, Sizes
from alaas_pipeline.labels.readers.checks import assemble, number, usable_key, usable_label
from alaas_pipeline.labels.records import BadRecordError, LabelRecord, Sorting, quarantine

_NEEDED = ("image", "label")
_BOX = ("xmin", "ymin", "xmax", "ymax")
_DELIMITERS = ",;\t|"
_NUMBER = re.compile(r"[+-]?(?:\d{1,20}\.?\d{0,40}|\.\d{1,40})(?:[eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True)
class _Line:
    """One line of the table: its number in the file, its cells, and these by the name of their column."""

    number: int
    cells: list[str]
    named: Mapping[str, str]


def recognises(content: bytes) -> bool:
    """Whether a file may be a table: neither an archive nor JSON."""
    start = content[:1_000].removeprefix(b"\xef\xbb\xbf").lstrip()
    return not start.startswith((b"PK", b"{", b"["))


def read(content: bytes, sizes: Sizes | None) -> tuple[Sorting, list[str] | None]:
    """Check each image with its lines; return them sorted. The layout declares no labels.

    A line without a usable image is quarantined as a record of its own.

    Raises:
        ValueError: if the file is no table with these columns; names the line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"is no text in UTF-8 (line {line})") from None
    names, lines = _lines(text)
    sorting, of_image = Sorting(), dict[str, list[_Line]]()
    for line in lines:
        try:
            of_image.setdefault(usable_key(line.named.get("image", "")), []).append(line)
        except BadRecordError as fault:
            sorting.quarantined.append(quarantine(_sample([line]), f"line {line.number}, column image: {fault}"))
    for key, group in of_image.items():
        sorting.take(_sample(group), key, lambda key=key, group=group: _read_image(key, group, names, sizes or {}))
    return sorting, None


def _lines(text: str) -> tuple[list[str], list[_Line]]:
    """The names of the columns, and the lines below them; blank ones are skipped."""
    delimiter, names = _header(next(io.StringIO(text, newline=""), ""))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found, begins = [], 1
    try:
        for cells in reader:
            told = [cell.strip() for cell in cells]
            if begins > 1 and any(told):
                found.append(_Line(begins, told, dict(zip(names, told, strict=False))))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"is no sound table from line {begins} on ({error})") from None
    return names, found


def _header(line: str) -> tuple[str, list[str]]:
    for delimiter in _DELIMITERS:
        try:
            cells = next(csv.reader([line], delimiter=delimiter, strict=True), [])
        except csv.Error:
            continue
        names = [cell.strip().casefold() for cell in cells]
        if set(_NEEDED) <= set(names):
            break
    else:
        told = redact(line.strip()[:80])
        raise ValueError(f"names no columns image and label in line 1, which is {told!r}")
    fields = (*_NEEDED, *_BOX)
    for name in names:
        if name not in fields:
            raise ValueError(f"has the unknown column {redact(name[:40])!r} in line 1; known are {', '.join(fields)}")
        if names.count(name) > 1:
            raise ValueError(f"has the column {name!r} twice in line 1")
    missing = [name for name in _BOX if name not in names]
    if 0 < len(missing) < len(_BOX):
        raise ValueError(f"has no column {missing[0]!r} in line 1; a box needs {', '.join(_BOX)}")
    return delimiter, names


def _sample(lines: Sequence[_Line]) -> dict[str, object]:
    return {"lines": [line.number for line in lines[:20]], "cells": [line.cells for line in lines[:20]]}


def _read_image(key: str, lines: Sequence[_Line], names: list[str], sizes: Sizes) -> LabelRecord:
    known = sizes.get(key)
    frame = Frame(known.shown if known else None)
    return assemble(key, "labelled", [(_read_line(line, names, frame), line.cells) for line in lines], frame)


def _read_line(line: _Line, names: list[str], frame: Frame) -> Annotation:
    where = f"line {line.number}"
    if len(line.cells) != len(names):
        raise BadRecordError(f"{where} has {len(line.cells)} columns, and line 1 names {len(names)}")
    if not line.named["label"]:
        raise BadRecordError(f"{where}, column label: it has no label")
    try:
        label = usable_label(line.named["label"])
    except BadRecordError as fault:
        raise BadRecordError(f"{where}, column label: {fault}") from None
    corners = {name: line.named.get(name, "") for name in _BOX}
    if not any(corners.values()):
        return Annotation(label, "classification")
    told = {name: _pixels(cell, name, where) for name, cell in corners.items()}
    for low, high in (("xmin", "xmax"), ("ymin", "ymax")):
        if told[high] <= told[low]:
            raise BadRecordError(f"{where}, column {high}: {told[high]:g} is not above {low}, which is {told[low]:g}")
    box = (told["xmin"], told["ymin"], told["xmax"] - told["xmin"], told["ymax"] - told["ymin"])
    try:
        return frame.place(Annotation(label, "bounding_box", box))
    except BadRecordError as fault:
        raise BadRecordError(f"{where}: {fault}") from None


def _pixels(cell: str, name: str, where: str) -> float:
    try:
        if _NUMBER.fullmatch(cell):
            return number(float(cell), name)
    except BadRecordError:
        pass
    raise BadRecordError(f"{where}, column {name}: {cell[:40]!r} is no number of pixels")
