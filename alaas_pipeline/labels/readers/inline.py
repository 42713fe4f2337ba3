"""Items with their annotations inside: a list of them, or one page of the platform's API.

An item tells how it was indexed and not whether its labelling is done, so one without annotations is pending.
"""

from collections import Counter
from typing import Any

from alaas_pipeline.labels.frame import Sizes, frame_of
from alaas_pipeline.labels.readers.avala_annotation import read_annotations, repeated_ids
from alaas_pipeline.labels.readers.checks import assemble, declared_size, key_of, key_or_none
from alaas_pipeline.labels.records import BadRecordError, LabelRecord, Sorting


def recognises(document: Any) -> bool:
    """Whether a parsed JSON document has this layout: some entry has a key and annotations."""
    return any(isinstance(item, dict) and {"key", "annotations"} <= item.keys() for item in _items(document) or [])


def read(document: Any, sizes: Sizes | None) -> tuple[Sorting, list[str] | None]:
    """Check each item by itself; return them sorted. The layout declares no labels."""
    items = _items(document) or []
    keys = Counter(key for item in items if (key := _key(item)) is not None)
    copies = repeated_ids(_annotations(item) for item in items if isinstance(item, dict))
    sorting = Sorting()
    for item in items:
        sorting.take(item, _key(item), lambda item=item: _read_item(item, keys, copies, sizes))
    return sorting, None


def _items(document: Any) -> list[Any] | None:
    if isinstance(document, dict) and "format" not in document:
        lists = [document[name] for name in ("results", "items") if isinstance(document.get(name), list)]
        return lists[0] if len(lists) == 1 else None
    return document if isinstance(document, list) else None


def _key(item: Any) -> str | None:
    return key_or_none(item.get("key")) if isinstance(item, dict) else None


def _annotations(item: dict[str, Any]) -> Any:
    """The annotations as a list where they can be seen as one: a single one stands by itself."""
    told = item.get("annotations")
    if told is None or told == {}:
        return []
    return [told] if isinstance(told, dict) and "label" in told else told


def _read_item(item: Any, keys: Counter[str], copies: frozenset[str | int], sizes: Sizes | None) -> LabelRecord:
    key = key_of(item, keys)
    if "annotations" not in item:
        raise BadRecordError("it has no annotations field, so whether it is labelled is open")
    metadata = item.get("metadata")
    sized = metadata if isinstance(metadata, dict) else item
    annotations = _annotations(item)
    if not isinstance(annotations, list):
        raise BadRecordError("its annotations are neither a list nor one annotation")
    frame = frame_of(key, declared_size(sized.get("width"), sized.get("height")), sizes)
    found = read_annotations(annotations, None, copies)
    return assemble(key, "labelled" if found else "pending", found, frame)
