"""Boxes on photos that are stored on their side."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageOps

from alaas_pipeline.labels.frame import ImageSize
from alaas_pipeline_tests.labels.files import Box, Image, avala, coco, inline, read

STORED, SHOWN = (100, 80), (80, 100)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("write", [avala, coco, inline])
def test_a_box_in_stored_pixels_is_turned_as_the_picture_is(tmp_path: Path, orientation: int, write) -> None:
    pixels = np.zeros((80, 100), np.uint8)
    pixels[20:60, 10:40] = 255
    picture = Picture.fromarray(pixels)
    picture.getexif()[0x0112] = orientation
    shown = np.asarray(ImageOps.exif_transpose(picture))
    down, across = np.nonzero(shown)
    expected = [across.min(), down.min(), np.ptp(across) + 1, np.ptp(down) + 1]

    sizes = {"a.jpg": ImageSize(STORED, SHOWN, orientation)}
    (record,) = read(tmp_path, write([Image("cats/a.jpg")]), sizes).records
    assert record.annotations[0]["box"] == pytest.approx(expected)
    assert record.annotations[0]["notes"] == [f"turned by EXIF orientation {orientation}"]
    assert (record.width, record.height) == SHOWN


def test_an_outline_is_turned_too(tmp_path: Path) -> None:
    triangle = {"label": "cat", "vertices": [[0, 0], [100, 0], [0, 40]]}
    item = {"key": "a.jpg", "metadata": {"width": 100, "height": 80}, "annotations": [triangle]}
    (record,) = read(tmp_path, [item], {"a.jpg": ImageSize(STORED, SHOWN, 6)}).records
    assert record.annotations[0]["polygon"] == [[80, 0], [80, 100], [40, 0]]
    assert record.annotations[0]["box"] == [40, 0, 40, 100]


@pytest.mark.parametrize("orientation", [None, 1, 3])
def test_a_turn_that_is_not_known_sets_the_boxes_aside(tmp_path: Path, orientation: int | None) -> None:
    sizes = {"a.jpg": ImageSize(STORED, SHOWN, orientation)}
    content = read(tmp_path, coco([Image("a.jpg")]), sizes)
    assert content.records == []
    assert "turned by EXIF in a way that is not known" in content.quarantined[0].reason
    # What is said of the image as a whole does not turn.
    item = {"key": "a.jpg", "metadata": {"width": 100, "height": 80}, "annotations": {"label": "cat"}}
    (record,) = read(tmp_path, [item], sizes).records
    assert (record.labels, record.width, record.height) == (["cat"], *SHOWN)


def test_shown_pixels_need_no_turn_and_untold_ones_are_not_guessed(tmp_path: Path) -> None:
    sizes = {"a.jpg": ImageSize(STORED, SHOWN, 6)}
    (record,) = read(tmp_path, coco([Image("a.jpg", width=80, height=100)]), sizes).records
    assert (record.annotations[0]["box"], record.annotations[0]["notes"]) == ([10, 20, 30, 40], [])
    content = read(tmp_path, coco([Image("a.jpg", width=None, height=None)]), sizes)
    assert "declares no size" in content.quarantined[0].reason
    upright = {"a.jpg": ImageSize(SHOWN, SHOWN)}
    (record,) = read(tmp_path, coco([Image("a.jpg", [Box(x=70)], None, None)]), upright).records
    assert record.annotations[0]["box"] == [70, 20, 10, 40]


def test_without_any_size_only_the_origin_bounds_a_box(tmp_path: Path) -> None:
    (record,) = read(tmp_path, coco([Image("a.jpg", [Box(x=-10), Box(x=5_000)], None, None)])).records
    assert [one["box"] for one in record.annotations] == [[0, 20, 20, 40], [5_000, 20, 30, 40]]
    assert (record.width, record.height) == (None, None)
