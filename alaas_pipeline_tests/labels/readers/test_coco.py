"""COCO: what only this layout can say, and get wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline_tests.labels.files import Image, coco, coco_dict, read


def document(**annotation: Any) -> dict[str, Any]:
    made = coco_dict([Image("a.jpg"), Image("b.jpg")])
    made["annotations"][0] |= annotation
    return made


def test_an_annotation_of_an_unknown_image_is_a_record_of_its_own(tmp_path: Path) -> None:
    made = document()
    made["annotations"] += [{"id": 5, "image_id": 99, "category_id": 3}, {"id": 6, "category_id": 3}, "cat"]
    content = read(tmp_path, made)
    assert [record.key for record in content.records] == ["a.jpg", "b.jpg"]
    assert [one.reason for one in content.quarantined] == [
        "annotation 5 is of image 99, which the file does not have",
        "annotation 6 is of image None, which the file does not have",
        "an annotation is no object",
    ]
    assert content.quarantined[0].record["image_id"] == 99


def test_an_annotation_that_names_two_images_sets_both_aside(tmp_path: Path) -> None:
    raw = coco([Image("a.jpg"), Image("b.jpg"), Image("c.jpg")])
    content = read(tmp_path, raw.replace(b'"image_id": 1', b'"image_id": 1, "image_id": 2'))
    assert [record.key for record in content.records] == ["c.jpg"]


def test_images_that_share_an_id_are_set_aside(tmp_path: Path) -> None:
    made = document()
    made["images"].append({"id": 1, "file_name": "c.jpg"})
    content = read(tmp_path, made)
    assert [record.key for record in content.records] == ["b.jpg"]
    assert [one.record["key"] for one in content.quarantined] == ["a.jpg", "c.jpg"]
    assert all("image id '1' stands in the file more than once" in one.reason for one in content.quarantined)


def test_a_category_that_stands_twice_is_no_class(tmp_path: Path) -> None:
    made = document(category_id=4)
    made["categories"].append({"id": 4, "name": "fox"})
    content = read(tmp_path, made)
    assert [record.key for record in content.records] == ["b.jpg"]
    assert "category '4' stands in the file more than once" in content.quarantined[0].reason


@pytest.mark.parametrize("bbox", [None, []])
def test_without_a_box_it_is_a_classification(tmp_path: Path, bbox: Any) -> None:
    record = read(tmp_path, document(bbox=bbox)).records[0]
    assert (record.annotations[0]["kind"], record.annotations[0]["box"], record.labels) == (
        "classification",
        None,
        ["cat"],
    )


def test_outlines_are_read_and_clipped_and_masks_are_kept_in_words(tmp_path: Path) -> None:
    outline = read(tmp_path, document(bbox=None, segmentation=[[-10, 10, 50, 10, 50, 30, -10, 30]])).records[0]
    (one,) = outline.annotations
    assert (one["kind"], one["box"]) == ("polygon", [0, 10, 50, 20])
    assert sorted(one["polygon"]) == [[0, 10], [0, 30], [50, 10], [50, 30]]
    assert "clipped" in one["notes"][0]
    mask = {"counts": "abc", "size": [80, 100]}
    (other,) = read(tmp_path, document(bbox=None, segmentation=mask)).records[0].annotations
    assert (other["kind"], other["box"], other["raw"]["segmentation"]) == ("other", None, mask)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"bbox": [1, 2, 3]}, "no list of four numbers"),
        ({"bbox": "1,2,3,4"}, "no list of four numbers"),
        ({"segmentation": [[1, 2, 3, 4]]}, "no three corners"),
        ({"segmentation": "mask"}, "neither a list nor an object"),
        ({"segmentation": [[1, 1, 5, 5, 9, 9]]}, "has no area"),
        ({"segmentation": [[200, 1, 250, 5, 250, 9]]}, "wholly outside"),
        ({"attributes": [1]}, "attributes are no object"),
        ({"id": 1.5}, "id is neither"),
        ({"category_id": True}, "category 'True' is unknown"),
    ],
)
def test_each_fault_has_its_reason(tmp_path: Path, fault: dict[str, Any], reason: str) -> None:
    content = read(tmp_path, document(**fault))
    assert [record.key for record in content.records] == ["b.jpg"]
    assert [reason in one.reason for one in content.quarantined] == [True]


def test_a_table_that_stands_twice_stops_the_file(tmp_path: Path) -> None:
    raw = json.dumps(document()).encode()
    with pytest.raises(UserError, match="names one of its top fields twice"):
        read(tmp_path, raw[:-1] + b', "images": []}')
