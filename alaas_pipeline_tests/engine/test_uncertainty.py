"""What labels say of the images without one, and which way they lean the next picks."""

import numpy as np
import pytest

from alaas_pipeline.engine import geometry, uncertainty
from alaas_pipeline.engine.select import select
from alaas_pipeline_tests.engine.pools import names


def clumps(sizes: list[int], apart: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Clumps of points around the corners of a simplex, and the number of each point's clump."""
    draw = np.random.default_rng(5)
    member = np.repeat(np.arange(len(sizes)), sizes)
    return apart * np.eye(len(sizes), 16)[member] + 0.12 * draw.standard_normal((len(member), 16)), member


def spread(vectors: np.ndarray, labels: dict[int, str]) -> uncertainty.Posterior | None:
    space = geometry.fit(vectors, np.arange(len(vectors)))
    return uncertainty.posterior(space, np.arange(len(vectors)), labels)


def test_labels_spread_over_their_clump() -> None:
    vectors, member = clumps([60, 60, 60])
    rows = [row for clump in range(3) for row in range(60 * clump, 60 * clump + 4)]
    told = spread(vectors, {row: f"class {member[row]}" for row in rows})
    assert told is not None
    assert told.classes == ["class 0", "class 1", "class 2"]
    assert np.allclose(told.odds.sum(axis=1), 1, atol=1e-5)
    assert (told.odds.argmax(axis=1) == member).mean() > 0.98
    assert told.odds[rows].max(axis=1).tolist() == [1.0] * len(rows)


@pytest.mark.parametrize("labels", [{}, dict.fromkeys(range(30), "one"), {row: f"{row % 2}" for row in range(9)}])
def test_too_little_says_nothing(labels: dict[int, str]) -> None:
    assert spread(clumps([30, 30])[0], labels) is None


def test_rare_classes_and_open_questions_weigh_more() -> None:
    vectors, _member = clumps([200, 20])
    vectors = np.vstack(
        [vectors, np.eye(2, 16).mean(axis=0) + 0.05 * np.random.default_rng(1).standard_normal((20, 16))]
    )
    told = spread(vectors, dict.fromkeys(range(10), "common") | dict.fromkeys(range(200, 205), "rare"))
    assert told is not None
    weights = told.weights(np.arange(240))
    common, rare, between = weights[10:200], weights[205:220], weights[220:]
    assert np.median(rare) > 1.5 * np.median(common)
    assert np.median(between) > np.median(common)
    assert weights.min() >= 1 / 16
    assert weights.max() <= 16


def test_places_that_no_label_reaches_and_many_classes_are_no_trouble() -> None:
    vectors, _ = clumps([40, 40, 40], apart=50.0)
    told = spread(vectors, {row: f"class {row}" for row in range(20)})
    assert told is not None
    assert np.isfinite(told.odds).all()
    assert told.odds[100] == pytest.approx(np.full(20, 1 / 20), abs=0.03)


def test_copies_are_no_trouble() -> None:
    vectors = np.repeat(np.eye(2, 8), 40, axis=0)
    told = spread(vectors, {0: "a", 1: "a", **dict.fromkeys(range(41, 51), "b")})
    assert told is not None
    assert np.isfinite(told.weights(np.arange(80))).all()


def test_adaptive_finds_more_of_what_is_rare_and_says_what_it_looks_like() -> None:
    vectors, member = clumps([300, 300, 12])
    ids = names(len(vectors))
    first = [ids[row] for row in (*range(12), *range(300, 312), *range(600, 602))]
    labels = {name: f"class {member[int(name[-5:])]}" for name in first}
    found = {
        strategy: select(ids, vectors, 12, strategy=strategy, selected=first, labels=labels).representatives
        for strategy in ("coverage", "adaptive")
    }
    rare = {strategy: sum(member[int(pick.id[-5:])] == 2 for pick in picks) for strategy, picks in found.items()}
    assert rare["adaptive"] > rare["coverage"]
    assert any("so far it looks like 'class 2'" in pick.reason for pick in found["adaptive"])
    assert all("so far" not in pick.reason for pick in found["coverage"])


def test_adaptive_is_coverage_while_labels_are_few() -> None:
    vectors, _ = clumps([50, 50])
    ids = names(100)
    labels = {ids[row]: f"class {row // 50}" for row in (0, 1, 50, 51)}
    adaptive = select(ids, vectors, 10, strategy="adaptive", labels=labels)
    assert adaptive == select(ids, vectors, 10, selected=list(labels))
