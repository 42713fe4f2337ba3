"""Items that carry their annotations: a list or a page of them."""

from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline_tests.labels.files import read


@pytest.mark.parametrize(
    "wrap", [lambda items: items, lambda items: {"results": items}, lambda items: {"items": items, "total": 3}]
)
def test_lists_and_pages_are_read(tmp_path: Path, wrap: Any) -> None:
    items = [
        {"uid": "1", "key": "a.jpg", "annotations": {"label": "cat"}},
        {"uid": "2", "key": "b.jpg", "annotations": {}},
        {"uid": "3", "key": "c.jpg", "annotations": [{"label": "dog", "annotation_type": "classification"}]},
        {"uid": "4", "key": "d.jpg", "annotations": None},
    ]
    content = read(tmp_path, wrap(items))
    assert content.quarantined == []
    assert [(one.key, one.outcome, one.labels) for one in content.records] == [
        ("a.jpg", "labelled", ["cat"]),
        ("b.jpg", "pending", []),
        ("c.jpg", "labelled", ["dog"]),
        ("d.jpg", "pending", []),
    ]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("b.jpg", "no object"),
        ({"key": "b.jpg"}, "no annotations field"),
        ({"key": "b.jpg", "annotations": {"car": 2}}, "neither a list nor one annotation"),
        ({"key": "b.jpg", "annotations": "cat"}, "neither a list nor one annotation"),
        ({"key": "b.jpg", "annotations": [{"label": "cat", "type": 3}]}, "type is no name"),
        ({"key": "b.jpg", "annotations": [{"label": "cat", "type": "classification", "x": 3}]}, "has a geometry"),
        ({"key": "b.jpg", "annotations": [{"label": "cat", "type": "bounding_box"}]}, "x is no number"),
        ({"key": "b.jpg", "annotations": [{"label": "cat", "type": "polygon", "vertices": [[1, 2]]}]}, "three corners"),
        ({"key": "b.jpg", "annotations": [{"label": "cat", "vertices": [[1, 2], [3, 4], 5]}]}, "no pair"),
        ({"key": "b.jpg", "annotations": [{"label": "cat", "uid": []}]}, "id is neither"),
    ],
)
def test_each_fault_has_its_reason(tmp_path: Path, fault: Any, reason: str) -> None:
    content = read(tmp_path, [{"key": "a.jpg", "annotations": {"label": "cat"}}, fault])
    assert [record.key for record in content.records] == ["a.jpg"]
    assert [reason in one.reason for one in content.quarantined] == [True]


def test_geometry_is_read_by_type_or_fields_or_stays_in_its_own_words(tmp_path: Path) -> None:
    cuboid = {"label": "car", "type": "cuboid", "center": [1, 2, 3], "created_by": "avk_CANARY"}
    (record,) = read(tmp_path, [{"key": "a.jpg", "annotations": [cuboid]}]).records
    (one,) = record.annotations
    assert (one["kind"], one["box"], one["raw"]["center"]) == ("other", None, [1, 2, 3])
    assert "CANARY" not in str(one)
    triangle = {"label": "car", "vertices": [[0, 0], [4, 0], [0, 3]]}
    (record,) = read(tmp_path, [{"key": "a.jpg", "annotations": [triangle]}]).records
    assert (record.annotations[0]["kind"], record.annotations[0]["box"]) == ("polygon", [0, 0, 4, 3])
    box = {"label": "car", "type": "box", "x": 1, "y": 2, "width": 3, "height": 4}
    (record,) = read(tmp_path, [{"key": "a.jpg", "annotations": [box]}]).records
    assert (record.annotations[0]["kind"], record.annotations[0]["box"]) == ("bounding_box", [1, 2, 3, 4])
