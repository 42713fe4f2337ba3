from alaas_pipeline.ledger import Transaction, facts, images
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
