"""Nothing that belongs together stands on two sides, and what has a side keeps it."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from alaas_pipeline.labels.training.rows import TrainingRow
from alaas_pipeline.labels.training.split import components, split_of, without_neighbours_of_tests
from alaas_pipeline_tests.builders import STEADY


def image(name: str, near: str = "", *groups: str, landed: int = 0, test: bool = False) -> TrainingRow:
    return TrainingRow(name, f"{name}.jpg", (), None, None, "cats.r0001", near or name, groups, landed, test)


def sides(rows: list[TrainingRow], share: float = 0.5) -> dict[str, str]:
    """Digest -> side, as a version has it."""
    component = components(rows)
    kept, _ = without_neighbours_of_tests(rows, component)
    return {row.digest: "test" if row.test else split_of(component[row.digest], share) for row in kept}


def bundles(rows: Iterable[TrainingRow]) -> list[set[str]]:
    """The same components, found without a union-find: bundles that share a link are poured together until none do."""
    found = [({row.digest}, {f"near {row.near}", *(f"group {name}" for name in row.groups)}) for row in rows]
    while pair := next(((a, b) for a, b in combinations(found, 2) if a[1] & b[1]), None):
        found = [one for one in found if one not in pair] + [(pair[0][0] | pair[1][0], pair[0][1] | pair[1][1])]
    return [members for members, _ in found]


@st.composite
def pools(draw: st.DrawFn) -> list[TrainingRow]:
    """Images with near duplicates and groups that cross, in rounds of random sizes; some are of a test set."""
    names = [f"{number:02x}" for number in draw(st.permutations(range(draw(st.integers(1, 24)))))]
    leaders = draw(st.lists(st.sampled_from(names), min_size=1, max_size=6))
    made = []
    for name in names:
        near = draw(st.sampled_from(leaders)) if name not in leaders and draw(st.booleans()) else ""
        groups = draw(st.lists(st.sampled_from(["A", "B", "C", "D", "E"]), max_size=2, unique=True))
        lot = draw(st.integers(0, 4))
        made.append(image(name, near, *(groups if draw(st.booleans()) else ()), landed=lot))
    return made


@settings(STEADY, max_examples=60)
@given(pool=pools(), tested=st.sets(st.integers(0, 23), max_size=3))
def test_no_component_is_ever_on_two_sides_whatever_lands(pool: list[TrainingRow], tested: set[int]) -> None:
    pool = [replace(row, test=place in tested) for place, row in enumerate(pool)]
    for last in range(5):
        landed = [row for row in pool if row.landed <= last]
        found, component = sides(landed), components(landed)
        _, left_out = without_neighbours_of_tests(landed, component)
        assert sorted([*found, *(one.digest for one in left_out)]) == sorted(row.digest for row in landed)
        for members in bundles(landed):
            assert len({component[one] for one in members}) == 1
            assert len({found[one] for one in members & found.keys()}) <= 1
            has_test = any(row.test for row in landed if row.digest in members)
            assert (members <= found.keys()) == (not has_test or all(found.get(one) == "test" for one in members))
        assert len(set(component.values())) == len(bundles(landed))


@settings(STEADY, max_examples=60)
@given(pool=pools())
def test_a_side_changes_only_by_joining_something_older(pool: list[TrainingRow]) -> None:
    for last in range(4):
        early = [row for row in pool if row.landed <= last]
        late = [row for row in pool if row.landed <= last + 1]
        before, after, old = components(early), components(late), bundles(early)
        for members in bundles(late):
            joined = [one for one in old if one <= members]
            if not joined:
                continue
            # The merged component goes on as the oldest of those that it was made of.
            rank = {row.digest: (row.landed, row.digest) for row in early}
            eldest = min((before[next(iter(one))] for one in joined), key=lambda digest: rank[digest])
            assert {after[one] for one in members} == {eldest}


def test_two_components_that_merge_go_on_as_the_older_one() -> None:
    older = [image("f1", "", "drive 1"), image("f2", "", "drive 1")]
    newer = [image("01", "", "drive 2", landed=1), image("02", "", "drive 2", landed=1)]
    apart = components([*older, *newer])
    assert apart == {"f1": "f1", "f2": "f1", "01": "01", "02": "01"}
    bridge = image("00", "", "drive 1", "drive 2", landed=2)
    assert set(components([bridge, *newer, *older]).values()) == {"f1"}


def test_links_through_an_image_that_has_no_label_count() -> None:
    assert components([image("a", "leader"), image("b", "leader")]) == {"a": "a", "b": "a"}
    # A group that is called like a digest is no near duplicate of it.
    assert components([image("a"), image("b", "", "a")]) == {"a": "a", "b": "b"}


def test_what_hangs_together_with_a_test_image_is_left_out_with_the_reason() -> None:
    rows = [
        image("t", "n", "drive 1", test=True),
        image("a", "n"),
        image("b", "", "drive 1", "drive 2"),
        image("c", "", "drive 2"),
        image("d"),
    ]
    kept, left_out = without_neighbours_of_tests(rows, components(rows))
    assert [row.digest for row in kept] == ["t", "d"]
    assert {one.digest: one.reason for one in left_out} == {
        "a": "near duplicate of test image t.jpg",
        "b": "same group as a test image: drive 1, t.jpg",
        "c": "linked with test image t.jpg by near duplicates and groups in between",
    }
