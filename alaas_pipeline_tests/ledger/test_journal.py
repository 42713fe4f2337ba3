from typing import Any

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Transaction, journal
from alaas_pipeline_tests.ledger.fill import ROUND, effect


def test_an_intent_is_written_once(tx: Transaction) -> None:
    first = effect(tx, ROUND, "dataset")
    assert (first.state, first.sends, first.remote_uid, first.settled) == ("intended", 0, None, False)
    assert effect(tx, ROUND, "dataset") == first == journal.find(tx, ROUND, "dataset")
    assert tx.value("SELECT count(*) FROM effects") == 1


@pytest.mark.parametrize("change", [{"payload_digest": "other"}, {"remote_name": "other"}])
def test_the_same_operation_with_other_contents_is_refused(tx: Transaction, change: dict[str, Any]) -> None:
    first = effect(tx, ROUND, "dataset")
    with pytest.raises(
        UserError, match=rf"Round {ROUND}: 'dataset' was begun for 'name' and is now asked .* Nothing was sent"
    ):
        effect(tx, ROUND, "dataset", **change)
    assert journal.find(tx, ROUND, "dataset") == first


def test_sends_are_counted_and_the_end_is_kept(tx: Transaction) -> None:
    made = effect(tx, ROUND, "clone")
    journal.sending(tx, made)
    journal.sending(tx, made)
    journal.settle(tx, made, "failed", message="no such template")
    failed = journal.find(tx, ROUND, "clone")
    assert failed is not None
    assert (failed.state, failed.sends, failed.message, failed.settled) == ("failed", 2, "no such template", False)
    assert effect(tx, ROUND, "clone") == failed
    for state in ("done", "adopted"):
        journal.settle(tx, failed, state, remote_uid="p-1")
        done = journal.find(tx, ROUND, "clone")
        assert done is not None
        assert (done.settled, done.remote_uid, done.message) == (True, "p-1", None)
    journal.settle(tx, made, "needs_person", message="two of them")
    assert journal.remote_uid(tx, ROUND, "clone") == "p-1"


def test_attempts_are_operations_of_their_own(tx: Transaction) -> None:
    first = effect(tx, ROUND, "export")
    second = effect(tx, ROUND, "export", attempt=2, payload_digest="q")
    assert first.operation_id != second.operation_id
    assert journal.find(tx, ROUND, "export") == second
    assert journal.find(tx, ROUND, "export", 1) == first
    assert journal.find(tx, ROUND, "export", 3) is None


def test_kinds_and_rounds_are_apart(tx: Transaction) -> None:
    journal.settle(tx, effect(tx, ROUND, "dataset"), "done", remote_uid="d-1")
    effect(tx, "cats.r0002", "dataset", payload_digest="q")
    assert journal.remote_uid(tx, ROUND, "dataset") == "d-1"
    assert journal.remote_uid(tx, "cats.r0002", "dataset") is None
    assert journal.remote_uid(tx, ROUND, "clone") is None


def test_once_sent_again_an_old_refusal_is_certain_no_more(tx: Transaction) -> None:
    effect = journal.intend(tx, "cats", ROUND, "approve", "uid", "digest")
    journal.sending(tx, effect)
    journal.settle(tx, effect, "failed", message="refused")
    journal.sending(tx, effect)
    found = journal.find(tx, ROUND, "approve")
    assert found is not None
    assert (found.state, found.sends) == ("intended", 2)
