import duckdb
import pytest

from alaas_pipeline.ledger import Ledger, Transaction, rounds, selections
from alaas_pipeline_tests.builders import pool_settings
from alaas_pipeline_tests.ledger.fill import ENCODER, ROUND, add_images, advance, digest, open_with_picks, picked


def test_picks_come_back_in_pick_order_with_names(tx: Transaction) -> None:
    add_images(tx, "a.png", "b.png", "c.png")
    rounds.open_next(tx, pool_settings())
    made = [
        picked("c.png"),
        picked("a.png", kind="outlier", nearest=digest("c.png"), distance=0.25, gain=4.5),
        picked("b.png", kind="control", gain=0.0, covers=0),
    ]
    selections.record(tx, "cats", ROUND, made, "explore", ENCODER, {"radius": 0.5, "coverage": 1.0})
    rows = selections.picks(tx, ROUND)
    assert [(row["position"], row["image_id"], row["kind"]) for row in rows] == [
        (1, "c.png", "representative"), (2, "a.png", "outlier"), (3, "b.png", "control"),
    ]  # fmt: skip
    assert (rows[1]["distance"], rows[1]["nearest"], rows[1]["gain"]) == (0.25, digest("c.png"), 4.5)
    assert selections.metrics(tx, ROUND) == {"coverage": 1.0, "radius": 0.5}


def test_a_round_without_picks(tx: Transaction) -> None:
    assert selections.picks(tx, ROUND) == []
    assert selections.metrics(tx, ROUND) == {}


def test_an_image_is_picked_once_in_the_life_of_a_pool(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        add_images(tx, "a.png", "b.png")
        advance(tx, open_with_picks(tx, "a.png"), "refused")
    with pytest.raises(duckdb.ConstraintException), ledger.transaction() as tx:
        open_with_picks(tx, "b.png", "a.png")
    with ledger.transaction() as tx:
        assert rounds.latest(tx, "cats") == rounds.get(tx, ROUND)
        assert [row["image_id"] for row in selections.picks(tx, ROUND)] == ["a.png"]


def test_a_round_is_selected_once(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        add_images(tx, "a.png", "b.png")
        open_with_picks(tx, "a.png")
    with pytest.raises(duckdb.ConstraintException), ledger.transaction() as tx:
        selections.record(tx, "cats", ROUND, [picked("b.png")], "coverage", ENCODER, {})
