"""What is written, read back by readers that are not ours, and round by round by those that are."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.annotation import Annotation
from alaas_pipeline.labels.frame import ImageSize
from alaas_pipeline.labels.records import ExportContent
from alaas_pipeline.labels.writers.coco import coco_document, write_coco
from alaas_pipeline.labels.writers.images import AnnotatedImage
from alaas_pipeline.labels.writers.parquet import write_parquet
from alaas_pipeline.labels.writers.yolo import YoloWritten, write_yolo
from alaas_pipeline_tests.labels.files import read, zipped

TRIANGLE = ((10.0, 10.0), (30.0, 10.0), (10.0, 40.0))
IMAGES = [
    AnnotatedImage("x/b.jpg", "b" * 64, 100, 80, (Annotation("dog", "bounding_box", (10.25, 20.0, 30.5, 40.0), id="n-1"),)),
    AnnotatedImage("x/empty.jpg", "e" * 64, 100, 80),
    AnnotatedImage("a.jpg", "a" * 64, 4_001, 2_999, (
        Annotation("cat", "bounding_box", (0.1, 0.2, 4_000.7, 2_998.6), attributes={"iscrowd": 1, "colour": "weiß"}),
        Annotation("ant", "polygon", (10.0, 10.0, 20.0, 30.0), TRIANGLE),
    )),
    AnnotatedImage("c.jpg", "c" * 64, None, None, (Annotation("cat", "classification", notes=("said",)),)),
]  # fmt: skip
SIZES = {
    one.image_id: ImageSize((one.width, one.height), (one.width, one.height))
    for one in IMAGES
    if one.width and one.height
}


def annotated(content: ExportContent) -> list[AnnotatedImage]:
    assert content.quarantined == []
    return [
        AnnotatedImage(one.key, "", one.width, one.height, tuple(Annotation.from_json(raw) for raw in one.annotations))
        for one in content.records
    ]


def boxes(images: list[AnnotatedImage]) -> list[tuple[str, str, Any]]:
    return sorted((image.image_id, one.label, one.box) for image in images for one in image.annotations)


def folder_as_zip(folder: Path) -> bytes:
    return zipped({str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()})


def test_coco_says_everything(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    write_coco(IMAGES, path)
    told = json.loads(path.read_text(encoding="utf-8"))
    assert told["categories"] == [{"id": 1, "name": "ant"}, {"id": 2, "name": "cat"}, {"id": 3, "name": "dog"}]
    assert [(one["id"], one["file_name"]) for one in told["images"]] == [
        (1, "a.jpg"),
        (2, "c.jpg"),
        (3, "x/b.jpg"),
        (4, "x/empty.jpg"),
    ]
    crowd, outline, whole, box = told["annotations"]
    assert crowd == {
        "id": 1, "image_id": 1, "category_id": 2, "bbox": [0.1, 0.2, 4_000.7, 2_998.6], "area": 4_000.7 * 2_998.6, "iscrowd": 1,
        "segmentation": [], "attributes": {"colour": "weiß"},
    }  # fmt: skip
    assert (outline["segmentation"], outline["area"]) == ([[10, 10, 30, 10, 10, 40]], 300)
    assert whole == {"id": 3, "image_id": 2, "category_id": 2}
    assert (box["bbox"], box["uid"]) == ([10.25, 20, 30.5, 40], "n-1")


def test_coco_is_read_back_as_it_was(tmp_path: Path) -> None:
    back = annotated(read(tmp_path, coco_document(IMAGES)))
    for before, after in zip(sorted(IMAGES, key=lambda one: one.image_id), back, strict=True):
        assert (after.image_id, after.width, after.height) == (before.image_id, before.width, before.height)
        assert [(one.label, one.kind, one.box, one.polygon, one.attributes) for one in after.annotations] == [
            (one.label, one.kind, one.box, one.polygon, one.attributes) for one in before.annotations
        ]


def test_the_order_of_the_images_changes_no_byte(tmp_path: Path) -> None:
    shuffled = random.Random(3).sample(IMAGES, len(IMAGES))
    for write in (write_coco, write_parquet):
        write(IMAGES, tmp_path / "one")
        write(shuffled, tmp_path / "two")
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def read_yolo(folder: Path) -> dict[str, list[tuple[str, list[float]]]]:
    names = (folder / "classes.txt").read_text(encoding="utf-8").split("\n")[:-1]
    found = {}
    for path in (folder / "labels").rglob("*.txt"):
        rows = [line.split(" ") for line in path.read_text().splitlines()]
        found[str(path.relative_to(folder / "labels"))] = [
            (names[int(one)], [float(n) for n in rest]) for one, *rest in rows
        ]
    return found


def test_yolo_has_shares_of_the_image_and_empty_files(tmp_path: Path) -> None:
    assert write_yolo(IMAGES, tmp_path) == YoloWritten(images=4, boxes=3, left_out=1)
    found = read_yolo(tmp_path)
    assert sorted(found) == ["a.txt", "c.txt", "x/b.txt", "x/empty.txt"]
    assert found["x/b.txt"] == [("dog", pytest.approx([0.255, 0.5, 0.305, 0.5]))]
    assert [name for name, _ in found["a.txt"]] == ["cat", "ant"]
    assert found["c.txt"] == found["x/empty.txt"] == []


def test_coco_to_yolo_to_coco_moves_nothing(tmp_path: Path) -> None:
    start = [one for one in IMAGES if one.width]
    from_coco = annotated(read(tmp_path, coco_document(start)))
    write_yolo(from_coco, tmp_path / "yolo")
    from_yolo = annotated(read(tmp_path, folder_as_zip(tmp_path / "yolo"), SIZES))
    assert boxes(from_yolo) == [(*named, pytest.approx(box, abs=0.01)) for *named, box in boxes(start)]
    once, twice = coco_document(start), coco_document(from_yolo)
    assert once["images"] == twice["images"]
    assert once["categories"] == twice["categories"]
    assert [(one["image_id"], one["category_id"]) for one in once["annotations"]] == [
        (one["image_id"], one["category_id"]) for one in twice["annotations"]
    ]


def test_parquet_has_a_row_an_annotation(tmp_path: Path) -> None:
    import polars as pl

    write_parquet(IMAGES, tmp_path / "a.parquet")
    rows = pl.read_parquet(tmp_path / "a.parquet").to_dicts()
    assert [(one["image_id"], one["label"], one["kind"]) for one in rows] == [
        ("a.jpg", "cat", "bounding_box"), ("a.jpg", "ant", "polygon"), ("c.jpg", "cat", "classification"), ("x/b.jpg", "dog", "bounding_box"),
    ]  # fmt: skip
    assert rows[3] == {
        "image_id": "x/b.jpg", "digest": "b" * 64, "image_width": 100, "image_height": 80, "annotation_id": "n-1", "label": "dog",
        "kind": "bounding_box", "x": 10.25, "y": 20.0, "width": 30.5, "height": 40.0, "polygon": None, "attributes": "{}", "notes": [],
    }  # fmt: skip
    assert json.loads(rows[0]["attributes"]) == {"iscrowd": 1, "colour": "weiß"}
    assert rows[1]["polygon"] == [list(corner) for corner in TRIANGLE]
    assert (rows[2]["x"], rows[2]["image_width"], rows[2]["notes"]) == (None, None, ["said"])
    write_parquet([], tmp_path / "none.parquet")
    assert pl.read_parquet(tmp_path / "none.parquet").schema == pl.read_parquet(tmp_path / "a.parquet").schema


def test_given_classes_keep_their_numbers(tmp_path: Path) -> None:
    classes = ["dog", "fox", "cat", "ant"]
    assert [one["category_id"] for one in coco_document(IMAGES, classes)["annotations"]] == [3, 4, 3, 1]
    write_yolo(IMAGES, tmp_path, classes)
    assert (tmp_path / "labels/x/b.txt").read_text().startswith("0 ")
    for wrong, told in ((["dog"], "label 'ant' is not among"), (["dog", "dog"], "given twice")):
        with pytest.raises(UserError, match=told):
            coco_document(IMAGES, wrong)


BOX = (Annotation("cat", "bounding_box", (1.0, 1.0, 2.0, 2.0)),)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ([AnnotatedImage("a.jpg", "", None, 80, BOX)], "no known size"),
        ([AnnotatedImage("../a.jpg", "", 100, 80, BOX)], "cannot be the name"),
        ([AnnotatedImage("/a.jpg", "", 100, 80, BOX)], "cannot be the name"),
        ([AnnotatedImage("a.jpg", "", 100, 80), AnnotatedImage("A.png", "", 100, 80)], "share one label file"),
        ([AnnotatedImage("a.jpg", "", 100, 80), AnnotatedImage("a.jpg", "", 100, 80)], "given twice"),
    ],
)
def test_yolo_that_would_lose_something_is_not_written(tmp_path: Path, images: list[AnnotatedImage], told: str) -> None:
    with pytest.raises(UserError, match=told):
        write_yolo(images, tmp_path / "yolo")
    assert not (tmp_path / "yolo").exists()


def test_names_of_classes_survive_whatever_they_are(tmp_path: Path) -> None:
    names = ["yes", "1", "ö: #", "- a", "[x"]
    images = [
        AnnotatedImage(f"{place}.jpg", "", 100, 80, (Annotation(name, "bounding_box", BOX[0].box),))
        for place, name in enumerate(names)
    ]
    write_yolo(images, tmp_path / "yolo")
    sizes = {image.image_id: ImageSize((100, 80), (100, 80)) for image in images}
    back = read(tmp_path, folder_as_zip(tmp_path / "yolo"), sizes)
    assert {record.key: record.labels[0] for record in back.records} == {
        f"{n}.jpg": name for n, name in enumerate(names)
    }
