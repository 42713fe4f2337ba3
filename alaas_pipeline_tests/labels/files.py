"""Export files for the tests, of every layout, from one description of images and boxes."""

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alaas_pipeline.labels.frame import ImageSize
from alaas_pipeline.labels.read import read_export
from alaas_pipeline.labels.records import ExportContent

CLASSES = ["cat", "dog"]
WIDTH, HEIGHT = 100, 80


@dataclass(frozen=True)
class Box:
    label: Any = "cat"
    x: Any = 10
    y: Any = 20
    width: Any = 30
    height: Any = 40
    id: Any = None
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    key: Any
    boxes: Sequence[Box] = (Box(),)
    width: Any = WIDTH
    height: Any = HEIGHT


def _item(place: int, image: Image) -> dict[str, Any]:
    return {
        "key": image.key,
        "annotations": [
            {
                "uid": f"{place}-{number}" if box.id is None else box.id,
                "type": "bounding_box",
                "label": box.label,
                "attributes": box.attributes,
                **{name: getattr(box, name) for name in ("x", "y", "width", "height")},
            }
            for number, box in enumerate(image.boxes)
        ],
    }


def avala(images: Sequence[Image]) -> bytes:
    items = [
        _item(place, image)
        | {"width": image.width, "height": image.height, "status": "completed" if image.boxes else "pending"}
        for place, image in enumerate(images)
    ]
    head = {"format": "avala-json-external", "version": 1, "project": {}, "label_schema": CLASSES}
    return json.dumps(head | {"items": items}).encode()


def inline(images: Sequence[Image]) -> bytes:
    items = [
        _item(place, image) | {"metadata": {"width": image.width, "height": image.height}}
        for place, image in enumerate(images)
    ]
    return json.dumps({"next": None, "previous": None, "results": items}).encode()


def coco_dict(images: Sequence[Image]) -> dict[str, Any]:
    annotations = [
        {
            "id": place * 100 + number if box.id is None else box.id,
            "image_id": place,
            "category_id": CLASSES.index(box.label) + 3 if box.label in CLASSES else 99,
            "bbox": [box.x, box.y, box.width, box.height],
            "attributes": box.attributes,
        }
        for place, image in enumerate(images, start=1)
        for number, box in enumerate(image.boxes)
    ]
    return {
        "images": [
            {"id": place, "file_name": image.key, "width": image.width, "height": image.height}
            for place, image in enumerate(images, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": place, "name": name} for place, name in enumerate(CLASSES, start=3)],
    }


def coco(images: Sequence[Image]) -> bytes:
    return json.dumps(coco_dict(images)).encode()


def yolo(images: Sequence[Image]) -> bytes:
    entries = {"data.yaml": b"nc: 2\nnames: [cat, dog]\n"}
    for place, image in enumerate(images):
        lines = [
            f"{CLASSES.index(box.label) if box.label in CLASSES else 99} {(box.x + box.width / 2) / WIDTH} "
            f"{(box.y + box.height / 2) / HEIGHT} {box.width / WIDTH} {box.height / HEIGHT}"
            for box in image.boxes
        ]
        name = f"labels/{image.key.rsplit('.', 1)[0]}.txt"
        entries[f"{place}/{name}" if name in entries else name] = "\n".join(lines).encode()
    return zipped(entries)


LAYOUTS: dict[str, Callable[[Sequence[Image]], bytes]] = {"avala": avala, "coco": coco, "inline": inline, "yolo": yolo}


def zipped(entries: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    return packed.getvalue()


def sizes_of(*keys: str) -> dict[str, ImageSize]:
    return {key: ImageSize((WIDTH, HEIGHT), (WIDTH, HEIGHT)) for key in keys}


def read(folder: Path, content: Any, sizes: dict[str, ImageSize] | None = None) -> ExportContent:
    path = folder / "export.bin"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_export(path, sizes=sizes)
