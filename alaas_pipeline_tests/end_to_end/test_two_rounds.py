"""The main job from beginning to end: real sandbox over HTTP, real encoder, real Dagster instance."""

import json

import polars as pl

from alaas_pipeline_tests.end_to_end.world import World, paint, pool_entry

CLASSES = {"cats": 8, "dogs": 7, "été chaud": 5}


def begin(world: World) -> None:
    paint(world.root / "photos", CLASSES)
    world.declare(pool_entry("Pets", str(world.root / "photos")))
    world.start_sandbox()


def test_two_rounds_land_and_the_books_balance(world: World) -> None:
    begin(world)
    with world.instance() as instance:
        world.land_rounds(instance, "pets", 2)
    pool = world.status("pets")
    first, second = pool["rounds"]
    assert not set(first["picked"]) & set(second["picked"])
    for entry in (first, second):
        assert (entry["uploaded"], entry["labelled"], entry["refused"], entry["pending"]) == (6, 6, 0, 0)
        assert entry["credits_spent"] == 10 + 25 * 6
    assert pool["credits"]["spent"] == 20 * 5 + 2 * 160
    assert pool["credits"]["reserved"] == 0
    assert pool["counts"] == {
        "total": 20,
        "selected": 12,
        "remaining": 8,
        "refused": 0,
        "duplicates": 0,
        "embedded": 20,
    }
    assert pool["money"] == {"USD": 0.6}
    for kind in ("finalise", "clone", "approve", "export"):
        assert len(world.sandbox.effects(kind)) == 2, kind
    current = json.loads((world.home.files / "pools/pets/training_set/current.json").read_text())
    table = pl.read_parquet(world.home.files / "pools/pets/training_set" / current["folder"] / "labels.parquet")
    assert table.height == 12
    assert all(file.split("/")[0] == label for file, label in zip(table["file"], table["label"], strict=True))


def test_materializing_everything_again_changes_and_costs_nothing(world: World) -> None:
    begin(world)
    with world.instance() as instance:
        world.land_rounds(instance, "pets", 1)
        before, effects = world.status("pets"), world.sandbox.effects()
        assert world.run(instance, "pets", "prepare_pool").success
        for stretch in ("prepare_round", "approve_round", "request_export", "land_round"):
            assert world.run(instance, "pets", stretch, "pets.r0001").success
    assert world.status("pets") == before
    assert world.sandbox.effects() == effects
