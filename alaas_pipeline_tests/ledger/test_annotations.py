from alaas_pipeline.ledger import Ledger, Transaction, annotations, images, imports, landing
from alaas_pipeline.ledger.annotations import ServingLanding
from alaas_pipeline_tests.ledger.fill import ENCODER, ROUND, add_images, digest, file_row, image_row, outcome


def land(tx: Transaction, key: str, export: str, *names: str, state: str = "serves", label: str = "cat") -> None:
    landing.record(
        tx, "cats", key, export_uid=export, export_digest=export, schema=["cat"], schema_digest="s", file="f", quarantined=[],
        outcomes=[outcome(name, "labelled", label) for name in names],
    )  # fmt: skip
    tx.run("UPDATE landings SET state = ? WHERE export_digest = ?", state or None, export)


def test_the_newest_version_that_serves_is_told(tx: Transaction) -> None:
    add_images(tx, "a", "b")
    assert annotations.serving(tx, ROUND) is None
    assert annotations.landed_annotations(tx, ROUND) == []
    land(tx, ROUND, "one", "a", "b", state="held")
    assert annotations.landed_annotations(tx, ROUND) == []
    # As rows from before there were states.
    land(tx, ROUND, "two", "a", state="")
    land(tx, ROUND, "three", "b", state="refused")
    found = annotations.serving(tx, ROUND)
    assert isinstance(found, ServingLanding)
    assert (found.key, found.version, found.export_digest, found.schema_digest) == (ROUND, 2, "two", "s")
    assert found.first_landed_at == tx.value("SELECT min(landed_at) FROM landings")
    (row,) = annotations.landed_annotations(tx, ROUND)
    assert row == {
        "digest": digest("a"), "image_id": "a", "file": "a", "outcome": "labelled", "labels": ["cat"], "annotations": [{"label": "cat"}],
        "reason": None, "width": 4, "height": 3, "near_group": digest("a"),
    }  # fmt: skip


def test_classes_are_those_of_what_serves_but_for_test_sets(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        add_images(tx, "a", "b", "c", "d")
        assert annotations.classes_of(tx, "cats") == {}
        land(tx, ROUND, "one", "a", "b", label="cat")
        land(tx, ROUND, "two", "a", label="dog")
        land(tx, ROUND, "three", "a", "b", state="held", label="cow")
        test = imports.open_next(tx, "cats", "test.csv", [digest("c")], test_set=True, by="ada")
        train = imports.open_next(tx, "cats", "train.csv", [digest("d")], test_set=False, by="ada")
        land(tx, test.key, "four", "c")
        land(tx, train.key, "five", "d")
        tx.run("UPDATE annotations SET labels = '[]' WHERE digest = ? AND version = 2", digest("a"))
        assert annotations.classes_of(tx, "cats") == {digest("a"): "nothing", digest("d"): "cat"}
        tx.run("UPDATE annotations SET labels = ? WHERE digest = ?", '["dog", "cat", "dog"]', digest("a"))
        assert annotations.classes_of(tx, "cats")[digest("a")] == "cat and dog"
        assert annotations.classes_of(tx, "dogs") == {}


def test_an_image_is_named_by_where_its_bytes_stand(tx: Transaction) -> None:
    add_images(tx, "here", "moved", "replaced", "replaced and copied", "gone")
    images.record_scan(
        tx, "cats",
        [
            file_row("z/moved", "moved"), file_row("y/moved", "moved"), file_row("copy of here", "here"), file_row("replaced", "new"),
            file_row("replaced and copied", "newer"), file_row("copy", "replaced and copied"),
        ],
        [image_row("new", image_id="replaced"), image_row("newer", image_id="replaced and copied")],
        ["moved", "gone"],
    )  # fmt: skip
    names = ["here", "moved", "replaced", "replaced and copied", "gone", "new", "newer"]
    land(tx, ROUND, "one", *names)
    found = {row["digest"]: row["file"] for row in annotations.landed_annotations(tx, ROUND)}
    assert [found[digest(name)] for name in names] == [
        "here", "y/moved", None, "copy", "gone", "replaced", "replaced and copied",
    ]  # fmt: skip


def test_test_images_are_told_with_their_near_duplicates(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        add_images(tx, "a", "b", "c")
        assert annotations.near_duplicates_encoder(tx, "cats") is None
        images.set_near_duplicates(tx, "cats", {digest("a"): digest("c")})
        imports.open_next(tx, "cats", "train.csv", [digest("b")], test_set=False, by="ada")
        imports.open_next(tx, "cats", "test.csv", [digest("a")], test_set=True, by="ada")
        assert annotations.in_test_sets(tx, "cats") == [
            {"digest": digest("a"), "image_id": "a", "near_group": digest("c")}
        ]
        assert annotations.in_test_sets(tx, "dogs") == []
        assert annotations.near_duplicates_encoder(tx, "cats") == ENCODER
