"""A team's own list of its images: CSV, Parquet or JSONL, one row an image, read row by row.

The column `id` names the image (its path in the source, where the pool has another one), `uri` is where it is, `group` is what
it belongs to (a drive, a camera, a patient); all others are facts, kept under the names of their columns, those of an
object in `metadata` under theirs.
"""

import csv
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alaas_pipeline.errors import UserError

_NO_ID = "Write the path of the image in the source there."


@dataclass(frozen=True)
class ManifestRow:
    """What a manifest says of one image.

    Attributes:
        path: of the image in the source, in NFC.
        group: what it belongs to, in NFC and without space around it; None if nothing is said.
        values: every further column that says something: text, number, or true and false.
        uri: where it is; empty if nothing is said.
    """

    path: str
    group: str | None
    values: dict[str, Any]
    uri: str = ""


@dataclass(frozen=True)
class BadRow:
    """A row that says nothing of any image.

    Attributes:
        place: the line, in Parquet the row, both from 1.
        problem: what is wrong, and the remedy.
    """

    place: str
    problem: str


def read_manifest(path: Path) -> Iterator[ManifestRow]:
    """Yield the rows in the order of the file; of a million, only the paths are held in memory.

    Raises:
        UserError: the file is missing or no such file, has no column `id`, a row is broken or has no id, or an id stands
            twice. The message names the line, in Parquet the row, both from 1.
    """
    for row in read_rows(path, "manifest"):
        if isinstance(row, BadRow):
            raise UserError(f"{path}, {row.place}: {row.problem}")
        yield row


def read_rows(path: Path, setting: str) -> Iterator[ManifestRow | BadRow]:
    """Yield good and bad rows in the order of the file. Of rows with the same id the first is good.

    Args:
        path: the file.
        setting: what names it in pools.yaml.

    Raises:
        UserError: the file is missing or no such file, has no column `id`, or it cannot be told where its rows end.
    """
    reader = {".csv": _csv, ".parquet": _parquet}.get(path.suffix.lower(), _jsonl)
    seen: set[str] = set()
    try:
        for place, row in reader(path):
            made = row if isinstance(row, str) else _row(row)
            if isinstance(made, ManifestRow) and made.path in seen:
                made = f"the id {made.path!r} stands twice. Keep one row for each image."
            if isinstance(made, str):
                yield BadRow(place, made)
                continue
            seen.add(made.path)
            yield made
    except OSError as error:
        raise UserError(
            f"The manifest {path} cannot be read ({error.strerror or error}). Put it there, or correct '{setting}' in pools.yaml."
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"The manifest {path} is not in UTF-8. Save it as UTF-8.") from None


def _row(row: dict[str, Any]) -> ManifestRow | str:
    """The row, or what is wrong with it."""
    name = row.pop("id", None)
    if not isinstance(name, str) or not name:
        return f"the id is {'empty' if name in (None, '') else 'no text'}. {_NO_ID}"
    row = _metadata(row.pop("metadata", None)) | row
    values = {column: plain for column, value in row.items() if (plain := _plain(value)) != ""}
    group = unicodedata.normalize("NFC", str(values.pop("group", ""))).strip()
    # No fact: it may be signed.
    uri = str(values.pop("uri", "")).strip()
    return ManifestRow(unicodedata.normalize("NFC", name), group or None, values, uri)


def _metadata(value: Any) -> dict[str, Any]:
    """The facts in an object, which CSV can only hold as text; anything else is a fact by itself."""
    given = value
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            given = json.loads(value)
        except (ValueError, RecursionError):
            return {"metadata": value}
    return given if isinstance(given, dict) else {"metadata": value}


def _plain(value: Any) -> Any:
    """The value as text, number or boolean; empty text where nothing is said."""
    if value is None or value != value:
        return ""
    return value if isinstance(value, str | bool | int | float) else str(value)


def _check_columns(names: list[str], path: Path) -> None:
    if "id" not in names:
        raise UserError(
            f"The manifest {path} has no column 'id'; its columns are: {', '.join(names) or 'none'}. "
            "Name the column with the paths of the images 'id', and separate columns of a CSV by commas."
        )
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise UserError(f"The manifest {path} has the column '{twice[0]}' twice. Give each column a name of its own.")


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any] | str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        try:
            names = next(lines, [])
            _check_columns(names, path)
            for cells in lines:
                if not cells:
                    continue
                yield (
                    f"line {lines.line_num}",
                    dict(zip(names, cells, strict=True))
                    if len(cells) == len(names)
                    else f"it has {len(cells)} cells, the first line has {len(names)}. "
                    "Put a cell that holds a comma between double quotes.",
                )
        except csv.Error as error:
            # A quote that is not closed hides all rows below it.
            raise UserError(f"{path}, line {lines.line_num}: it is broken ({error}). Mend or remove it.") from None


def _jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any] | str]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=_once)
                if "\\u" in line:
                    # Half a character can be written so, and nowhere be kept.
                    json.dumps(row, ensure_ascii=False).encode()
            except (ValueError, RecursionError) as error:
                row = f"it is not valid JSON ({error}). Mend or remove it."
            else:
                if not isinstance(row, dict) or "id" not in row:
                    row = f"it is no object with an 'id'. {_NO_ID}"
            yield f"line {number}", row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("a name stands twice in it")
    return row


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_columns(file.schema_arrow.names, path)
            rows = (row for batch in file.iter_batches(batch_size=10_000) for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield f"row {number}", row
    except pa.ArrowException as error:
        raise UserError(
            f"The manifest {path} is no whole Parquet file ({' '.join(str(error).split())[:200]}). Write it again."
        ) from None
