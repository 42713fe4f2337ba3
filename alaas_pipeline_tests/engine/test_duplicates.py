import numpy as np
import pytest

from alaas_pipeline.engine.duplicates import near_duplicates
from alaas_pipeline.engine.select import select
from alaas_pipeline_tests.engine.pools import names, unit


def at_angles(*cosines: float) -> np.ndarray:
    """Unit vectors in a plane, each with the given cosine to the first axis."""
    return np.array([[c, np.sqrt(1 - c * c)] for c in cosines], np.float32)


def test_groups_form_around_the_first_digest() -> None:
    assert near_duplicates(["b", "a", "c"], at_angles(1.0, 0.99, 0.5)) == {"a": "a", "b": "a", "c": "c"}


def test_a_chain_of_small_steps_is_not_one_group() -> None:
    angles = np.arange(0, 0.9, 0.1)
    frames = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    groups = near_duplicates(names(9), frames, threshold=0.98)  # within 0.2 of the leader
    assert len(set(groups.values())) == 3
    for digest, leader in groups.items():
        assert frames[int(digest[-5:])] @ frames[int(leader[-5:])] > 0.979


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(60, 3)))
    expected = near_duplicates(names(60), vectors, 0.95)
    assert 5 < len(set(expected.values())) < 55
    order = rng.permutation(60)
    assert near_duplicates([names(60)[i] for i in order], vectors[order], 0.95) == expected


def test_thousands_of_copies_in_bounded_blocks() -> None:
    vectors = np.vstack([np.ones((5000, 8)), np.eye(8)])
    groups = near_duplicates(names(5008), vectors, threshold=1.0)
    assert len(set(groups.values())) == 9
    assert list(groups.values()).count("image-00000") == 5000


def test_a_planted_burst_yields_one_pick() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(200, 24))
    vectors[50:100] = vectors[50] + 0.01 * rng.normal(size=(50, 24))
    vectors = unit(vectors)
    assert len(set(near_duplicates(names(200)[50:100], vectors[50:100]).values())) == 1
    picked = [int(pick.id[-5:]) for pick in select(names(200), vectors, 40).representatives]
    assert sum(50 <= row < 100 for row in picked) == 1


def test_bad_arguments_are_refused() -> None:
    assert near_duplicates([], np.empty((0, 4))) == {}
    for threshold in (0, 1.1):
        with pytest.raises(ValueError, match="threshold"):
            near_duplicates(["a"], at_angles(1), threshold)
    with pytest.raises(ValueError, match="2 digests"):
        near_duplicates(["a", "b"], at_angles(1))
