"""The billable step: on a stored yes to exactly this quote, from exactly one status, and never by guessing."""

import pytest

from alaas_pipeline.avala.effects import NeedsPerson
from alaas_pipeline.avala.errors import Forbidden
from alaas_pipeline.avala.observe import observe_project, observe_waiting
from alaas_pipeline.errors import UserError
from alaas_pipeline_tests.bench import OWNER, Bench


@pytest.fixture
def key(bench: Bench) -> str:
    """A round whose project waits for its approval; nobody has said anything yet."""
    key = bench.open_round()
    bench.bring(key, "approve")
    return key


def nothing_was_sent(bench: Bench) -> None:
    assert bench.sent("approve") == []
    assert bench.made("approve") == 0


def test_without_a_yes_nothing_is_sent_and_the_message_says_how_to_say_it(bench: Bench, key: str) -> None:
    digest = bench.quote(key).digest
    with pytest.raises(UserError) as caught:
        bench.perform("approve", key)
    assert str(caught.value) == (
        f"Round {key} has no accepted quote; nothing was approved. To accept 2 images for at most 0.10 USD: "
        f"alaas-pipeline approve {key} --quote {digest}"
    )
    nothing_was_sent(bench)

    bench.accept(key)
    with bench.ledger.transaction() as tx:
        tx.run("UPDATE decisions SET quote_digest = 'another' WHERE round = ?", key)
    with pytest.raises(UserError, match="has no accepted quote; nothing was approved"):
        bench.perform("approve", key)
    with bench.ledger.transaction() as tx:
        tx.run("UPDATE decisions SET quote_digest = ?, images = 1 WHERE round = ?", digest, key)
    with pytest.raises(UserError, match="was accepted for 1 images and 2 were sent; nothing was approved"):
        bench.perform("approve", key)
    with bench.ledger.transaction() as tx:
        tx.run("UPDATE decisions SET images = 2 WHERE round = ?", key)
        tx.run(
            "DELETE FROM pushed_images WHERE round = ? AND file_name = (SELECT min(file_name) FROM pushed_images)", key
        )
    with pytest.raises(UserError, match="was accepted for 2 images and 1 were sent; nothing was approved"):
        bench.perform("approve", key)
    nothing_was_sent(bench)
    assert bench.state(key) == "cloned"


def test_before_there_is_a_project_there_is_nothing_to_approve(bench: Bench) -> None:
    key = bench.open_round()
    bench.accept(key)
    with pytest.raises(UserError, match=rf"Round {key} is in state 'quoted' and has no avala_project yet"):
        bench.perform("approve", key)
    nothing_was_sent(bench)


@pytest.mark.parametrize(
    ("what", "told"),
    [({"plan": "BASIC"}, "needs PRO or ENTERPRISE"), ({"scopes": ["projects.read"]}, "lacks a scope")],
    ids=["plan", "scope"],
)
def test_a_plan_or_scope_that_is_missing_is_named_and_mended(bench: Bench, key: str, what: dict, told: str) -> None:
    bench.accept(key)
    poor = f"avk_poor_{bench.pool}"
    bench.sandbox.add_key(poor, username=OWNER, **what)
    with bench.connect(poor) as client, pytest.raises(Forbidden, match=told):
        bench.perform("approve", key, client=client)
    assert (bench.effect(key, "approve").state, bench.effect(key, "approve").sends) == ("failed", 1)
    assert (bench.state(key), bench.made("approve")) == ("cloned", 0)
    bench.perform("approve", key)
    assert (bench.effect(key, "approve").state, bench.made("approve"), bench.state(key)) == ("done", 1, "approved")


def test_a_project_that_was_approved_on_avala_after_our_yes_is_adopted(bench: Bench, key: str) -> None:
    bench.accept(key)
    bench.by_hand(key, "active")
    assert observe_waiting(bench.ledger, bench.client, key).state == "cloned"
    bench.perform("approve", key)
    assert (bench.effect(key, "approve").state, bench.effect(key, "approve").sends) == ("adopted", 0)
    assert bench.state(key) == "approved"
    nothing_was_sent(bench)


def test_a_project_that_was_approved_on_avala_without_our_yes_waits_for_one_here(bench: Bench, key: str) -> None:
    digest = bench.quote(key).digest
    bench.by_hand(key, "active")
    seen = observe_waiting(bench.ledger, bench.client, key)
    assert (seen.state, seen.project_status) == ("needs_person", "active")
    assert seen.note == (
        "its project was approved on Avala itself: 2 images are being labelled, at most 0.10 USD, and nobody said yes to that here. "
        f"To accept: alaas-pipeline approve {key} --quote {digest}; to stop the bill: alaas-pipeline cancel {key}"
    )
    assert bench.steer(key, "approve", digest) == f"Accepted: 2 images of {key} for at most 0.10 USD."
    bench.perform("approve", key)
    assert (bench.effect(key, "approve").state, bench.state(key)) == ("adopted", "approved")
    nothing_was_sent(bench)


def test_or_is_stopped(bench: Bench, key: str) -> None:
    bench.by_hand(key, "active")
    observe_waiting(bench.ledger, bench.client, key)
    assert bench.steer(key, "pause") == f"Round {key} is needs_person: its project is paused on Avala."
    assert "without a yes to its quote here" in bench.note(key)
    assert bench.steer(key, "cancel") == f"Round {key} is canceled: its project is canceled on Avala."
    with pytest.raises(UserError, match="is in state 'canceled'; there is nothing left to decide"):
        bench.accept(key)
    with pytest.raises(
        UserError, match=r"has ended \(canceled: canceled by Ada\)\. Open the next one; nothing was sent"
    ):
        bench.perform("approve", key)


