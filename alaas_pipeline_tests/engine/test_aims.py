"""Aims beside a strategy: what must be picked, caps, and a least distance."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alaas_pipeline.engine.aims import Aims, Cap
from alaas_pipeline.engine.select import PoolExhausted, select
from alaas_pipeline_tests.builders import STEADY
from alaas_pipeline_tests.engine.contract import every_strategy, everything

COUNT = 300
IDS = [f"image {number:03d}" for number in range(COUNT)]
VECTORS = np.random.default_rng(3).standard_normal((COUNT, 24)).astype(np.float32)
CAMERA = {name: f"camera {number % 7}" for number, name in enumerate(IDS) if number % 5}


@every_strategy
def test_what_must_be_picked_comes_first_and_counts(strategy: str) -> None:
    must = ["image 200", "image 007"]
    found = select(IDS, VECTORS, 10, strategy=strategy, aims=Aims(must=must))
    assert [pick.id for pick in found.representatives[:2]] == must
    assert [pick.kind for pick in found.representatives] == ["must"] * 2 + ["representative"] * 8
    assert found.representatives[0].reason.startswith("It was asked for. Newly represents ")
    assert found.representatives[0].gain > 0
    assert len(set(everything(found))) == len(everything(found))
    again = select(IDS, VECTORS, 10, strategy=strategy, selected=everything(found), aims=Aims(must=must))
    assert {pick.kind for pick in again.representatives} == {"representative"}
    assert [pick.id for pick in select(IDS, VECTORS, 1, aims=Aims(must=must)).representatives] == must[:1]


def test_the_others_know_of_what_must_be_picked() -> None:
    (first,) = select(IDS, VECTORS, 1).representatives
    beside = select(IDS, VECTORS, 2, aims=Aims(must=[first.id])).representatives
    assert beside[0].id == first.id
    assert beside[1].nearest == first.id
    assert beside[1].id == select(IDS, VECTORS, 1, selected=[first.id]).representatives[0].id


@every_strategy
def test_no_value_is_picked_more_often_than_its_cap(strategy: str) -> None:
    found = select(IDS, VECTORS, 30, strategy=strategy, aims=Aims(caps=[Cap(CAMERA, 2)]))
    picked = everything(found)
    assert len(found.representatives) == 30
    assert max(Counter(CAMERA[name] for name in picked if name in CAMERA).values()) <= 2
    # Every fifth image has no camera, and no cap.
    assert sum(name not in CAMERA for name in picked) >= 30 - 2 * 7


def test_a_cap_may_count_what_was_selected_before() -> None:
    first = everything(select(IDS, VECTORS, 14, aims=Aims(caps=[Cap(CAMERA, 1)])))
    for ever, most in ((False, 2), (True, 1)):
        aims = Aims(caps=[Cap(CAMERA, 1, ever=ever)])
        both = first + everything(select(IDS, VECTORS, 14, selected=first, aims=aims))
        assert max(Counter(CAMERA[name] for name in both if name in CAMERA).values()) <= most


@every_strategy
def test_no_two_picks_are_nearer_than_the_least_distance(strategy: str) -> None:
    earlier = IDS[:5]
    found = select(IDS, VECTORS, COUNT, strategy=strategy, selected=earlier, aims=Aims(min_distance=1.2))
    assert 5 < len(everything(found)) < COUNT - 5
    assert all(pick.distance is not None and pick.distance >= 1.2 for pick in [*found.representatives, *found.outliers])
    with pytest.raises(PoolExhausted, match="the aims rule out all of"):
        select(IDS, VECTORS, 5, selected=[*earlier, *everything(found)], aims=Aims(min_distance=1.2))


def test_copies_are_capped_too() -> None:
    ids, vectors = [*IDS[:4], "copy a", "copy b"], np.concatenate([VECTORS[:4], VECTORS[:1], VECTORS[:1]])
    value = {name: "one" if name in (IDS[0], "copy a", "copy b") else name for name in ids}
    found = everything(select(ids, vectors, 6, aims=Aims(caps=[Cap(value, 2)])))
    assert len(found) == 5
    assert sum(value[name] == "one" for name in found) == 2


@pytest.mark.parametrize(
    ("aims", "excluded", "told"),
    [
        (Aims(must=["nobody"]), (), r"must be picked but have no vector: nobody"),
        (Aims(must=["image 001"]), ("image 001",), r"must be picked and are excluded at once: image 001"),
    ],
)
def test_contrary_aims_are_refused(aims: Aims, excluded: tuple[str, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        select(IDS, VECTORS, 5, excluded=excluded, aims=aims)


def test_impossible_aims_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one pick"):
        Aims(caps=[Cap({}, 0)])
    with pytest.raises(ValueError, match=r"between 0 and 2, not at 2\.5"):
        Aims(min_distance=2.5)


def test_without_aims_nothing_is_different() -> None:
    plain = select(IDS, VECTORS, 20, strategy="explore")
    assert select(IDS, VECTORS, 20, strategy="explore", aims=Aims()) == plain
    assert select(IDS, VECTORS, 20, strategy="explore", aims=Aims(must=IDS[:3]), selected=IDS[:3]) == select(
        IDS, VECTORS, 20, strategy="explore", selected=IDS[:3]
    )


@given(st.permutations(range(40)), st.integers(1, 3), st.integers(1, 40))
@settings(STEADY, max_examples=25)
def test_the_order_of_the_rows_does_not_matter(order: list[int], most: int, k: int) -> None:
    aims = Aims(must=["image 011"], caps=[Cap(CAMERA, most)], min_distance=0.5)
    plain = everything(select(IDS[:40], VECTORS[:40], k, aims=aims))
    assert everything(select([IDS[row] for row in order], VECTORS[:40][order], k, aims=aims)) == plain
