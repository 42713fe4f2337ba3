"""COCO: ``images``, ``annotations`` and ``categories``, joined by their ids.

An image without annotations is pending: the layout cannot say whether it is empty or nobody has looked at it. An
annotation without a box is one of the image as a whole.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from alaas_pipeline.labels.annotation import Annotation, Polygon
from alaas_pipeline.labels.frame import Sizes, frame_of
from alaas_pipeline.labels.geometry import bounds
from alaas_pipeline.labels.readers.checks import (
    assemble,
    declared_size,
    key_or_none,
    length,
    number,
    refuse_copies,
    repeated,
    usable_key,
    usable_label,
)
from alaas_pipeline.labels.records import BadRecordError, LabelRecord, Sorting, quarantine
from alaas_pipeline.labels.strict_json import Twice, fault_of

_TABLES = ("images", "annotations", "categories")


def recognises(document: Any) -> bool:
    """Whether a parsed JSON document has this layout."""
    return isinstance(document, dict) and all(isinstance(document.get(name), list) for name in _TABLES)


def read(document: Mapping[str, Any], sizes: Sizes | None) -> tuple[Sorting, list[str] | None]:
    """Check each image with its annotations; return them sorted, and the names of the categories.

    An annotation of an image that the file does not have is quarantined as a record of its own.
    """
    return _Reader(document, sizes).read()


class _Reader:
    def __init__(self, document: Mapping[str, Any], sizes: Sizes | None) -> None:
        self._images, self._annotations, categories = (document[name] for name in _TABLES)
        self._sizes = sizes
        self._labels = _labels(categories)
        self._keys = Counter(key for image in self._images if (key := _key(image)) is not None)
        self._repeated_images = repeated(_id(image) for image in self._images)
        self._repeated_annotations = repeated(_id(annotation) for annotation in self._annotations)

    def read(self) -> tuple[Sorting, list[str] | None]:
        sorting = Sorting()
        of_image: dict[Hashable, list[Any]] = defaultdict(list)
        known = {_id(image) for image in self._images} - {None}
        for annotation in self._annotations:
            owners = _owners(annotation) & known
            for owner in owners:
                of_image[owner].append(annotation)
            if not owners:
                sorting.quarantined.append(quarantine(annotation, _orphan(annotation)))
        for image in self._images:
            found = of_image[_id(image)]
            sorting.take(image, _key(image), lambda image=image, found=found: self._read_image(image, found))
        names = sorted({label for label in self._labels.values() if label is not None})
        return sorting, names or None

    def _read_image(self, image: Any, annotations: list[Any]) -> LabelRecord:
        if not isinstance(image, dict):
            raise BadRecordError("it is no object")
        if fault := fault_of(image):
            raise BadRecordError(fault)
        key = usable_key(image.get("file_name"))
        refuse_copies(key, self._keys)
        if (number_of := _id(image)) is None:
            raise BadRecordError("its id is neither text nor a whole number")
        if number_of in self._repeated_images:
            raise BadRecordError(f"the image id {str(number_of)[:40]!r} stands in the file more than once")
        frame = frame_of(key, declared_size(image.get("width"), image.get("height")), self._sizes)
        found = [(self._read_annotation(annotation), annotation) for annotation in annotations]
        return assemble(key, "labelled" if found else "pending", found, frame)

    def _read_annotation(self, raw: dict[str, Any]) -> Annotation:
        if fault := fault_of(raw):
            raise BadRecordError(f"an annotation cannot be trusted: {fault}")
        uid = _id(raw)
        if uid is None and raw.get("id") is not None:
            raise BadRecordError("an annotation's id is neither text nor a whole number")
        if uid in self._repeated_annotations:
            raise BadRecordError(f"the annotation id {str(uid)[:40]!r} stands in the file more than once")
        category = _reference(raw.get("category_id"))
        if category is None or category not in self._labels:
            raise BadRecordError(f"an annotation's category {str(raw.get('category_id'))[:40]!r} is unknown")
        if (label := self._labels[category]) is None:
            raise BadRecordError(f"an annotation's category {str(category)[:40]!r} stands in the file more than once")
        attributes = {} if raw.get("attributes") is None else raw["attributes"]
        if not isinstance(attributes, dict):
            raise BadRecordError("an annotation's attributes are no object")
        if raw.get("iscrowd") in (1, True):
            attributes = attributes | {"iscrowd": 1}
        said = {
            "label": usable_label(label), "attributes": attributes, "id": None if uid is None else str(uid)
        }  # fmt: skip
        box, polygon = _box(raw.get("bbox")), _polygon(raw.get("segmentation"))
        if polygon is not None:
            return Annotation(kind="polygon", polygon=polygon, box=box or bounds(polygon), **said)
        if box is not None:
            return Annotation(kind="bounding_box", box=box, **said)
        return Annotation(kind="other" if raw.get("segmentation") else "classification", **said)


def _labels(categories: Iterable[Any]) -> dict[str | int, str | None]:
    """The label of each category id; None for an id that two categories claim."""
    labels: dict[str | int, str | None] = {}
    for category in categories:
        number_of = _id(category)
        if number_of is None or fault_of(category) or not isinstance(category.get("name"), str):
            continue
        labels[number_of] = None if number_of in labels else category["name"]
    return labels


def _reference(value: Any) -> str | int | None:
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _id(entry: Any) -> str | int | None:
    return _reference(entry.get("id")) if isinstance(entry, dict) else None


def _key(image: Any) -> str | None:
    return key_or_none(image.get("file_name")) if isinstance(image, dict) else None


def _owners(annotation: Any) -> set[str | int]:
    """The images that an annotation may be of: several if it names its image twice."""
    if isinstance(annotation, Twice):
        told = [value for name, value in annotation.pairs if name == "image_id"]
    else:
        told = [annotation.get("image_id")] if isinstance(annotation, dict) else []
    return {owner for value in told if (owner := _reference(value)) is not None}


def _orphan(annotation: Any) -> str:
    if not isinstance(annotation, dict):
        return "an annotation is no object"
    return f"annotation {str(annotation.get('id'))[:40]} is of image {str(annotation.get('image_id'))[:40]}, which the file does not have"


def _box(told: Any) -> tuple[float, float, float, float] | None:
    if told is None or told == []:
        return None
    if not isinstance(told, list) or len(told) != 4:
        raise BadRecordError("an annotation's box is no list of four numbers")
    x, y, width, height = told
    return number(x, "x"), number(y, "y"), length(width, "width"), length(height, "height")


def _polygon(told: Any) -> Polygon | None:
    """The outline, if it is a single one; masks and outlines of several parts stay in the export's own words."""
    if told is not None and not isinstance(told, list | dict):
        raise BadRecordError("an annotation's segmentation is neither a list nor an object")
    if not isinstance(told, list) or len(told) != 1:
        return None
    flat = told[0]
    if not isinstance(flat, list) or len(flat) < 6 or len(flat) % 2:
        raise BadRecordError("an annotation's polygon has no three corners")
    points = [number(value, "corner") for value in flat]
    return tuple(zip(points[::2], points[1::2], strict=True))
