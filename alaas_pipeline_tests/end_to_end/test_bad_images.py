"""A folder full of files that make trouble: listed with reasons, never picked, and what is sent is what was there."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from alaas_pipeline.automation.steps import Wait
from alaas_pipeline.avala.connect import connect
from alaas_pipeline_tests.end_to_end.world import World, failure, paint, pool_entry, verdict
from alaas_pipeline_tests.engine.nasty import animation, photo, png, saved, turned
from alaas_pipeline_tests.sandbox_process import NO_TLS


def trouble(folder: Path) -> dict[str, str]:
    """Write files that cannot be picked; path -> a word of the reason."""
    whole = saved(photo(), "PNG")
    files = {
        "zero.jpg": (b"", "empty"),
        "cut short.png": (whole[: len(whole) // 2], "ends before the picture does"),
        "letter.jpg": (b"Dear annotator, this is no image.", "not an image"),
        "animation.gif": (animation(), "gif"),
        "bomb.png": (png(30000, 30000), "pixels"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    return {name: reason for name, (_, reason) in files.items()}


def test_bad_files_are_listed_never_picked_and_good_bytes_are_sent_unchanged(world: World) -> None:
    photos = world.root / "photos"
    paint(photos, {"cats": 3})
    refusals = trouble(photos)
    (photos / "cats" / "turned.jpg").write_bytes(turned("JPEG", 6))
    deep = np.linspace(0, 4095, 64 * 48).reshape(48, 64).astype(np.uint16)
    Image.fromarray(deep).save(photos / "cats" / "twelve bits.png")
    twin = photos / "cats" / "twin of photo 0.png"
    twin.write_bytes((photos / "cats" / "photo 0.png").read_bytes())
    good = {"cats/photo 0.png", "cats/photo 1.png", "cats/photo 2.png", "cats/turned.jpg", "cats/twelve bits.png"}

    world.declare(pool_entry("Pets", str(photos), images_per_round=4))
    world.start_sandbox(creating_reads=0, export_reads=0)
    with world.instance() as instance:
        looked = world.run(instance, "pets", "prepare_pool")
        assert looked.success, failure(looked)
        assert verdict(looked, "vectors_are_sound")[0]
        (mark,) = [
            event.step_materialization_data.materialization.metadata
            for event in looked.get_asset_materialization_events()
            if event.asset_key and event.asset_key.path[-1] == "images"
        ]
        listed = {row["path"]: row["reason"] for row in records(mark["refused_files"])}
        assert listed.keys() == refusals.keys()
        for name, word in refusals.items():
            assert word in listed[name].lower(), name
        assert records(mark["duplicate_files"]) == [
            {"path": "cats/twin of photo 0.png", "same_bytes_as": "cats/photo 0.png"}
        ]

        world.land_rounds(instance, "pets", 2)
        pool = world.status("pets")
        first, second = (set(entry["picked"]) for entry in pool["rounds"])
        assert (len(first), len(second)) == (4, 1)
        assert first | second == good
        assert (pool["counts"]["remaining"], pool["counts"]["refused"], pool["counts"]["duplicates"]) == (0, 5, 1)
        end = world.next_step("pets")
        assert len(world.status("pets")["rounds"]) == 2
        assert isinstance(end, Wait)

        sent = uploaded(world)
    assert sent == {hashlib.sha256((photos / name).read_bytes()).hexdigest() for name in good}


def records(table: Any) -> list[dict[str, Any]]:
    return [record.data for record in table.value.records]


def uploaded(world: World) -> set[str]:
    """Digests of what the platform holds, read back from it."""
    found = set()
    with connect(world.pool("pets"), world.home) as client:
        for entry in world.status("pets")["rounds"]:
            dataset = client.dataset(entry["dataset_uid"])
            for item in client.dataset_items("sandbox-team", dataset.slug or ""):
                assert item.url is not None
                data = httpx.get(item.url.get_secret_value(), verify=NO_TLS).raise_for_status().content
                found.add(hashlib.sha256(data).hexdigest())
    return found
