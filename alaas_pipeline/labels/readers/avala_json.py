"""The layout ``avala-json-external``, version 1, as the local sandbox writes it.

What the platform itself puts into such a file is documented nowhere, so the layout is recognised by its
structure and anything else stops loudly.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from alaas_pipeline.labels.frame import Sizes, frame_of
from alaas_pipeline.labels.readers.avala_annotation import read_annotations, repeated_ids
from alaas_pipeline.labels.readers.checks import assemble, declared_size, key_of, key_or_none
from alaas_pipeline.labels.records import BadRecordError, LabelRecord, Outcome, Sorting

FORMAT = "avala-json-external"
VERSION = 1

_OUTCOMES: dict[str, Outcome] = {"completed": "labelled", "refused": "refused", "pending": "pending"}


def recognises(document: Any) -> bool:
    """Whether a parsed JSON document has this layout."""
    return (
        isinstance(document, dict)
        and document.get("format") == FORMAT
        and document.get("version") == VERSION
        and isinstance(document.get("items"), list)
        # The export of a whole dataset names no project.
        and any(isinstance(document.get(name), dict) for name in ("project", "dataset"))
    )


def read(document: Mapping[str, Any], sizes: Sizes | None) -> tuple[Sorting, list[str] | None]:
    """Check each item by itself; return them sorted, and the labels that the file declares if it does."""
    items = document["items"]
    declared = _declared_schema(document)
    known = None if declared is None else frozenset(declared)
    keys = Counter(key for item in items if (key := _key(item)) is not None)
    copies = repeated_ids(item.get("annotations") for item in items if isinstance(item, dict))
    sorting = Sorting()
    for item in items:
        sorting.take(item, _key(item), lambda item=item: _read_item(item, known, keys, copies, sizes))
    return sorting, declared


def _declared_schema(document: Mapping[str, Any]) -> list[str] | None:
    names = document.get("label_schema")
    if isinstance(names, list) and names and all(isinstance(name, str) and name for name in names):
        return sorted(set(names))
    return None


def _key(item: Any) -> str | None:
    return key_or_none(item.get("key")) if isinstance(item, dict) else None


def _read_item(
    item: Any, known: frozenset[str] | None, keys: Counter[str], copies: frozenset[str | int], sizes: Sizes | None
) -> LabelRecord:
    key = key_of(item, keys)
    status = item.get("status")
    outcome = _OUTCOMES.get(status) if isinstance(status, str) else None
    if outcome is None:
        raise BadRecordError(f"its status {str(status)[:40]!r} is unknown; known are {', '.join(_OUTCOMES)}")
    frame = frame_of(key, declared_size(item.get("width"), item.get("height")), sizes)

    annotations = [] if item.get("annotations") is None else item["annotations"]
    if not isinstance(annotations, list):
        raise BadRecordError("its annotations are no list")
    found = read_annotations(annotations, known, copies)
    if outcome == "labelled" and not found:
        raise BadRecordError("it is completed but has no annotation")
    if outcome == "refused" and found:
        raise BadRecordError("it is refused and annotated at once")
    given = item.get("refusal_reason")
    reason = (given if isinstance(given, str) and given else "no reason given") if outcome == "refused" else None
    return assemble(key, outcome, found, frame, reason)
