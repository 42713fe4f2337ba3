"""Read one export file into checked records."""

import hashlib
from pathlib import Path
from typing import Any

import orjson

from alaas_pipeline.labels import avala_json
from alaas_pipeline.labels.archive import Limits, read_documents, refusal
from alaas_pipeline.labels.records import ExportContent


def read_export(
    path: Path,
    *,
    max_file_bytes: int = 256 << 20,
    max_unpacked_bytes: int = 512 << 20,
    max_entries: int = 10_000,
    max_ratio: int = 200,
) -> ExportContent:
    """Read an export, plain JSON or ZIP, whose layout is recognised by structure and not by its name.

    A fault in one record quarantines that record; a fault of the file as a whole stops, and the file stays.

    Args:
        path: the downloaded file.
        max_file_bytes: largest file, in bytes.
        max_unpacked_bytes: most bytes that a ZIP may unpack to, all its JSON entries together.
        max_entries: most entries of a ZIP.
        max_ratio: most unpacked bytes per packed byte.

    Raises:
        UserError: if the file is unsafe, damaged, or of unknown structure.
    """
    limits = Limits(max_file_bytes, max_unpacked_bytes, max_entries, max_ratio)
    recognised: list[dict[str, Any]] = []
    others: list[str] = []
    for document in read_documents(path, limits):
        if avala_json.recognises(document):
            recognised.append(document)
        else:
            others.append(_describe(document))
    if len(recognised) != 1:
        found = f"{len(recognised)} exports" if recognised else "; ".join(others[:3]) or "no JSON file"
        raise refusal(path, f"has a structure that is not known (found: {found})")

    document = recognised[0]
    records, quarantined = avala_json.read_items(document)
    seen = {label for record in records for label in record.labels}
    schema = avala_json.declared_schema(document) or sorted(seen)
    return ExportContent(
        records=records,
        quarantined=quarantined,
        schema=schema,
        schema_digest=hashlib.sha256(orjson.dumps(schema)).hexdigest(),
        digest=_file_digest(path),
    )


def _describe(document: Any) -> str:
    if isinstance(document, dict):
        names = ", ".join(sorted(str(name)[:30] for name in document)[:8])
        return f"an object with {names or 'no fields'}"
    return f"a {type(document).__name__}"


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
