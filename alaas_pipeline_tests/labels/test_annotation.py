"""One shape of annotation, to JSON and back."""

import json
from typing import Any

import pytest

from alaas_pipeline.labels.annotation import Annotation
from alaas_pipeline.labels.geometry import area, clip_polygon, turn

TRIANGLE = ((0.0, 0.0), (4.0, 0.0), (0.0, 3.0))
ANNOTATIONS = [
    Annotation("cat", "classification", attributes={"sure": True}, id="a-1"),
    Annotation("cat", "bounding_box", (1.5, 2.0, 3.0, 4.0), notes=("clipped",)),
    Annotation("cat", "polygon", (0.0, 0.0, 4.0, 3.0), TRIANGLE),
    Annotation("cat", "other"),
]


@pytest.mark.parametrize("annotation", ANNOTATIONS)
def test_json_brings_it_back(annotation: Annotation) -> None:
    stored = json.loads(json.dumps(annotation.to_json({"its": "own words"})))
    assert stored["raw"] == {"its": "own words"}
    assert Annotation.from_json(stored) == annotation


def test_own_words_are_redacted_and_kept_only_while_short() -> None:
    one = Annotation("cat", "other", attributes={"link": "https://h.test/a?sig=CANARY"})
    told = one.to_json({"url": "https://h.test/a?X-Amz-Signature=CANARY"})
    assert "CANARY" not in str(told)
    assert one.to_json({"mask": "1" * 5_000})["raw"] is None
    assert "raw" not in one.to_json()


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "box"},
        {"kind": "classification"},
        {"kind": "polygon"},
        {"box": None},
        {"box": [1, 2, 3]},
        {"box": "1234567"},
        {"polygon": [[1, 2], [3, 4]], "kind": "polygon"},
        {"attributes": None},
    ],
)
def test_what_is_no_annotation_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the reasons differ)
        Annotation.from_json(ANNOTATIONS[1].to_json() | wrong)
    with pytest.raises(ValueError, match="no stored annotation"):
        Annotation.from_json({"type": "classification", "label": "cat"})


def test_clipping_keeps_just_the_common_part() -> None:
    diamond = ((0.0, -10.0), (10.0, 0.0), (0.0, 10.0), (-10.0, 0.0))
    clipped = clip_polygon(diamond, 100, 100)
    assert clipped is not None
    assert area(clipped) == pytest.approx(50)
    assert area(diamond) == pytest.approx(200)
    assert clip_polygon(diamond, float("inf"), float("inf")) is not None
    assert clip_polygon(tuple((x - 50, y) for x, y in diamond), 100, 100) is None
    with pytest.raises(ValueError, match="does not swap"):
        turn(diamond, (4, 4), 3)
