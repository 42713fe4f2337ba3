"""Another version of a round on the platform: this ledger was restored from an old copy, or a second one works on the pool."""

import pytest

from alaas_pipeline.avala.effects import NeedsPerson
from alaas_pipeline_tests.bench import OWNER, Bench


def test_a_dataset_of_the_same_round_with_other_images_stops_before_anything_is_sent(bench: Bench) -> None:
    key = bench.open_round()
    other = bench.planted_dataset(key, "other.png", name=f"alaas-{bench.pool}-r0001-0123456789ab")
    sent = len(bench.sent())
    with pytest.raises(NeedsPerson) as caught:
        bench.perform("dataset", key)
    told = str(caught.value)
    assert f"Avala holds '{other}', a version of this round with other images, which this ledger does not know" in told
    assert "alaas-pipeline reconcile" in told
    assert f"to give the round up: alaas-pipeline refuse {key}" in told
    assert (bench.state(key), len(bench.sent())) == ("needs_person", sent)


def test_unless_its_project_was_put_away(bench: Bench) -> None:
    key = bench.open_round()
    other = f"alaas-{bench.pool}-r0001-0123456789ab"
    bench.planted_dataset(key, "other.png", name=other)
    project = bench.sandbox.foreign_project(other, owner=OWNER)
    with pytest.raises(NeedsPerson):
        bench.perform("dataset", key)
    bench.sandbox.set_status(project["uid"], "canceled")
    bench.perform("dataset", key)
    assert bench.state(key) == "uploaded"


def test_other_rounds_and_pools_with_like_names_do_not_count(bench: Bench) -> None:
    key = bench.open_round()
    for name in (
        f"alaas-{bench.pool}-r0002-0123456789ab",
        f"alaas-{bench.pool}x-r0001-0123456789ab",
        f"x-alaas-{bench.pool}-r0001-0",
    ):
        bench.sandbox.foreign_project(name, owner=OWNER)
    bench.sandbox.foreign_project(f"alaas-{bench.pool}-r0001-0123456789ab", owner="somebody-else")
    bench.perform("dataset", key)
    assert bench.state(key) == "uploaded"
