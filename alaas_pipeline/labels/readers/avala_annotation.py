"""One annotation as Avala writes it: ``label``, a type, and geometry in fields of its own."""

from collections.abc import Iterable, Mapping
from typing import Any

from alaas_pipeline.labels.annotation import Annotation
from alaas_pipeline.labels.geometry import bounds
from alaas_pipeline.labels.readers.checks import length, number, repeated, usable_label
from alaas_pipeline.labels.records import BadRecordError

_BOX = ("x", "y", "width", "height")


def read_annotations(
    raws: Iterable[Any], known: frozenset[str] | None, copies: frozenset[str | int]
) -> list[tuple[Annotation, Any]]:
    """Read annotations, each beside the export's own words.

    Args:
        raws: the entries.
        known: the labels that may occur, or None for all.
        copies: annotation ids that stand in the file more than once.

    Raises:
        BadRecordError: if one of them cannot be read.
    """
    return [(_read(raw, known, copies), raw) for raw in raws]


def repeated_ids(lists: Iterable[Any]) -> frozenset[str | int]:
    """Return the annotation ids that stand more than once in lists that may hold anything."""
    return repeated(_id(raw) for raws in lists if isinstance(raws, list) for raw in raws if isinstance(raw, dict))


def _id(raw: Mapping[str, Any]) -> Any:
    return raw.get("id") if raw.get("uid") is None else raw["uid"]


def _read(raw: Any, known: frozenset[str] | None, copies: frozenset[str | int]) -> Annotation:
    if not isinstance(raw, dict):
        raise BadRecordError("an annotation is no object")
    label = usable_label(raw.get("label"), known)
    uid = _id(raw)
    if uid is not None and (not isinstance(uid, str | int) or isinstance(uid, bool)):
        raise BadRecordError("an annotation's id is neither text nor a whole number")
    if uid in copies:
        raise BadRecordError(f"the annotation id {str(uid)[:40]!r} stands in the file more than once")
    attributes = {} if raw.get("attributes") is None else raw["attributes"]
    if not isinstance(attributes, dict):
        raise BadRecordError("an annotation's attributes are no object")
    said = {"label": label, "attributes": attributes, "id": None if uid is None else str(uid)}
    match _kind(raw):
        # The platform names the task's tool "box", and the annotation's type "bounding_box".
        case "bounding_box" | "box":
            x, y = (number(raw.get(name), name) for name in _BOX[:2])
            width, height = (length(raw.get(name), name) for name in _BOX[2:])
            return Annotation(kind="bounding_box", box=(x, y, width, height), **said)
        case "polygon":
            polygon = _corners(raw.get("vertices"))
            return Annotation(kind="polygon", polygon=polygon, box=bounds(polygon), **said)
        case "classification":
            return Annotation(kind="classification", **said)
    return Annotation(kind="other", **said)


def _kind(raw: Mapping[str, Any]) -> str:
    """The kind that is told; the geometry's own where nothing is told."""
    told = raw.get("annotation_type") if raw.get("type") is None else raw["type"]
    if told is not None:
        if not isinstance(told, str):
            raise BadRecordError("an annotation's type is no name")
        if told == "classification" and any(raw.get(name) is not None for name in (*_BOX, "vertices")):
            raise BadRecordError("an annotation is called a classification and has a geometry")
        return told
    if any(raw.get(name) is not None for name in _BOX):
        return "bounding_box"
    return "polygon" if raw.get("vertices") is not None else "classification"


def _corners(vertices: Any) -> tuple[tuple[float, float], ...]:
    if not isinstance(vertices, list) or len(vertices) < 3:
        raise BadRecordError("an annotation's polygon has no three corners")
    if not all(isinstance(corner, list) and len(corner) == 2 for corner in vertices):
        raise BadRecordError("a corner of an annotation's polygon is no pair")
    return tuple((number(x, "corner"), number(y, "corner")) for x, y in vertices)
