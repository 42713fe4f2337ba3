"""The layout ``avala-json-external``, version 1, as the local sandbox writes it.

What the platform itself puts into such a file is documented nowhere, so the layout is recognised by its
structure and anything else stops loudly.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from alaas_pipeline.labels.records import (
    BadRecordError,
    LabelRecord,
    Outcome,
    Quarantined,
    nests_deeper,
    quarantine,
)

FORMAT = "avala-json-external"
VERSION = 1

_OUTCOMES: dict[str, Outcome] = {"completed": "labelled", "refused": "refused", "pending": "pending"}
_MAX_LEVELS = 32
_MAX_KEY = 1_024
_MAX_LABEL = 256


def recognises(document: Any) -> bool:
    """Whether a parsed JSON document has this layout."""
    return (
        isinstance(document, dict)
        and document.get("format") == FORMAT
        and document.get("version") == VERSION
        and isinstance(document.get("items"), list)
        and isinstance(document.get("project"), dict)
    )


def declared_schema(document: Mapping[str, Any]) -> list[str] | None:
    """The label names that the file declares, or ``None`` when it declares none."""
    names = document.get("label_schema")
    if isinstance(names, list) and names and all(isinstance(name, str) and name for name in names):
        return sorted(set(names))
    return None


def read_items(document: Mapping[str, Any]) -> tuple[list[LabelRecord], list[Quarantined]]:
    """Check each item by itself; each ends in exactly one of the two lists."""
    items = document["items"]
    declared = declared_schema(document)
    known = None if declared is None else frozenset(declared)
    copies = Counter(_key(item) for item in items)
    records: list[LabelRecord] = []
    quarantined: list[Quarantined] = []
    for item in items:
        try:
            if (times := copies[_key(item)]) > 1 and _key(item) is not None:
                raise BadRecordError(f"its key stands in the file {times} times: which one is right is open")
            records.append(_read_item(item, known))
        except BadRecordError as fault:
            quarantined.append(quarantine(item, str(fault)))
    return records, quarantined


def _key(item: Any) -> str | None:
    key = item.get("key") if isinstance(item, dict) else None
    return key if isinstance(key, str) and key else None


def _read_item(item: Any, known: frozenset[str] | None) -> LabelRecord:
    if not isinstance(item, dict):
        raise BadRecordError("it is no object")
    if nests_deeper(item, _MAX_LEVELS):
        raise BadRecordError(f"it nests deeper than {_MAX_LEVELS} levels")
    key = _key(item)
    if key is None or len(key) > _MAX_KEY:
        raise BadRecordError("it has no usable key")
    status = item.get("status")
    outcome = _OUTCOMES.get(status) if isinstance(status, str) else None
    if outcome is None:
        raise BadRecordError(f"its status {str(status)[:40]!r} is unknown; known are {', '.join(_OUTCOMES)}")
    width, height = _side(item, "width"), _side(item, "height")

    annotations = [] if item.get("annotations") is None else item["annotations"]
    if not isinstance(annotations, list):
        raise BadRecordError("its annotations are no list")
    labels = list(dict.fromkeys(_read_label(annotation, known) for annotation in annotations))
    if outcome == "labelled" and not labels:
        raise BadRecordError("it is completed but has no annotation")
    if outcome == "refused" and labels:
        raise BadRecordError("it is refused and annotated at once")
    given = item.get("refusal_reason")
    reason = (given if isinstance(given, str) and given else "no reason given") if outcome == "refused" else None
    return LabelRecord(key, outcome, labels if outcome == "labelled" else [], annotations, reason, width, height)


def _side(item: Mapping[str, Any], name: str) -> int | None:
    value = item.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise BadRecordError(f"its {name} {str(value)[:40]!r} is no positive whole number of pixels")
    return value


def _read_label(annotation: Any, known: frozenset[str] | None) -> str:
    if not isinstance(annotation, dict):
        raise BadRecordError("an annotation is no object")
    label = annotation.get("label")
    if not isinstance(label, str) or not label.strip() or len(label) > _MAX_LABEL:
        raise BadRecordError(f"an annotation's label {str(label)[:40]!r} is no name")
    if known is not None and label not in known:
        raise BadRecordError(f"an annotation's label {label[:40]!r} is not in the file's own label schema")
    for name in ("x", "y", "width", "height"):
        value = annotation.get(name)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise BadRecordError(f"an annotation's {name} is no number")
        if value <= 0 and name in ("width", "height"):
            raise BadRecordError(f"an annotation's {name} {value} is not above zero")
    return label
