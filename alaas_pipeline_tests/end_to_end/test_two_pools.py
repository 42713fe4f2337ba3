"""Two strangers' folders at once: names of every kind, a sandbox that goes away in mid-round, annotators who refuse or wait."""

from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import numpy as np
import polars as pl
from PIL import Image

from alaas_pipeline.automation.steps import Step, Wait
from alaas_pipeline.avala.connect import connect
from alaas_pipeline.avala.writes import AvalaWrites, ProjectAction
from alaas_pipeline_tests.end_to_end.world import World, failure, pool_entry, verdict
from alaas_pipeline_tests.sandbox_process import NO_TLS

QUICK = {"creating_reads": 0, "export_reads": 0}


def put(folder: Path, names: list[str], seed: int) -> None:
    """Put one picture under each of these names, no two alike."""
    random = np.random.default_rng(seed)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 56, 3), np.uint8)).save(path)


def step(world: World, instance: dg.DagsterInstance, pool: str, stretch: str, key: str) -> dg.ExecuteInProcessResult:
    result = world.run(instance, pool, stretch, key)
    assert result.success, failure(result)
    return result


def state(world: World, pool: str) -> tuple[str, str]:
    last = world.status(pool)["rounds"][-1]
    return last["state"], last["note"] or ""


def test_two_pools_with_odd_names_land_though_the_sandbox_goes_away_twice(world: World) -> None:
    german, cats = "Straßen Katzen", "猫"
    put(world.root / "Straßen Bilder", ["graue Katze/Bild 1.png", "graue Katze/Bild ü.png", "weiße Katze/b\nc.png"], 1)
    put(world.root / "猫 写真", ["三毛/ねこ 1.jpg", "三毛/ねこ\n2.jpg", "黒 noir/l'été 🐈.jpg"], 2)
    world.declare(
        pool_entry(german, "Straßen Bilder", images_per_round=3), pool_entry(cats, "猫 写真", images_per_round=3)
    )
    world.start_sandbox(**QUICK)
    keys = [world.pool(name).key for name in (german, cats)]
    assert keys[0] == "straen_katzen"
    with world.instance() as instance:
        for pool in keys:
            assert world.run(instance, pool, "prepare_pool").success
            step(world, instance, pool, "prepare_round", world.open_round(pool))
        world.sandbox.restart(port=0)
        for pool in keys:
            step(world, instance, pool, "approve_round", f"{pool}.r0001")
        world.sandbox.kill()
        world.sandbox.restart(port=0)
        for pool in keys:
            world.land_rounds(instance, pool, 1)
    for kind in ("finalise", "clone", "approve", "export"):
        assert len(world.sandbox.effects(kind)) == 2, kind
    assert labels(world, keys[0]) == {
        "graue Katze/Bild 1.png": "graue Katze",
        "graue Katze/Bild ü.png": "graue Katze",
        "weiße Katze/b\nc.png": "weiße Katze",
    }
    assert labels(world, keys[1]) == {
        "三毛/ねこ 1.jpg": "三毛",
        "三毛/ねこ\n2.jpg": "三毛",
        "黒 noir/l'été 🐈.jpg": "黒 noir",
    }


def labels(world: World, pool: str) -> dict[str, str]:
    (folder,) = (world.home.files / f"pools/{pool}/training_set").glob("*/labels.parquet")
    table = pl.read_parquet(folder)
    return dict(zip(table["file"], table["label"], strict=True))


def test_rounds_wait_visibly_for_people_and_every_image_is_accounted_for(world: World) -> None:
    put(world.root / "open", [f"{number}.png" for number in range(6)], 3)
    put(world.root / "known", [f"{kind}/{number}.png" for kind in ("ja", "nein") for number in range(5)], 4)
    world.declare(
        pool_entry("Open", str(world.root / "open"), images_per_round=3),
        pool_entry("Known", str(world.root / "known"), images_per_round=6),
    )
    world.start_sandbox(refusal_rate=0.5, **QUICK)
    with world.instance() as instance:
        for pool in ("open", "known"):
            assert world.run(instance, pool, "prepare_pool").success
        first = world.open_round("open")
        for stretch in ("prepare_round", "approve_round"):
            step(world, instance, "open", stretch, first)

        waiting = step(world, instance, "open", "request_export", first)
        passed, says = verdict(waiting, "project_is_complete")
        assert not passed
        assert (says["state"], says["tasks_completed"], says["tasks_total"]) == ("approved", 0, 3)
        assert world.sandbox.effects("export") == []

        act(world, "open", "pause")
        assert isinstance(world.next_step("open"), Wait)
        assert state(world, "open")[0] == "paused"
        paused = step(world, instance, "open", "request_export", first)
        assert verdict(paused, "project_is_complete")[1]["state"] == "paused"
        act(world, "open", "resume")
        wait = world.next_step("open")
        assert isinstance(wait, Wait)
        assert "0 of 3 tasks are done" in wait.why
        assert state(world, "open")[0] == "approved"

        answer_by_hand(world, world.status("open")["rounds"][0]["project_uid"])
        assert world.next_step("open") == Step("request_export", first, "attempt 1")
        world.land_rounds(instance, "open", 1)
        assert set(labels(world, "open").values()) == {"cat"}

        second = world.open_round("open")
        for stretch in ("prepare_round", "approve_round"):
            step(world, instance, "open", stretch, second)
        act(world, "open", "cancel")
        assert isinstance(world.next_step("open"), Wait)
        assert state(world, "open") == ("canceled", "the project is canceled on Avala; 0 of 3 tasks are done")
        canceled = step(world, instance, "open", "request_export", second)
        assert verdict(canceled, "project_is_complete")[1]["state"] == "canceled"
        step(world, instance, "open", "land_round", second)
        assert len(world.sandbox.effects("export")) == 1

        world.land_rounds(instance, "known", 1)
        landed = step(world, instance, "known", "land_round", "known.r0001")
        assert verdict(landed, "books_balance")[0]
        (mark,) = [
            event.step_materialization_data.materialization.metadata
            for event in landed.get_asset_materialization_events()
            if event.asset_key and event.asset_key.path[-1] == "labels"
        ]
    entry = world.status("known")["rounds"][0]
    tasks = everything(world, entry["project_uid"])
    refused = sum(task["refusal_reason"] is not None for task in tasks)
    assert 0 < refused < 6
    assert (entry["refused"], entry["labelled"], entry["pending"]) == (refused, 6 - refused, 0)
    rows: Any = mark["without_label"].value
    reasons = [record.data["reason"] for record in rows.records]
    assert reasons == ["image unusable"] * refused


def act(world: World, pool: str, action: ProjectAction) -> None:
    """Do on the platform what a person does in its web pages."""
    with connect(world.pool(pool), world.home) as client:
        AvalaWrites(client).change_status(world.status(pool)["rounds"][-1]["project_uid"], action)


def everything(world: World, project: str) -> list[dict[str, Any]]:
    found = httpx.get(world.sandbox.admin_url(f"projects/{project}/tasks"), verify=NO_TLS)
    return found.raise_for_status().json()["tasks"]


def answer_by_hand(world: World, project: str) -> None:
    for task in everything(world, project):
        url = world.sandbox.admin_url(f"projects/{project}/tasks/{task['uid']}/answer")
        httpx.post(url, json={"label": "cat"}, verify=NO_TLS).raise_for_status()
