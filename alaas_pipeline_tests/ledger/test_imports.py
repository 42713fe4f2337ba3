import duckdb
import pytest

from alaas_pipeline.ledger import Ledger, Transaction, images, imports
from alaas_pipeline_tests.ledger.fill import ROUND, add_images, digest, open_with_picks


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


def test_an_image_is_imported_once(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        add_images(tx, "a")
        imports.open_next(tx, "cats", "old.csv", [digest("a")], test_set=False, by="ada")
    with pytest.raises(duckdb.ConstraintException), ledger.transaction() as tx:
        imports.open_next(tx, "cats", "older.csv", [digest("a")], test_set=False, by="ada")
    with ledger.transaction() as tx:
        assert [one.origin for one in imports.of_pool(tx, "cats")] == ["old.csv"]
