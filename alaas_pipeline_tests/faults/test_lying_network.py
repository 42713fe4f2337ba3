"""A platform that lies, in schedules drawn from seeds: an independent checker finds nothing wrong.

A schedule that fails is printed with its story; its seed alone plays it again: `pytest -k "seed17-"`.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from alaas_pipeline_tests.faults.lying import Played, play, prepare
from alaas_pipeline_tests.faults.lying_checker import strays, violations
from alaas_pipeline_tests.faults.lying_schedule import Schedule, draw, kind, kinds, rule

SEEDS = range(300)
# Cheap ones that hold every kind of fault between them. The others run under the marker `faults`.
EVERY_DAY = (7, 12, 34, 35, 41, 55, 64, 71, 108, 120, 131, 145, 155, 199, 201, 204, 206, 207, 211, 213)
LONG_RUN = [seed for seed in SEEDS if seed not in EVERY_DAY]
MEMORY = Path("/dev/shm")
SUMMARY = "counted: lying network"


@pytest.fixture(scope="module")
def prepared() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="lying-", dir=MEMORY if MEMORY.is_dir() else None))
    yield prepare(root)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def played(prepared: Path, record_property: Callable[[str, object], None]) -> Iterator[Callable[[Schedule], Played]]:
    root = Path(tempfile.mkdtemp(prefix="lying-", dir=MEMORY if MEMORY.is_dir() else None))

    def run(schedule: Schedule) -> Played:
        result = play(schedule, root, prepared)
        record_property(SUMMARY, dict(counted(result)))
        return result

    yield run
    shutil.rmtree(root, ignore_errors=True)


def counted(played: Played) -> Counter[str]:
    """What a schedule held, for the summary of all."""
    counts = Counter({"schedules": 1, "pipelines": len(played.told), "crashes": played.crashes})
    for one in played.fired:
        counts[f"fired: {kind(one)}"] += one["fired"]
    for effect in played.effects:
        if effect["kind"].startswith("by_hand:"):
            counts[f"by hand: {effect['kind'].removeprefix('by_hand:')}"] += 1
    for state in played.ending.split(", "):
        counts[f"ended: {state}"] += 1
    return +counts


def check(played: Played) -> None:
    found = violations(played)
    assert not found, "\n".join([*found, "", played.story(), "", str(played.schedule)])


def test_every_day_holds_every_kind_of_fault() -> None:
    assert set().union(*(kinds(draw(seed)) for seed in EVERY_DAY)) == set().union(
        *(kinds(draw(seed)) for seed in SEEDS)
    )


@pytest.mark.parametrize("seed", EVERY_DAY, ids=lambda seed: f"seed{seed}-")
def test_what_a_lying_platform_does_is_put_right(seed: int, played: Callable[[Schedule], Played]) -> None:
    check(played(draw(seed)))


@pytest.mark.faults
@pytest.mark.parametrize("seed", LONG_RUN, ids=lambda seed: f"seed{seed}-")
def test_what_a_lying_platform_does_is_put_right_in_the_long_run(
    seed: int, played: Callable[[Schedule], Played]
) -> None:
    check(played(draw(seed)))


MISTAKES = {
    "blind": (Schedule(0, rules=(rule("clone", "cut", when="after"),)), "nothing in the schedule needs a person"),
    "unasked": (Schedule(0, policy="manual"), "nobody had accepted it"),
    "stubborn": (Schedule(0, rules=(rule("approve", "status", when="before", status=503),)), "sent again without a look"),
}  # fmt: skip


@pytest.mark.parametrize("plant", MISTAKES)
def test_a_mistake_is_found(plant: str, played: Callable[[Schedule], Played]) -> None:
    schedule, complaint = MISTAKES[plant]
    found = violations(played(replace(schedule, plant=plant)))
    assert any(complaint in one for one in found), found


def test_a_request_that_arrived_and_was_not_seen_to_leave_is_found() -> None:
    post = {"method": "POST", "path": "/api/v1/exports/"}
    left, answer = {"say": "sends", **post}, {"say": "request", "status": 201, **post}
    for arrived, wire in (([post, post], [left, answer]), ([], [left, answer])):
        (found,) = strays(Played(Schedule(0), requests=arrived, wire=wire), {})
        assert found == f"POST /api/v1/exports/: 1 left, 1 were answered and {len(arrived)} arrived"
    assert not list(strays(Played(Schedule(0), requests=[post], wire=[left, left, answer]), {}))


@pytest.mark.faults
@pytest.mark.parametrize("plant", MISTAKES)
def test_the_same_without_the_mistake_is_right(plant: str, played: Callable[[Schedule], Played]) -> None:
    check(played(MISTAKES[plant][0]))
