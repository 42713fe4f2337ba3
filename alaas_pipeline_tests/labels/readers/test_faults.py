"""The faults that readers of annotations let pass: here each puts its own image aside, in every layout it can occur in."""

import json
import re
from pathlib import Path

import pytest

from alaas_pipeline_tests.labels.files import LAYOUTS, Box, Image, read, sizes_of

ALL = ("avala", "coco", "inline", "yolo")
SIZED = ("avala", "coco", "inline")
DEEP: object = "x"
for _ in range(40):
    DEEP = [DEEP]

FAULTS: dict[str, tuple[tuple[str, ...], Image, str]] = {
    "unknown class": (("avala", "coco", "yolo"), Image("bad.jpg", [Box("cow")]), "(schema|unknown)"),
    "negative width": (ALL, Image("bad.jpg", [Box(width=-5)]), "not above zero"),
    "no height": (ALL, Image("bad.jpg", [Box(height=0)]), "not above zero"),
    "NaN": (ALL, Image("bad.jpg", [Box(x=float("nan"))]), "(not finite|no number)"),
    "Infinity": (ALL, Image("bad.jpg", [Box(width=float("inf"))]), "(not finite|no number)"),
    "a long number": (SIZED, Image("bad.jpg", [Box(x=10**4_000)]), "more than 18 digits"),
    "a number of astronomers": (ALL, Image("bad.jpg", [Box(x=1e300)]), "no number"),
    "box right of the image": (ALL, Image("bad.jpg", [Box(x=100.5)]), "wholly outside"),
    "box above the image": (ALL, Image("bad.jpg", [Box(y=-40)]), "wholly outside"),
    "name with ../": (SIZED, Image("../bad.jpg"), "unsafe path"),
    "name with a backslash": (SIZED, Image("..\\bad.jpg"), "unsafe path"),
    "absolute name": (SIZED, Image("/bad.jpg"), "unsafe path"),
    "no name": (SIZED, Image(None), "no usable key"),
    "size of another image": (SIZED, Image("bad.jpg", width=640, height=480), "neither the stored 100 x 80 nor"),
    "half a size": (SIZED, Image("bad.jpg", width=None), "only one of width and height"),
    "a size in words": (SIZED, Image("bad.jpg", width="100"), "no positive whole number"),
    "deep nesting": (SIZED, Image("bad.jpg", [Box(attributes={"a": DEEP})]), "nests deeper than 32"),
    "half a character": (SIZED, Image("bad.jpg", [Box(attributes={"a": "\ud800"})]), "no valid Unicode"),
    "one bad box of three": (ALL, Image("bad.jpg", [Box(), Box(width=-1), Box()]), "not above zero"),
}  # fmt: skip
CASES = [(layout, name) for name, (layouts, _, _) in FAULTS.items() for layout in layouts]
SIZES = sizes_of("good-1.jpg", "bad.jpg", "good-2.jpg")


@pytest.mark.parametrize(("layout", "name"), CASES)
def test_a_fault_puts_its_own_image_aside_and_no_other(tmp_path: Path, layout: str, name: str) -> None:
    _, bad, reason = FAULTS[name]
    content = read(tmp_path, LAYOUTS[layout]([Image("good-1.jpg"), bad, Image("good-2.jpg")]), SIZES)
    assert [record.key for record in content.records] == ["good-1.jpg", "good-2.jpg"]
    (aside,) = content.quarantined
    assert re.search(reason, aside.reason)
    if bad.key == "bad.jpg":
        assert aside.record["key"] == "bad.jpg"
    json.dumps(aside.record, allow_nan=False)


@pytest.mark.parametrize("layout", SIZED)
def test_all_images_that_share_an_annotation_id_are_set_aside(tmp_path: Path, layout: str) -> None:
    images = [Image("a.jpg", [Box(id=7)]), Image("b.jpg"), Image("c.jpg", [Box(), Box(id=7)])]
    content = read(tmp_path, LAYOUTS[layout](images))
    assert [record.key for record in content.records] == ["b.jpg"]
    assert [one.record["key"] for one in content.quarantined] == ["a.jpg", "c.jpg"]
    assert all("annotation id '7' stands in the file more than once" in one.reason for one in content.quarantined)


@pytest.mark.parametrize("layout", ALL)
def test_all_copies_of_an_image_are_set_aside(tmp_path: Path, layout: str) -> None:
    images = [Image("a.jpg"), Image("b.jpg"), Image("a.jpg", [Box("dog")])]
    content = read(tmp_path, LAYOUTS[layout](images), sizes_of("a.jpg", "b.jpg"))
    assert [record.key for record in content.records] == ["b.jpg"]
    assert [one.record["key"] for one in content.quarantined] == ["a.jpg", "a.jpg"]
    assert all("2 times" in one.reason for one in content.quarantined)


@pytest.mark.parametrize("layout", SIZED)
def test_a_field_that_stands_twice_is_not_settled_by_the_last(tmp_path: Path, layout: str) -> None:
    raw = LAYOUTS[layout]([Image("a.jpg"), Image("b.jpg", [Box(attributes={"twice": 1})])])
    content = read(tmp_path, raw.replace(b'"twice": 1', b'"twice": 1, "twice": 2'))
    assert [record.key for record in content.records] == ["a.jpg"]
    assert ["names one field twice" in one.reason for one in content.quarantined] == [True]


@pytest.mark.parametrize("layout", ALL)
def test_a_box_partly_outside_is_clipped_and_says_so(tmp_path: Path, layout: str) -> None:
    images = [Image("a.jpg", [Box(x=-10, y=70, width=30, height=40)]), Image("b.jpg", [Box(x=70.2, width=30)])]
    first, second = read(tmp_path, LAYOUTS[layout](images), sizes_of("a.jpg", "b.jpg")).records
    assert first.annotations[0]["box"] == pytest.approx([0, 70, 20, 10])
    (note,) = first.annotations[0]["notes"]
    assert note.startswith("clipped to the image, was x -10, y 70, 30 wide, ")
    # Less than half a pixel is rounding.
    assert second.annotations[0]["box"] == pytest.approx([70.2, 20, 29.8, 40])
    assert second.annotations[0]["notes"] == []


@pytest.mark.parametrize("layout", ALL)
def test_what_is_good_is_one_shape_whatever_the_layout(tmp_path: Path, layout: str) -> None:
    images = [Image("a.jpg", [Box("dog"), Box("cat", 0, 0, 100, 80)]), Image("b.jpg", [])]
    content = read(tmp_path, LAYOUTS[layout](images), sizes_of("a.jpg", "b.jpg"))
    assert content.quarantined == []
    first, second = content.records
    assert (first.outcome, first.labels, first.width, first.height) == ("labelled", ["dog", "cat"], 100, 80)
    assert [(one["kind"], one["label"]) for one in first.annotations] == [
        ("bounding_box", "dog"),
        ("bounding_box", "cat"),
    ]
    assert first.annotations[0]["box"] == pytest.approx([10, 20, 30, 40])
    assert first.annotations[1]["box"] == pytest.approx([0, 0, 100, 80])
    assert (second.outcome, second.annotations) == ("pending", [])
    assert content.schema == ["cat", "dog"]
