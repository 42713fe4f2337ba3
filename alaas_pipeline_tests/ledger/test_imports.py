import duckdb
import pytest

from alaas_pipeline.ledger import Ledger, Transaction, images, imports, landing
from alaas_pipeline_tests.ledger.fill import ROUND, add_images, digest, open_with_picks, outcome


def test_what_was_imported_is_not_picked_again(tx: Transaction) -> None:
    add_images(tx, "a", "b", "c", "d", "e")
    open_with_picks(tx, "e")
    first = imports.open_next(tx, "cats", "old.csv", [digest("a"), digest("b")], test_set=False, by="ada")
    second = imports.open_next(tx, "cats", "test.json", [digest("c")], test_set=True, by="ada")
    assert [first, second] == imports.of_pool(tx, "cats")
    assert (first.key, second.key, second.test_set) == ("cats.i0001", "cats.i0002", True)
    assert images.selected(tx, "cats") == sorted(map(digest, "abe"))
    assert images.not_pickable(tx, "cats") == [digest("c")]
    counts = images.counts(tx, "cats")
    assert (counts.total, counts.selected, counts.remaining) == (5, 4, 1)
    assert imports.labelled(tx, "cats") == {
        digest("a"): first.key, digest("b"): first.key, digest("c"): second.key, digest("e"): ROUND,
    }  # fmt: skip
    assert imports.of_pool(tx, "dogs") == []
    assert imports.labelled(tx, "dogs") == {}


def test_what_landed_an_import_is_found_and_summed_up(tx: Transaction) -> None:
    add_images(tx, "a", "b")
    assert imports.next_key(tx, "cats") == "cats.i0001"
    made = imports.open_next(tx, "cats", "old.csv", [digest("a"), digest("b")], test_set=True, by="ada")
    landing.record(
        tx, "cats", made.key, export_uid="e1", export_digest="d1", schema=["cat"], schema_digest="s", file="f",
        outcomes=[outcome("a", "labelled", "cat"), outcome("b", "labelled", "cat")], quarantined=[("unknown", {"key": "c"})],
    )  # fmt: skip
    assert imports.landed_as(tx, "cats", export_uid="e1") == made
    assert imports.landed_as(tx, "cats", digest="d1") == made
    assert imports.landed_as(tx, "cats", export_uid="d1", digest="e1") is None
    assert imports.landed_as(tx, "dogs", digest="d1") is None
    assert imports.summaries(tx, "cats") == [
        {
            "key": made.key, "origin": "old.csv", "images": 2, "test_set": True, "quarantined": 1, "imported_at": made.imported_at,
        }
    ]  # fmt: skip
    assert imports.next_key(tx, "cats") == "cats.i0002"
    found, files = imports.images_and_files(tx, "cats")
    assert sorted(row["digest"] for row in found) == sorted(map(digest, "ab"))
    assert [(row["path"], row["digest"]) for row in files] == [("a", digest("a")), ("b", digest("b"))]


def test_an_image_is_imported_once(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        add_images(tx, "a")
        imports.open_next(tx, "cats", "old.csv", [digest("a")], test_set=False, by="ada")
    with pytest.raises(duckdb.ConstraintException), ledger.transaction() as tx:
        imports.open_next(tx, "cats", "older.csv", [digest("a")], test_set=False, by="ada")
    with ledger.transaction() as tx:
        assert [one.origin for one in imports.of_pool(tx, "cats")] == ["old.csv"]
