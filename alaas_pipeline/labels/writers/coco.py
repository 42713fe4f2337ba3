"""COCO with boxes and polygons; an annotation of the image as a whole has no ``bbox``.

No box is made up for the latter: the convention is that of Datumaro's ``coco_labels``
(https://openvinotoolkit.github.io/datumaro/).
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from alaas_pipeline.labels.annotation import Annotation
from alaas_pipeline.labels.geometry import area
from alaas_pipeline.labels.writers.images import AnnotatedImage, class_numbers, in_order


def coco_document(images: Iterable[AnnotatedImage], classes: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the document: images by their id, categories from 1 on, annotations in the order of the images.

    Args:
        images: in any order.
        classes: the categories in order, the same for all parts of a split; None for the labels that occur.

    Raises:
        UserError: if an image is given twice or a label is not among the classes.
    """
    ordered = in_order(images)
    numbers = class_numbers(ordered, classes)
    annotations = [
        {"image_id": place, "category_id": numbers[one.label] + 1, **_content(one)}
        for place, image in enumerate(ordered, start=1)
        for one in image.annotations
    ]
    return {
        "images": [
            {"id": place, "file_name": image.image_id, "width": image.width, "height": image.height}
            for place, image in enumerate(ordered, start=1)
        ],
        "categories": [{"id": place + 1, "name": name} for name, place in numbers.items()],
        "annotations": [{"id": place, **one} for place, one in enumerate(annotations, start=1)],
    }


def write_coco(images: Iterable[AnnotatedImage], path: Path, classes: Sequence[str] | None = None) -> None:
    """Write `coco_document` to a file; the same images give the same bytes.

    Raises:
        UserError: if an image is given twice or a label is not among the classes.
    """
    document = coco_document(images, classes)
    text = json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def _content(annotation: Annotation) -> dict[str, Any]:
    attributes = {name: value for name, value in annotation.attributes.items() if name != "iscrowd"}
    told: dict[str, Any] = {"attributes": attributes} if attributes else {}
    if annotation.id is not None:
        told["uid"] = annotation.id
    if annotation.box is None:
        return told
    told |= {"bbox": list(annotation.box), "iscrowd": int(bool(annotation.attributes.get("iscrowd")))}
    if annotation.polygon is None:
        return told | {"area": annotation.box[2] * annotation.box[3], "segmentation": []}
    flat = [value for corner in annotation.polygon for value in corner]
    return told | {"area": area(annotation.polygon), "segmentation": [flat]}
