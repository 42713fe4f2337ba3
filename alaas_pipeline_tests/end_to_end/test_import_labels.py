"""`alaas-pipeline import-labels`, from files and from a dataset that was labelled on Avala before the pool."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.avala.connect import connect
from alaas_pipeline.avala.writes import AvalaWrites
from alaas_pipeline.ledger import images, imports, journal, landing
from alaas_pipeline.sources import FolderSource
from alaas_pipeline_tests.end_to_end.test_cli import command, refused
from alaas_pipeline_tests.end_to_end.world import World, paint, pool_entry
from alaas_pipeline_tests.sandbox_process import TEMPLATE_UID

EXPORT = "/api/v1/exports/"


@pytest.fixture
def pets(world: World) -> World:
    """A pool whose images are scanned."""
    paint(world.root / "photos", {"cats": 3, "dogs": 2})
    world.declare(pool_entry("Pets", str(world.root / "photos"), approval={"policy": "manual"}))
    world.service.scan(world.pool("pets"), FolderSource(world.root / "photos"))
    return world


@pytest.fixture
def labelled(pets: World) -> str:
    """A dataset of three of the pool's images and one other, which annotators have finished."""
    pets.start_sandbox(creating_reads=0)
    with connect(pets.pool("pets"), pets.home) as client:
        writes, batch = AvalaWrites(client), str(uuid.uuid4())
        paint(pets.root / "other", {"birds": 4}, seed=7)
        for folder, path in [
            ("photos", "cats/photo 0.png"), ("photos", "cats/photo 1.png"), ("photos", "dogs/photo 0.png"), ("other", "birds/photo 3.png"),
        ]:  # fmt: skip
            data = (pets.root / folder / path).read_bytes()
            slot = writes.presign("old", path, len(data), batch)
            writes.send_file(slot, data, path, "image/png")
            writes.complete_upload(slot.upload_uid)  # type: ignore[union-attr]
        dataset = writes.finalise("old", "old", "image", batch)
        project = writes.clone(TEMPLATE_UID, "old", dataset.uid)
        writes.approve(project.uid)
        pets.sandbox.finish(project.uid)
    return dataset.uid


def labels_of(pets: World, key: str) -> dict[str, list[str]]:
    with pets.service.ledger.transaction() as tx:
        return {row["image_id"]: row["labels"] for row in landing.current(tx, key)}


def table(pets: World, *lines: str) -> str:
    path = pets.root / "labels.csv"
    path.write_text("\n".join(["image,label", *lines]))
    return str(path)


def test_a_table_is_tried_imported_and_not_imported_twice(pets: World) -> None:
    path = table(
        pets, "cats/photo 0.png,cat", "dogs/photo 1.png,dog", "photo 0.png,cat", "photo 9.png,cat", "photo 8.png,cat"
    )
    tried = command("import-labels", "Pets", path, "--dry-run")
    assert tried.stdout == (
        "Dry run: labels.csv has 5 records = 2 landed + 3 set aside.\n"
        "They would count as labelled: never picked again.\n"
        "  2 set aside: no image of this name is in the pool (first: photo 9.png)\n"
        "  1 set aside: 2 images of the pool fit its name; give the path in the source (first: photo 0.png)\n"
    )
    done = command("import-labels", "pets", path, "--by", "Ada")
    assert done.stdout.startswith(
        "pets.i0001: labels.csv has 5 records = 2 landed + 3 set aside.\nWhat landed counts as labelled: never picked again.\n"
    )
    again = command("import-labels", "pets", path)
    assert (again.exit_code, again.stdout) == (
        0, "labels.csv was imported before, as pets.i0001. Nothing changed.\n",
    )  # fmt: skip
    assert labels_of(pets, "pets.i0001") == {"cats/photo 0.png": ["cat"], "dogs/photo 1.png": ["dog"]}
    with pets.service.ledger.transaction() as tx:
        (one,) = imports.of_pool(tx, "pets")
        assert (one.imported_by, one.origin, len(images.selected(tx, "pets"))) == ("Ada", "labels.csv", 2)
    counts = pets.service.counts("pets")
    assert (counts.total, counts.selected, counts.remaining) == (5, 2, 3)


def test_a_test_set_in_coco(pets: World) -> None:
    coco = {
        "images": [{"id": 1, "file_name": "cats/photo 2.png", "width": 64, "height": 48}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path = pets.root / "instances.json"
    path.write_text(json.dumps(coco))
    done = command("import-labels", "pets", str(path), "--test-set")
    assert "What landed counts as a test set: never picked, never trained on.\n" in done.stdout
    assert command("import-labels", "pets", str(path)).stdout.endswith("as pets.i0001 (a test set). Nothing changed.\n")
    with pets.service.ledger.transaction() as tx:
        assert (images.selected(tx, "pets"), len(images.not_pickable(tx, "pets"))) == ([], 1)


def test_mistakes_are_told(pets: World) -> None:
    path = table(pets, "nobody.png,cat")
    nothing = command("import-labels", "pets", path)
    assert (nothing.exit_code, nothing.stdout.splitlines()[0]) == (
        1, "Nothing imported: labels.csv has 1 records = 0 landed + 1 set aside.",
    )  # fmt: skip
    assert refused("import-labels", "pets").startswith("Give either a file of labels or --dataset")
    assert refused("import-labels", "pets", path, "--dataset", "x").startswith(
        "Give either a file of labels or --dataset"
    )
    assert refused("import-labels", "pets", "--dataset", "x", "--dry-run").startswith("--dry-run reads a file")
    assert refused("import-labels", "pets", str(Path(path).with_name("none.csv"))).startswith("There is no file ")
    assert refused("import-labels", "pets", "--dataset", TEMPLATE_UID).startswith(
        "Pool 'Pets' is on the sandbox, and no"
    )


def test_a_dataset_that_was_labelled_before_is_adopted_and_nothing_is_billed(
    pets: World, labelled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = max(row["n"] for row in pets.sandbox.requests())

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(journal, "settle", die)
        assert command("import-labels", "pets", "--dataset", labelled).exit_code
    done = command("import-labels", "pets", "--dataset", labelled)
    assert done.stdout.startswith(f"pets.i0001: {labelled} has 4 records = 3 landed + 1 set aside.\n"), done.output
    assert "1 set aside: no image of this name is in the pool (first: birds/photo 3.png)\n" in done.stdout
    assert labels_of(pets, "pets.i0001") == {
        "cats/photo 0.png": ["cats"], "cats/photo 1.png": ["cats"], "dogs/photo 0.png": ["dogs"],
    }  # fmt: skip
    again = command("import-labels", "pets", "--dataset", labelled)
    assert again.stdout == f"{labelled} was imported before, as pets.i0001. Nothing changed.\n"
    # The export of the first try was found; beside it nothing that changes anything was sent.
    assert [(row["method"], row["path"]) for row in pets.sandbox.requests(since)] == [("POST", EXPORT)]
    with pets.service.ledger.transaction() as tx:
        (effect,) = journal.of_pool(tx, "pets")
        (kept,) = landing.files(tx, "pets.i0001")
    assert (effect.kind, effect.round, effect.state, effect.sends) == ("dataset_export", None, "adopted", 1)
    assert pets.service.store.list("pools/pets/imports") == [kept]
    assert pets.leaks() == []
