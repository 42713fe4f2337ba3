"""A person decides over labels that wait."""

from typing import Any

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Transaction, label_names, landing, pushes, rounds, verdicts
from alaas_pipeline_tests.ledger.fill import ROUND, add_images, open_with_picks, outcome


def land(tx: Transaction, export: str, *names: str, label: str = "cat", **more: Any) -> int:
    return landing.record(
        tx, "cats", ROUND, export_uid=export, export_digest=export, schema=[label], schema_digest="s", file=export, quarantined=[],
        outcomes=[outcome(name, "labelled", label) for name in names], **more,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _sent(tx: Transaction) -> None:
    digests = add_images(tx, "a", "b")
    open_with_picks(tx, "a", "b")
    pushes.plan(tx, ROUND, {one: one for one in digests})
    pushes.uploaded(tx, ROUND, digests)


def put(tx: Transaction, state: str) -> None:
    tx.run("UPDATE rounds SET state = ? WHERE round = ?", state, ROUND)


def refused(call: Any, tx: Transaction, version: int | None = None) -> str:
    with pytest.raises(UserError) as caught:
        call(tx, ROUND, "Ada", version)
    return str(caught.value)


def test_an_accepted_version_serves_with_its_names(tx: Transaction) -> None:
    land(tx, "e1", "a", "b")
    land(tx, "e2", "a", "b", label="cow", state="held")
    put(tx, "landed")
    for by in ("Ada", "Eve"):
        assert verdicts.accept(tx, ROUND, by).version == 2
    assert landing.serving(tx, ROUND) == 2
    assert [one.decided_by for one in landing.versions(tx, ROUND)] == [None, "Ada"]
    assert tx.value("SELECT decided_at FROM landings WHERE version = 2")
    assert label_names.accepted(tx, "cats") == {"cat", "cow"}
    assert "it serves, by Ada" in refused(verdicts.refuse, tx, 2)


def test_a_refused_version_never_serves(tx: Transaction) -> None:
    land(tx, "e1", "a", "b")
    land(tx, "e2", "a", "b", label="cow", state="held")
    put(tx, "landed")
    for _ in range(2):
        verdicts.refuse(tx, ROUND, "Ada", 2)
    assert landing.serving(tx, ROUND) == 1
    assert label_names.accepted(tx, "cats") == {"cat"}
    assert rounds.get(tx, ROUND).state == "landed"
    assert refused(verdicts.accept, tx) == (
        f"Version 2 of the labels of {ROUND} does not wait for a decision: it was refused, by Ada. To have a later export compared "
        f"with it: alaas-pipeline refresh-labels {ROUND}"
    )


def test_a_round_that_stopped_for_names_lands_when_they_are_accepted(tx: Transaction) -> None:
    land(tx, "e1", "a", "b", state="held")
    put(tx, "needs_person")
    verdicts.accept(tx, ROUND, "Ada")
    current = rounds.get(tx, ROUND)
    assert (current.state, current.note) == ("landed", "Ada accepted its labels")


def test_a_round_of_which_images_are_missing_does_not_land_by_that(tx: Transaction) -> None:
    land(tx, "e1", "a", state="held")
    put(tx, "needs_person")
    verdicts.accept(tx, ROUND, "Ada")
    assert (landing.serving(tx, ROUND), rounds.get(tx, ROUND).state) == (1, "needs_person")


def test_a_round_whose_first_labels_are_refused_asks_for_others(tx: Transaction) -> None:
    land(tx, "e1", "a", "b", state="held")
    put(tx, "needs_person")
    verdicts.refuse(tx, ROUND, "Ada")
    current = rounds.get(tx, ROUND)
    assert (current.state, current.note) == (
        "needs_person", f"Ada refused its labels. To ask for another export: alaas-pipeline retry {ROUND}",
    )  # fmt: skip


@pytest.mark.parametrize("call", [verdicts.accept, verdicts.refuse])
def test_what_does_not_wait_is_not_decided(tx: Transaction, call: Any) -> None:
    assert refused(call, tx) == f"Round {ROUND} has no landed labels, so there is nothing to decide."
    land(tx, "e1", "a", "b")
    assert "does not wait for a decision: it serves. " in refused(call, tx)
    assert refused(call, tx, 7) == f"The labels of {ROUND} have no version 7; its versions are: 1."
