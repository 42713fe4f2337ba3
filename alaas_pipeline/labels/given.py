"""Read the labels that a person gives: what an export may be, a table, or an unpacked folder of YOLO."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.frame import Sizes
from alaas_pipeline.labels.read import read_export
from alaas_pipeline.labels.readers import csv_table, yolo
from alaas_pipeline.labels.records import ExportContent, Sorting

MAX_BYTES = 1 << 30
MAX_FILES = 1_000_000
_TEXTS = (".txt", ".yaml", ".yml")
_KEPT = (".json", ".zip", ".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Given:
    """A file of labels: what it holds, its bytes, and the ending to keep them under. Of a folder these are its text files, as a ZIP."""

    content: ExportContent
    raw: bytes
    ending: str


def read_given(path: Path, sizes: Sizes) -> Given:
    """Read a file or folder of labels, recognised by its structure.

    Args:
        path: COCO or Avala JSON, a ZIP of one of these or of YOLO, a CSV table, or a folder of YOLO.
        sizes: the images that it may be about.

    Raises:
        UserError: it is not there, too large, unsafe, damaged, or of unknown structure.
    """
    if path.is_dir():
        return _read_folder(path, sizes)
    if not path.is_file():
        raise UserError(f"There is no file {path}. Give a file or folder of labels.")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} is larger than {MAX_BYTES:,} bytes. Split it into several files.")
    raw = path.read_bytes()
    if csv_table.recognises(raw):
        try:
            sorting, _ = csv_table.read(raw, sizes)
        except ValueError as fault:
            raise UserError(
                f"{path} {fault}. Read as CSV, for it is neither JSON nor a ZIP; mend that line and import it again."
            ) from None
        content = _content(sorting, None, raw)
    else:
        content = read_export(
            path, sizes=sizes, max_file_bytes=MAX_BYTES, max_unpacked_bytes=MAX_BYTES, max_entries=MAX_FILES
        )
    if content.digest != hashlib.sha256(raw).hexdigest():
        raise UserError(f"{path} changed while it was read. Import it again when nobody writes to it.")
    ending = path.suffix.lower()
    return Given(content, raw, ending if ending in _KEPT else ".bin")


def _read_folder(path: Path, sizes: Sizes) -> Given:
    entries: dict[str, bytes] = {}
    left = MAX_BYTES
    for file in sorted(path.rglob("*")):
        if not file.name.lower().endswith(_TEXTS) or not file.is_file():
            continue
        left -= file.stat().st_size
        if left < 0 or len(entries) == MAX_FILES:
            raise UserError(f"The folder {path} holds more text than can be imported at once. Give a part of it.")
        entries[file.relative_to(path).as_posix()] = file.read_bytes()
    if not yolo.recognises(entries):
        raise UserError(
            f"The folder {path} is no YOLO data set: it needs data.yaml or classes.txt, and one text file an image. "
            "Of other layouts give the file itself."
        )
    try:
        sorting, schema = yolo.read(entries, sizes)
    except ValueError as fault:
        raise UserError(f"The folder {path} {fault}. Mend that file and import it again.") from None
    raw = _packed(entries)
    return Given(_content(sorting, schema, raw), raw, ".zip")


def _content(sorting: Sorting, schema: list[str] | None, raw: bytes) -> ExportContent:
    names = schema or sorted({label for record in sorting.records for label in record.labels})
    return ExportContent(
        records=sorting.records,
        quarantined=sorting.quarantined,
        schema=names,
        declared=bool(schema),
        schema_digest=hashlib.sha256(orjson.dumps(names)).hexdigest(),
        digest=hashlib.sha256(raw).hexdigest(),
    )


def _packed(entries: Mapping[str, bytes]) -> bytes:
    """The same entries give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return packed.getvalue()
