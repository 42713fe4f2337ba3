import pytest

from alaas_pipeline.ledger import Ledger, Transaction, facts, images
from alaas_pipeline.ledger.facts import Facts
from alaas_pipeline_tests.ledger.fill import add_images, digest, file_row


def test_facts_follow_the_bytes_and_are_replaced_as_a_whole(tx: Transaction) -> None:
    add_images(tx, "a", "b")
    images.record_scan(tx, "cats", [file_row("copy", "a"), file_row("closed", None, reason="may not be read")], [], [])
    facts.record(
        tx, "cats",
        [Facts("copy", "drive 2", {}), Facts("a", "drive 1", {"weather": "Regen"}), Facts("closed", "x", {}), Facts("unknown", "x", {})],
    )  # fmt: skip
    assert facts.of_pool(tx, "cats") == {
        digest("a"): [Facts("a", "drive 1", {"weather": "Regen"}), Facts("copy", "drive 2", {})]
    }
    facts.record(tx, "cats", [Facts("b", None, {"n": 1})])
    assert facts.of_pool(tx, "cats") == {digest("b"): [Facts("b", None, {"n": 1})]}
    assert facts.of_pool(tx, "dogs") == {}


def test_what_is_given_again_replaces_what_was_there(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "CHUNK", 60)
    names = [f"{number:03d}" for number in range(150)]
    with ledger.transaction() as tx:
        add_images(tx, *names)
        assert facts.record(tx, "cats", (Facts(name, "old", {"n": 1}) for name in names)) == set(names)
        assert len(facts.record(tx, "cats", (Facts(name, "new", {}) for name in names[:100]))) == 100
        assert facts.record(tx, "dogs", [Facts("000", "theirs", {})]) == {"000"}
    with ledger.transaction() as tx:
        facts.record(tx, "cats", (Facts(name, "newest", {}) for name in names[:99]))
    with ledger.transaction() as tx:
        known = facts.of_pool(tx, "cats")
        assert known == {digest(name): [Facts(name, "newest", {})] for name in names[:99]}
        assert facts.record(tx, "cats", []) == set()
        assert facts.of_pool(tx, "cats") == {}
        assert tx.value("SELECT count(*) FROM image_facts WHERE pool = 'dogs'") == 1
