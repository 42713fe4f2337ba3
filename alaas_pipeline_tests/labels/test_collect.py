"""From the ledger into the training set: rounds and imports, test sets, groups, and where each label came from."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.labels.annotation import Annotation
from alaas_pipeline.labels.collect import learned, write_training_set
from alaas_pipeline.ledger import Ledger, Transaction, facts, images, imports, landing, pools, rounds
from alaas_pipeline.ledger.facts import Facts
from alaas_pipeline.ledger.landing import Outcome
from alaas_pipeline.store import Store
from alaas_pipeline_tests.bench import empty_ledger
from alaas_pipeline_tests.ledger.fill import ENCODER, add_images, advance, digest, file_row, image_row, open_with_picks

__all__ = ["empty_ledger"]

LANDED = ("quoted", "uploaded", "cloned", "approved", "labelled", "exported", "landed")
CAT = Annotation("cat", "bounding_box", (0.25, 0.5, 2.0, 1.75))
DOG = Annotation("dog", "polygon", (0.0, 0.0, 3.0, 2.0), ((0.0, 0.0), (3.0, 0.0), (0.0, 2.0)))


@pytest.fixture
def ledger(empty_ledger: Path, tmp_path: Path) -> Ledger:
    made = Ledger(Path(shutil.copy(empty_ledger, tmp_path)))
    with made.transaction() as tx:
        pools.ensure(tx, "cats", "Cats")
    return made


def labelled(name: str, *said: Annotation) -> Outcome:
    labels = list(dict.fromkeys(one.label for one in said))
    return Outcome(digest(name), "labelled", labels, [one.to_json({"raw": name}) for one in said], None)


def land(tx: Transaction, key: str, *outcomes: Outcome, export: str = "") -> None:
    export = export or f"export of {key}"
    landing.record(
        tx, "cats", key, export_uid=export, export_digest=export, schema=["cat", "dog"], schema_digest="s", file="f", quarantined=[],
        outcomes=list(outcomes),
    )  # fmt: skip


def land_round(tx: Transaction, *outcomes: Outcome) -> str:
    names = {digest(row["image_id"]): row["image_id"] for row in tx.rows("SELECT image_id FROM images")}
    key = open_with_picks(tx, *(names[one.digest] for one in outcomes))
    land(tx, key, *outcomes)
    advance(tx, key, *LANDED)
    return key


def bring(tx: Transaction, *outcomes: Outcome, test_set: bool = False) -> str:
    made = imports.open_next(tx, "cats", "old.json", [one.digest for one in outcomes], test_set=test_set, by="ada")
    land(tx, made.key, *outcomes)
    return made.key


def of_version(store: Store, version: str, name: str) -> Any:
    return store.read_json(f"pools/cats/training_set/{version}/{name}")


def test_rounds_and_imports_make_one_set_and_the_test_set_stands_apart(ledger: Ledger, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "files"))
    names = ["a", "b", "c", "d", "e", "near test", "drive of test", "test", "test without label"]
    with ledger.transaction() as tx:
        add_images(tx, *names)
        images.set_near_duplicates(tx, "cats", {digest("near test"): digest("test")})
        drives = {"drive of test": "drive 1", "copy": "drive 1", "a": "drive 2", "b": "drive 2"}
        images.record_scan(tx, "cats", [file_row("copy", "test without label")], [], [])
        facts.record(tx, "cats", [Facts(name, drive, {}) for name, drive in drives.items()])
        first = land_round(
            tx, labelled("a", CAT, DOG), labelled("near test", CAT), Outcome(digest("b"), "refused", [], [], "x")
        )
        held_back = land_round(tx, labelled("c", DOG))
        land(tx, held_back, labelled("c", CAT, CAT), export="later")
        brought = bring(tx, labelled("d"), labelled("drive of test", CAT))
        test = bring(
            tx, labelled("test", DOG), Outcome(digest("test without label"), "pending", [], [], None), test_set=True
        )
        open_round = open_with_picks(tx, "e")
        land(tx, open_round, labelled("e", CAT))
    made = write_training_set(ledger, store, "cats")
    assert (made.images, made.train + made.validation, made.test, made.boxes) == (4, 3, 1, 5)
    assert {one.file: one.reason for one in made.left_out} == {
        "near test": "near duplicate of test image test",
        "drive of test": "same group as a test image: drive 1, test without label",
        "test without label": "it is in a test set and not labelled",
    }
    found = {}
    for split in ("train", "val", "test"):
        coco = of_version(store, made.version, f"annotations/instances_{split}.json")
        for image in coco["images"]:
            found[image["file_name"]] = [one["bbox"] for one in coco["annotations"] if one["image_id"] == image["id"]]
        assert split != "test" or [image["file_name"] for image in coco["images"]] == ["test"]
    cat, dog = [0.25, 0.5, 2.0, 1.75], [0.0, 0.0, 3.0, 2.0]
    assert found == {"a": [cat, dog], "c": [cat, cat], "d": [], "test": [dog]}

    manifest = of_version(store, made.version, "manifest.json")
    origin = {"landing": 1, "schema_digest": "s"}
    assert manifest["rounds"] == [
        {"key": first, "export_digest": f"export of {first}", **origin},
        {"key": held_back, "export_digest": "later", **origin, "landing": 2},
    ]
    assert [one["key"] for one in manifest["imports"]] == [brought, test]
    assert manifest["encoder_id"] == ENCODER
    assert write_training_set(ledger, store, "cats") == made


def test_one_bad_record_stops_nothing_and_is_told(ledger: Ledger, tmp_path: Path) -> None:
    with ledger.transaction() as tx:
        add_images(tx, "a", "b", "c")
        broken = Outcome(digest("b"), "labelled", ["cat"], [{"label": "cat"}], None)
        land_round(tx, labelled("a", Annotation("cat", "classification")), broken, labelled("c", CAT))
        replaced = [file_row("c", "new")]
        images.record_scan(tx, "cats", replaced, [image_row("new", image_id="c")], [])
    made = write_training_set(ledger, Store(str(tmp_path / "files")), "cats")
    assert (made.images, made.classes) == (1, ["cat"])
    assert {one.file: one.reason for one in made.left_out} == {
        "b": "its annotations as they landed cannot be read; land its labels again",
        "c": "its file was replaced by another",
    }


def test_what_an_import_brings_later_moves_no_image_across(ledger: Ledger, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "files"))
    names = [f"{number}.png" for number in range(40)]
    said = Annotation("cat", "classification")

    def sides() -> dict[str, str]:
        version = write_training_set(ledger, store, "cats").version
        return {
            image["file_name"]: split
            for split in ("train", "val")
            for image in of_version(store, version, f"annotations/labels_{split}.json")["images"]
        }

    with ledger.transaction() as tx:
        add_images(tx, *names)
        facts.record(tx, "cats", [Facts(name, f"drive {place % 8}", {}) for place, name in enumerate(names)])
        land_round(tx, *(labelled(name, said) for name in names[:16]))
    early = sides()
    with ledger.transaction() as tx:
        bring(tx, *(labelled(name, said) for name in names[16:]))
    late = sides()
    assert len(early) == 16
    assert set(early.values()) == {"train", "val"}
    assert early.items() <= late.items()
    assert all(late[name] == late[names[place % 8]] for place, name in enumerate(names))


def test_an_image_counts_for_each_class_on_it(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        add_images(tx, "a", "b", "c")
        first = land_round(tx, labelled("a", CAT, DOG, CAT), labelled("b", DOG))
        second = land_round(tx, labelled("c", CAT))
        assert [one.key for one in rounds.of_pool(tx, "cats")] == [first, second]
    known = learned(ledger, "cats")
    assert (known.labelled, known.classes, known.counts) == ([2, 3], [2, 2], {"cat": 2, "dog": 2})
    assert learned(ledger, "cats", until=first).counts == {"cat": 1, "dog": 2}
