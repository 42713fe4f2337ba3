"""Read one export file into checked records."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from alaas_pipeline.avala.redact import redact
from alaas_pipeline.labels.archive import Limits, read_entries, refusal
from alaas_pipeline.labels.frame import Sizes
from alaas_pipeline.labels.readers import avala_json, coco, inline, yolo
from alaas_pipeline.labels.records import ExportContent, Sorting
from alaas_pipeline.labels.strict_json import Twice, parse

_TEXTS = (".txt", ".yaml", ".yml")
_LAYOUTS = (avala_json, coco, inline)


def read_export(
    path: Path,
    *,
    sizes: Sizes | None = None,
    max_file_bytes: int = 256 << 20,
    max_unpacked_bytes: int = 512 << 20,
    max_entries: int = 10_000,
    max_ratio: int = 200,
) -> ExportContent:
    """Read an export, plain JSON or ZIP, whose layout is recognised by structure and not by its name.

    A fault in one record quarantines that record, whole, so that no image lands half labelled; a fault of the file as a
    whole stops, and the file stays.

    Args:
        path: the downloaded file.
        sizes: what is known about the images that were sent, by key or file name. With it boxes are checked against
            the image and turned with it; YOLO files name neither image nor size and need it.
        max_file_bytes: largest file, in bytes.
        max_unpacked_bytes: most bytes that a ZIP may unpack to, all entries that are read together.
        max_entries: most entries of a ZIP.
        max_ratio: most unpacked bytes per packed byte.

    Raises:
        UserError: if the file is unsafe, damaged, or of unknown structure.
    """
    limits = Limits(max_file_bytes, max_unpacked_bytes, max_entries, max_ratio)
    sorting, declared = _read(path, limits, sizes)
    schema = declared or sorted({label for record in sorting.records for label in record.labels})
    return ExportContent(
        records=sorting.records,
        quarantined=sorting.quarantined,
        schema=schema,
        schema_digest=hashlib.sha256(orjson.dumps(schema)).hexdigest(),
        digest=_file_digest(path),
        declared=bool(declared),
    )


def _read(path: Path, limits: Limits, sizes: Sizes | None) -> tuple[Sorting, list[str] | None]:
    recognised: list[tuple[Any, Any]] = []
    others: list[str] = []
    texts: dict[str, bytes] = {}
    for document in _documents(path, limits, texts):
        if layout := next((one for one in _LAYOUTS if one.recognises(document)), None):
            recognised.append((layout, document))
        else:
            others.append(_sketch(document))
    if yolo.recognises(texts):
        recognised.append((yolo, texts))
    if len(recognised) != 1:
        found = f"{len(recognised)} exports" if recognised else "; ".join(others[:3]) or "no JSON file"
        raise refusal(path, f"has a structure that is not known (found: {found})")
    layout, document = recognised[0]
    if isinstance(document, Twice):
        raise refusal(path, "names one of its top fields twice")
    try:
        return layout.read(document, sizes)
    except ValueError as error:
        fault = str(error)
    raise refusal(path, fault)


def _documents(path: Path, limits: Limits, texts: dict[str, bytes]) -> Iterator[Any]:
    """Yield the JSON documents of a file and put its other text entries into `texts`."""
    for name, content in read_entries(path, limits, (".json", *_TEXTS)):
        if name.lower().endswith(_TEXTS) and name != path.name:
            texts[name] = content
            continue
        try:
            document = parse(content)
        except ValueError:
            pass
        else:
            yield document
            continue
        raise refusal(path, f"is no valid JSON (in {name[:80]!r}; very deep nesting is not)")


def _sketch(document: Any) -> str:
    """The outline of a document: names of fields and kinds of values, and no value."""
    if isinstance(document, Mapping):
        fields = [f"{redact(str(name)[:30])} ({_kind(document[name])})" for name in sorted(document, key=str)[:8]]
        return f"an object with {', '.join(fields) or 'no fields'}"
    if isinstance(document, list) and document and not isinstance(document[0], list):
        return f"a list of {len(document)}, the first {_sketch(document[0])}"
    return f"a {_kind(document)}"


def _kind(value: Any) -> str:
    return f"list of {len(value)}" if isinstance(value, list) else type(value).__name__


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