@pytest.mark.parametrize("status", ["canceled", "archived"])
@pytest.mark.parametrize("looks", [True, False])
def test_a_project_that_was_put_away_before_its_approval_ends_the_round(
    bench: Bench, key: str, status: str, looks: bool
) -> None:
    bench.accept(key)
    bench.by_hand(key, status)
    if looks:
        assert observe_waiting(bench.ledger, bench.client, key).state == status
    else:
        with pytest.raises(
            UserError, match=f"its project was {status} on Avala before it was approved here; nothing was approved"
        ):
            bench.perform("approve", key)
        assert bench.effect(key, "approve").state == "failed"
    assert bench.state(key) == status
    assert f"its project was {status} on Avala before it was approved" in bench.note(key)
    nothing_was_sent(bench)


@pytest.mark.parametrize("looks", [True, False])
def test_a_project_that_was_deleted_before_its_approval_needs_a_person(bench: Bench, key: str, looks: bool) -> None:
    uid = bench.uid(key, "clone")
    bench.accept(key)
    bench.by_hand(key, "deleted")
    if looks:
        observe_waiting(bench.ledger, bench.client, key)
        assert f"alaas-pipeline reconcile {bench.pool} --apply, then alaas-pipeline retry {key}" in bench.note(key)
        assert f"to give it up: alaas-pipeline refuse {key}" in bench.note(key)
    else:
        with pytest.raises(NeedsPerson):
            bench.perform("approve", key)
    assert bench.state(key) == "needs_person"
    assert f"its project {uid} is not on Avala any more" in bench.note(key)
    nothing_was_sent(bench)
    assert bench.steer(key, "refuse") == f"Refused: {key}. Nothing is billed."


def test_a_project_made_anew_after_its_approval_was_begun_is_approved_by_an_operation_of_its_own(
    bench: Bench, key: str
) -> None:
    bench.accept(key)
    bench.by_hand(key, "deleted")
    with pytest.raises(NeedsPerson):
        bench.perform("approve", key)
    assert len(bench.mend()) == 1
    bench.steer(key, "retry")
    bench.perform("clone", key)
    bench.perform("approve", key)
    assert (bench.state(key), bench.effect(key, "approve").attempt, bench.made("approve")) == ("approved", 2, 1)


def test_a_project_that_vanished_while_nobody_knew_whether_it_was_approved_is_not_made_anew(
    bench: Bench, key: str
) -> None:
    bench.accept(key)
    bench.by_hand(key, "deleted")
    with pytest.raises(NeedsPerson):
        bench.perform("approve", key)
    with bench.ledger.transaction() as tx:
        tx.run("UPDATE effects SET sends = 1 WHERE kind = 'approve'")
    assert bench.mend() == []
    bench.steer(key, "retry")
    observe_waiting(bench.ledger, bench.client, key)
    assert bench.note(key).endswith(f"To end the round: alaas-pipeline cancel {key}")
    bench.steer(key, "cancel")
    assert bench.state(key) == "canceled"


def test_a_dataset_that_was_deleted_before_the_approval_needs_a_person(bench: Bench, key: str) -> None:
    uid = bench.uid(key, "dataset")
    bench.accept(key)
    bench.sandbox.delete("dataset", uid)
    with pytest.raises(NeedsPerson):
        bench.perform("approve", key)
    assert (bench.effect(key, "approve").state, bench.made("approve")) == ("failed", 0)
    assert bench.state(key) == "needs_person"
    assert f"its dataset {uid} is not on Avala any more" in bench.note(key)
    assert f"to give the round up: alaas-pipeline refuse {key}" in bench.note(key)
    assert bench.steer(key, "refuse") == f"Refused: {key}. Nothing is billed."


def test_a_status_that_nobody_knows_approves_nothing(bench: Bench, key: str) -> None:
    bench.accept(key)
    bench.by_hand(key, "under-review")
    assert observe_waiting(bench.ledger, bench.client, key).state == "cloned"
    with pytest.raises(NeedsPerson, match="is 'under-review', neither waiting nor running"):
        bench.perform("approve", key)
    nothing_was_sent(bench)
    bench.by_hand(key, "pending-approval")
    bench.steer(key, "retry")
    bench.perform("approve", key)
    assert (bench.effect(key, "approve").state, bench.made("approve")) == ("done", 1)


def test_a_second_call_after_a_settled_one_sends_nothing(bench: Bench, key: str) -> None:
    bench.accept(key)
    bench.perform("approve", key)
    bench.perform("approve", key)
    assert observe_project(bench.ledger, bench.client, key).state == "approved"
    assert len(bench.sent("approve")) == 1


def test_a_yes_can_be_taken_back_only_while_nothing_may_have_come_of_it(bench: Bench, key: str) -> None:
    bench.accept(key)
    bench.sandbox.fault(path="/api/v1/projects/[^/]+/approve/", do="cut")
    with pytest.raises(UserError):
        bench.perform("approve", key)
    with pytest.raises(UserError, match="was accepted by Ada already; that stands"):
        bench.steer(key, "refuse")
    bench.perform("approve", key)
    with pytest.raises(UserError, match=f"so its images are being billed. To stop that: alaas-pipeline cancel {key}"):
        bench.steer(key, "refuse")
