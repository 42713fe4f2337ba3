"""Killed at every request and every commit, and started again without help: everything is bought once and the books balance."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from alaas_pipeline_tests.faults.points import (
    Case,
    Chain,
    Point,
    cases_of,
    chains,
    counted,
)
from alaas_pipeline_tests.faults.sweep import Swept, attempt, storm

# The points of three rounds with two images each, as last counted. More is welcome; fewer means that the sweep lost sight of some.
RECORDED = {
    "POST /api/v1/datasets/manual-upload/": 3,
    "POST /api/v1/datasets/manual-upload/file-upload-url/": 6,
    "POST /api/v1/datasets/manual-upload/uploads/{uid}/complete/": 6,
    "POST /api/v1/exports/": 3,
    "POST /api/v1/projects/create-from-existing/": 3,
    "POST /api/v1/projects/{uid}/approve/": 3,
    "PUT /_storage/uploads/{uid}": 6,
    "commit": 75,
}
PARTS = 24
# Parts that together kill in every kind of place. Everyday tests take the places where most can go wrong: a request that comes true after the
# next process has begun, and one that is done and of which nothing is written. A kill after a commit uses up a point of its round, of which
# there are three.
SOME = (
    ("late", "uncommitted"),
    pytest.param(("processed", "committed"), marks=pytest.mark.faults),
    pytest.param(("unsent", "before"), marks=pytest.mark.faults),
    pytest.param(("made", "logged"), marks=pytest.mark.faults),
)


def try_all(swept: Swept, tried: Sequence[Chain]) -> None:
    wrong = []
    for chain in tried:
        if found := attempt(swept.installation, chain):
            # Which of the kills it was, each tried alone, if it was one of them.
            alone = {case: attempt(swept.installation, (case,)) for case in chain}
            wrong += [*map(str, chain), *found, *(f"alone: {case}: {why}" for case, why in alone.items() if why), ""]
    assert not wrong, "\n".join(wrong)


def last(points: list[Point], what: str, kind: str) -> Point:
    return [point for point in points if point.what == what and point.kind.endswith(kind)][-1]


def test_nothing_that_leaves_escapes_notice(swept: Swept) -> None:
    assert swept.violations == []
    assert Counter(swept.sent) == Counter((effect["method"], effect["path"]) for effect in swept.effects)
    assert Counter(swept.sent) == Counter((request["method"], request["path"]) for request in swept.requests)


def test_the_points_do_not_become_fewer(swept: Swept, record_property: Callable[[str, object], None]) -> None:
    found = counted(swept.points)
    record_property("shown", f"effect points: {len(swept.points)}, in all places {len(cases_of(swept.points))} cases")
    assert {kind: found.get(kind, 0) for kind, before in RECORDED.items() if found.get(kind, 0) < before} == {}


def test_chains_leave_no_case_out(swept: Swept) -> None:
    cases = cases_of(swept.points)
    together = chains(cases)
    assert Counter(case for chain in together for case in chain) == Counter(cases)
    assert all(before.point.era < after.point.era for chain in together for before, after in pairwise(chain))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("places", SOME, ids=" ".join)
def test_every_kind_of_kill(
    swept: Swept, places: tuple[str, ...], record_property: Callable[[str, object], None]
) -> None:
    killed, wrong = storm(swept.installation, places)
    record_property("shown", f"killed and started again {len(killed)} times: {', '.join(places)}")
    assert not wrong, "\n".join([*map(str, killed), *wrong])
    known = {(point.kind, place) for point in swept.points for place in point.places if place in places}
    assert known - {(case.point.kind, case.place) for case in killed} == set()


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_kill(swept: Swept, part: int) -> None:
    try_all(swept, chains(cases_of(swept.points))[part::PARTS])


def test_a_pipeline_that_does_not_look_before_it_acts_is_found_out(swept: Swept) -> None:
    case = Case(last(swept.points, "request", "/create-from-existing/"), "uncommitted")
    assert "4 times clone for 3 rounds" in attempt(swept.installation, (case,), "careless")


def test_a_pipeline_that_keeps_its_reservations_is_found_out(swept: Swept) -> None:
    case = Case(last(swept.points, "commit", "._pick"), "before")
    assert "credits are still reserved" in "; ".join(attempt(swept.installation, (case,), "hoarding"))
