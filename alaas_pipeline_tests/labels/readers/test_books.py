"""Whatever is done to a file: it stops as a whole, or in = landed + quarantined."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alaas_pipeline.errors import UserError
from alaas_pipeline_tests.labels.files import CLASSES, LAYOUTS, Box, Image, read, sizes_of

NUMBERS = st.one_of(
    st.integers(-30, 130), st.floats(-200, 200), st.sampled_from([0, float("nan"), float("inf"), 1e300])
)
KEYS = st.sampled_from(["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"])
BOXES = st.builds(Box, label=st.sampled_from([*CLASSES, "cow"]), x=NUMBERS, y=NUMBERS, width=NUMBERS, height=NUMBERS)
IMAGES = st.lists(
    st.builds(Image, key=KEYS, boxes=st.lists(BOXES, max_size=3)), min_size=1, max_size=5, unique_by=lambda one: one.key
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.sampled_from([1, "1", "a.jpg", "cat"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "key", "label", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
SIZES = sizes_of("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg")
MANY = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, entry in inner for place in places(entry, (*path, name)))]


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    holder = document
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    return document


def coco_records(document: dict[str, Any]) -> int:
    """Images, and annotations that are of none of them."""
    ids = [image.get("id") for image in document["images"] if isinstance(image, dict)]
    known = [one for one in ids if isinstance(one, int | str) and not isinstance(one, bool)]
    owners = [one.get("image_id") if isinstance(one, dict) else None for one in document["annotations"]]
    return len(document["images"]) + sum(isinstance(one, bool) or one not in known for one in owners)


COUNTS: dict[str, Callable[[Any], int]] = {
    "avala": lambda document: len(document["items"]),
    "inline": lambda document: len(document["results"]),
    "coco": coco_records,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@MANY
@given(images=IMAGES)
def test_every_image_lands_in_its_frame_or_is_set_aside(tmp_path: Path, layout: str, images: list[Image]) -> None:
    content = read(tmp_path, LAYOUTS[layout](images), SIZES)
    assert len(content.records) + len(content.quarantined) == len(images)
    keys = [record.key for record in content.records] + [one.record["key"] for one in content.quarantined]
    assert sorted(keys) == sorted(image.key for image in images)
    boxes = {image.key: len(image.boxes) for image in images}
    for record in content.records:
        assert len(record.annotations) == boxes[record.key]
        for annotation in record.annotations:
            x, y, width, height = annotation["box"]
            assert min(x, y) >= 0
            assert min(width, height) > 0
            assert x + width <= 100 + 1e-9
            assert y + height <= 80 + 1e-9


@pytest.mark.parametrize("layout", COUNTS)
@MANY
@given(data=st.data())
def test_no_value_anywhere_unbalances_the_books(tmp_path: Path, layout: str, data: st.DataObject) -> None:
    document = json.loads(LAYOUTS[layout]([Image("a.jpg"), Image("b.jpg", [Box(), Box("dog")]), Image("c.jpg")]))
    for _ in range(data.draw(st.integers(1, 3))):
        document = changed(document, data.draw(st.sampled_from(places(document))), data.draw(VALUES))
    try:
        content = read(tmp_path, document, SIZES)
    except UserError:
        return
    assert len(content.records) + len(content.quarantined) == COUNTS[layout](document)
    for one in content.quarantined:
        json.dumps(one.record, allow_nan=False)
    for record in content.records:
        json.dumps(record.annotations, allow_nan=False)
