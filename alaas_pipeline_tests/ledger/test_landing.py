from typing import Any

import pytest

from alaas_pipeline.ledger import Transaction, label_names, landing, pushes
from alaas_pipeline.ledger.landing import Books, Outcome
from alaas_pipeline_tests.ledger.fill import ROUND, add_images, digest, open_with_picks, outcome


@pytest.fixture
def sent(tx: Transaction) -> list[str]:
    """A round whose four images were sent."""
    digests = add_images(tx, "a", "b", "c", "d")
    open_with_picks(tx, "c", "a", "b", "d")
    pushes.plan(tx, ROUND, {one: f"{one[:4]}.png" for one in digests})
    pushes.uploaded(tx, ROUND, digests)
    return digests


def land(
    tx: Transaction,
    export: str,
    *outcomes: Outcome,
    quarantined: list[tuple[str, dict[str, Any]]] | None = None,
    **more: Any,
) -> int:
    given = {"export_uid": f"uid-{export}", "schema": ["label"], **more}
    return landing.record(
        tx, "cats", ROUND, export_digest=export, schema_digest="s", file="x.json", outcomes=list(outcomes), quarantined=quarantined or [],
        **given,
    )  # fmt: skip


def test_outcomes_come_back_in_pick_order(tx: Transaction, sent: list[str]) -> None:
    assert land(tx, "e1", outcome("a", "labelled", "cat", "dog"), outcome("b", "refused"), outcome("c", "pending")) == 1
    rows = landing.current(tx, ROUND)
    assert [(row["image_id"], row["outcome"], row["labels"], row["position"]) for row in rows] == [
        ("c", "pending", [], 1), ("a", "labelled", ["cat", "dog"], 2), ("b", "refused", [], 3),
    ]  # fmt: skip
    assert (rows[2]["reason"], rows[1]["width"], rows[1]["height"], rows[1]["near_group"]) == (
        "blurred",
        4,
        3,
        digest("a"),
    )


def test_the_same_export_again_is_the_same_version(tx: Transaction, sent: list[str]) -> None:
    assert [land(tx, "e1", outcome("a", "labelled", "cat")) for _ in range(3)] == [1, 1, 1]
    assert tx.value("SELECT count(*) FROM annotations") == 1


def test_a_later_export_is_a_new_version_and_the_old_one_stays(tx: Transaction, sent: list[str]) -> None:
    land(tx, "e1", outcome("a", "labelled", "cat"), quarantined=[("unknown image", {"file": "z.png"})])
    assert [row["reason"] for row in landing.quarantined(tx, ROUND)] == ["unknown image"]
    before = tx.rows("SELECT * FROM annotations ORDER BY ALL")
    assert land(tx, "e2", outcome("a", "labelled", "dog"), outcome("b", "labelled", "cat")) == 2
    assert tx.rows("SELECT * FROM annotations WHERE version = 1 ORDER BY ALL") == before
    assert {row["image_id"]: row["labels"] for row in landing.current(tx, ROUND)} == {"a": ["dog"], "b": ["cat"]}
    assert landing.quarantined(tx, ROUND) == []
    assert land(tx, "e1", outcome("a", "labelled", "cat")) == 1
    assert tx.column("SELECT records FROM landings ORDER BY version") == [2, 2]


def test_the_books_balance_at_each_step(tx: Transaction) -> None:
    digests = add_images(tx, "a", "b", "c", "d")
    open_with_picks(tx, "a", "b", "c", "d")
    assert landing.books(tx, ROUND) == Books(0, 0, 0, 0)
    pushes.plan(tx, ROUND, {one: one for one in digests})
    assert landing.books(tx, ROUND) == Books(0, 0, 0, 0)
    pushes.uploaded(tx, ROUND, digests)
    assert landing.books(tx, ROUND) == Books(sent=4, labelled=0, refused=0, pending=4)
    land(
        tx,
        "e1",
        outcome("a", "labelled", "cat"),
        outcome("b", "refused"),
        outcome("c", "pending"),
        outcome("d", "pending"),
    )
    assert landing.books(tx, ROUND) == Books(sent=4, labelled=1, refused=1, pending=2)
    land(tx, "e2", *(outcome(name, "labelled", "cat") for name in "abcd"))
    assert landing.books(tx, ROUND) == Books(sent=4, labelled=4, refused=0, pending=0)


def test_a_round_where_nothing_landed(tx: Transaction) -> None:
    assert (landing.current(tx, ROUND), landing.quarantined(tx, ROUND), landing.books(tx, ROUND)) == (
        [],
        [],
        Books(0, 0, 0, 0),
    )


def serving(tx: Transaction) -> list[list[str]]:
    return [row["labels"] for row in landing.current(tx, ROUND)]


def test_the_newest_of_the_versions_that_serve_is_current(tx: Transaction, sent: list[str]) -> None:
    assert landing.foremost(tx, ROUND) is None
    assert landing.serving(tx, ROUND) is None
    land(tx, "e1", outcome("a", "labelled", "cat"))
    # As rows from before versions had a state.
    tx.run("UPDATE landings SET state = NULL")
    land(tx, "e2", outcome("a", "labelled", "dog"), state="held", held_for="1 other labels", differs={"counts": {}})
    assert (serving(tx), landing.serving(tx, ROUND), landing.books(tx, ROUND).labelled) == ([["cat"]], 1, 1)
    held = landing.foremost(tx, ROUND)
    assert held is not None
    assert (held.version, held.state, held.held_for, held.differs) == (2, "held", "1 other labels", {"counts": {}})
    assert landing.outcomes(tx, ROUND, 2) == [outcome("a", "labelled", "dog")]


def test_a_held_version_gives_way_to_a_later_one_but_not_to_one_without_news(tx: Transaction, sent: list[str]) -> None:
    land(tx, "e1", outcome("a", "labelled", "cat"))
    land(tx, "e2", outcome("a", "labelled", "dog"), state="held")
    land(tx, "e3", outcome("a", "labelled", "dog"), state="same")
    assert [one.state for one in landing.versions(tx, ROUND)] == ["serves", "held", "same"]
    assert landing.outcomes(tx, ROUND, 3) == []
    land(tx, "e4", outcome("a", "labelled", "cat"), outcome("b", "labelled", "cat"))
    states = [(one.state, one.decided_by) for one in landing.versions(tx, ROUND)]
    assert states[1] == ("refused", "version 4, which came after it")
    assert serving(tx) == [["cat"], ["cat"]]
    # Another export with bytes that were there before is a version of its own: labels may be turned back.
    assert land(tx, "e1", outcome("a", "labelled", "cat"), export_uid="later") == 5
    assert serving(tx) == [["cat"]]


def test_the_first_landing_accepts_its_names_and_a_held_one_does_not(tx: Transaction, sent: list[str]) -> None:
    land(tx, "e1", schema=["x"], state="held")
    assert label_names.accepted(tx, "cats") == set()
    land(tx, "e2", schema=["cat"])
    land(tx, "e3", schema=["cow"])
    assert label_names.accepted(tx, "cats") == {"cat"}
    assert tx.column("SELECT accepted_by FROM label_names") == ["first landing"]
