import io
import itertools
from collections import Counter
from math import comb

import numpy as np
import pytest
from PIL import Image

from alaas_pipeline.report.curve import CurvePoint, expected_classes_found, learning_curve_png

COUNTS = {"a": 4, "b": 2, "c": 1, "never": 0}


@pytest.mark.parametrize("draws", range(8))
def test_expectation_equals_the_mean_over_all_draws(draws: int) -> None:
    pool = list(Counter(COUNTS).elements())
    found = [len(set(drawn)) for drawn in itertools.combinations(pool, draws)]
    assert expected_classes_found(COUNTS, draws) == pytest.approx(sum(found) / len(found), abs=1e-12)


def test_expectation_is_exact_for_large_pools() -> None:
    counts = {"common": 1_900_000, "rare": 99_990, "single": 10}
    total, draws = sum(counts.values()), 5_000
    exact = sum(1 - comb(total - n, draws) / comb(total, draws) for n in (99_990, 10)) + 1
    assert expected_classes_found(counts, draws) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize(("counts", "draws"), [(COUNTS, 8), (COUNTS, -1), ({"a": -1, "b": 5}, 1), ({}, 1)])
def test_impossible_draws_are_refused(counts: dict[str, int], draws: int) -> None:
    with pytest.raises(ValueError, match=r"cannot be drawn|negative"):
        expected_classes_found(counts, draws)


def pixels(points: list[CurvePoint]) -> np.ndarray:
    image = Image.open(io.BytesIO(learning_curve_png(points)))
    assert (image.format, image.size) == ("PNG", (1280, 640))
    return np.asarray(image.convert("RGB")).astype(int)


def coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture - colour).sum(axis=2) < 30).sum())


BLUE, GREY = (31, 111, 235), (110, 119, 129)


def test_curve_shows_the_picks_and_the_random_draw_where_known() -> None:
    known = [CurvePoint(1, 40, 3, 2.1), CurvePoint(2, 80, 4, 2.8)]
    unknown = [CurvePoint(1, 40, 3), CurvePoint(2, 80, 4)]
    assert coloured(pixels(known), BLUE) > 1000
    assert coloured(pixels(unknown), BLUE) > 1000
    # The edges of letters are grey as well.
    assert coloured(pixels(known), GREY) - coloured(pixels(unknown), GREY) > 1000


def test_without_classes_the_labelled_images_are_drawn() -> None:
    low, high = [CurvePoint(1, 10), CurvePoint(2, 20)], [CurvePoint(1, 10), CurvePoint(2, 20, 5)]
    assert coloured(pixels(low), BLUE) > 1000
    assert learning_curve_png(low) == learning_curve_png(high)


def test_one_round_none_and_many() -> None:
    assert coloured(pixels([CurvePoint(1, 40, 3)]), BLUE) > 50
    empty = pixels([])
    assert coloured(empty, BLUE) == 0
    assert (empty < 128).any()
    assert coloured(pixels([CurvePoint(n, 40 * n, n) for n in range(1, 60)]), BLUE) > 1000


def test_order_of_points_does_not_matter_and_bytes_repeat() -> None:
    points = [CurvePoint(n, 40 * n, n, n / 2) for n in (1, 2, 3)]
    assert learning_curve_png(points) == learning_curve_png(points[::-1])
