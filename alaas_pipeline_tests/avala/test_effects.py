"""Every effect against a server that lies: whatever becomes of an answer, one thing is made, and the ledger knows it."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.effects import NeedsPerson, NothingToAdopt
from alaas_pipeline.avala.errors import AvalaError, RateLimited
from alaas_pipeline.avala.look import AmbiguousError, find_project
from alaas_pipeline.avala.models import Project
from alaas_pipeline.errors import UserError
from alaas_pipeline_tests.bench import OWNER, PATHS, Bench

# In this order one round can have them all but `cancel`, which is the same code as the other changes of status.
WALK = ("dataset", "clone", "approve", "pause", "resume", "export", "archive")
BECOMES = {
    "dataset": "uploaded", "clone": "cloned", "approve": "approved", "pause": "paused", "resume": "approved", "export": "exported",
    "archive": "landed",
}  # fmt: skip


def walk(bench: Bench, each: Callable[[str, str], None]) -> str:
    """Bring a round to its end, with `each(key, kind)` for every effect."""
    key = bench.open_round()
    for kind in WALK:
        if kind == "approve":
            bench.accept(key)
        if kind == "export":
            bench.finish(key)
        if kind == "archive":
            bench.land(key)
        each(key, kind)
        assert bench.state(key) == BECOMES[kind]
    return key


def one_of_each(bench: Bench) -> None:
    assert {kind: bench.made(kind) for kind in WALK} == dict.fromkeys(WALK, 1)


REFUSED = {"do": "status", "status": 400, "body": {"detail": "This is not how it is done."}}
# What is not done, and how the journal holds it; then what is done and answered badly.
STORIES = {
    "refused, an error, then 503": (
        [(REFUSED, "failed"), ({"do": "status", "status": 500}, "intended")],
        {"do": "status", "status": 503, "when": "after"},
    ),
    "no answer, 408, then no answer": (
        [({"do": "cut"}, "intended"), ({"do": "status", "status": 408}, "intended")],
        {"do": "cut", "when": "after"},
    ),
    "not JSON": ([], {"do": "status", "status": 502, "when": "after", "body": "<html>Bad gateway</html>"}),
}


@pytest.mark.parametrize(("undone", "done"), STORIES.values(), ids=STORIES)
def test_an_answer_in_doubt_is_settled_by_looking_and_a_call_sends_once(
    bench: Bench, undone: list[tuple[dict[str, Any], str]], done: dict[str, Any]
) -> None:
    def each(key: str, kind: str) -> None:
        before, operations = bench.state(key), set()
        for sends, (fault, state) in enumerate(undone, start=1):
            bench.sandbox.fault(path=PATHS[kind], method="POST", **fault)
            with pytest.raises(AvalaError) as caught:
                bench.perform(kind, key)
            effect = bench.effect(key, kind)
            assert (effect.state, effect.sends, len(bench.sent(kind)), bench.made(kind)) == (state, sends, sends, 0)
            assert (effect.message, bench.state(key)) == (str(caught.value), before)
            operations.add(effect.operation_id)
        bench.sandbox.fault(path=PATHS[kind], method="POST", **done)
        bench.perform(kind, key)
        effect, sends = bench.effect(key, kind), len(undone) + 1
        assert (effect.state, effect.sends, len(bench.sent(kind)), bench.made(kind)) == ("adopted", sends, sends, 1)
        assert operations <= {effect.operation_id}

    walk(bench, each)
    one_of_each(bench)


def test_an_answer_that_comes_too_late_and_a_request_that_does(bench: Bench) -> None:
    with bench.connect(timeout_s=0.4) as hasty:

        def each(key: str, kind: str) -> None:
            late = kind in ("dataset", "pause")
            when, seconds = ("before", 3.0) if late else ("after", 1.0)
            bench.sandbox.fault(path=PATHS[kind], method="POST", do="hang", seconds=seconds, when=when)
            if late:
                with pytest.raises(AvalaError):
                    bench.perform(kind, key, client=hasty)
                assert bench.effect(key, kind).state == "intended"
                bench.perform(kind, key, settle_s=10.0)
            else:
                bench.perform(kind, key, client=hasty)
            assert (bench.effect(key, kind).state, bench.effect(key, kind).sends) == ("adopted", 1)

        walk(bench, each)
    one_of_each(bench)


def test_a_request_that_is_delivered_twice_is_done_once(bench: Bench) -> None:
    def each(key: str, kind: str) -> None:
        show = "first" if kind == "resume" else "second"
        bench.sandbox.fault(path=PATHS[kind], method="POST", do="twice", show=show)
        bench.perform(kind, key)
        # Exports alone have neither a unique name nor a status that keeps the server from making two; they cost nothing.
        assert bench.effect(key, kind).state == ("done" if kind in ("resume", "export") else "adopted")
        assert bench.made(kind) == (2 if kind == "export" else 1)

    walk(bench, each)


def test_a_process_that_died_is_followed_by_one_that_adopts_though_lists_lag(bench: Bench) -> None:
    bench.sandbox.fault(path=".*", do="stale", seconds=0.5)

    def each(key: str, kind: str) -> None:
        if kind in ("dataset", "clone", "approve", "export"):
            with pytest.raises(NothingToAdopt, match="on Avala"):
                bench.perform(kind, key, look_only=True)
        assert bench.sent(kind) == []
        bench.die_after(kind, key)
        assert (bench.effect(key, kind).state, bench.made(kind)) == ("intended", 1)
        bench.perform(kind, key, settle_s=3.0, look_only=True)
        assert (bench.effect(key, kind).state, bench.effect(key, kind).sends) == ("adopted", 1)

    walk(bench, each)
    one_of_each(bench)


def test_a_list_that_lags_longer_than_anyone_waits_makes_no_second_clone(bench: Bench) -> None:
    key = bench.open_round()
    bench.perform("dataset", key)
    bench.sandbox.fault(path="/api/v1/users/me/projects/", do="stale", seconds=3600)
    bench.sandbox.fault(path=PATHS["clone"], method="POST", do="cut", when="after")
    with pytest.raises(AvalaError):
        bench.perform("clone", key)
    with pytest.raises(NeedsPerson, match="is taken on Avala by something that this key cannot see"):
        bench.perform("clone", key)
    bench.sandbox.clear_faults()
    bench.perform("clone", key)
    assert (bench.effect(key, "clone").state, bench.made("clone"), bench.state(key)) == ("adopted", 1, "cloned")


TAKEN = {
    "400": {"status": 400, "body": {"name": ["Project with this name already exists for this owner."]}},
    "409": {"status": 409, "body": {"detail": "Conflict."}},
}


@pytest.mark.parametrize("answer", TAKEN.values(), ids=TAKEN)
def test_a_name_that_is_taken_by_what_nobody_can_see_needs_a_person(bench: Bench, answer: dict[str, Any]) -> None:
    key = bench.open_round()
    for kind, give_up in (("dataset", "refuse"), ("clone", "refuse"), ("export", "archive")):
        if kind == "export":
            bench.bring(key, "export")
            bench.finish(key)
        bench.sandbox.fault(path=PATHS[kind], method="POST", do="status", **answer)
        with pytest.raises(NeedsPerson) as caught:
            bench.perform(kind, key)
        told, effect = str(caught.value), bench.effect(key, kind)
        assert told == (
            f"Round {key}: the name '{effect.remote_name}' is taken on Avala by something that this key cannot see. Look at it on Avala. "
            f"When it is mended: alaas-pipeline retry {key}; to give the round up: alaas-pipeline {give_up} {key}"
        )
        assert (effect.state, effect.message) == ("needs_person", told)
        assert (bench.state(key), bench.note(key)) == ("needs_person", told)
        assert bench.made(kind) == 0
        bench.steer(key, "retry")
        bench.perform(kind, key)
        assert (bench.effect(key, kind).state, bench.made(kind)) == ("done", 1)


@pytest.mark.parametrize("kind", ["approve", "pause"])
def test_a_conflict_about_something_without_a_name_is_a_plain_refusal(bench: Bench, kind: str) -> None:
    key = bench.open_round()
    bench.bring(key, kind)
    if kind == "approve":
        bench.accept(key)
    before = bench.state(key)
    bench.sandbox.fault(path=PATHS[kind], method="POST", do="status", status=409)
    with pytest.raises(AvalaError, match="409"):
        bench.perform(kind, key)
    assert (bench.effect(key, kind).state, bench.state(key), bench.made(kind)) == ("failed", before, 0)


def test_a_dataset_of_our_name_with_other_images_needs_a_person(bench: Bench) -> None:
    key = bench.open_round()
    name = bench.planted_dataset(key, "somebody else's.png")
    with pytest.raises(
        NeedsPerson, match=rf"the dataset '{name}' holds 1 images not ours, first 'somebody else's.png'"
    ):
        bench.perform("dataset", key)
    assert bench.state(key) == "needs_person"
    assert bench.sent("clone") == []
    assert bench.steer(key, "refuse") == f"Refused: {key}. Nothing is billed."


def test_waits_that_the_server_asks_for(bench: Bench) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    forms = {
        "dataset": "0", "clone": "0.05", "approve": soon, "pause": "soon", "resume": None, "export": "-3",
        "archive": "Thu, 01 Jan 1970 00:00:00 GMT",
    }  # fmt: skip

    def each(key: str, kind: str) -> None:
        headers = {"Retry-After": forms[kind]} if forms[kind] is not None else {}
        bench.sandbox.fault(path=PATHS[kind], method="POST", do="status", status=429, headers=headers)
        bench.perform(kind, key)
        assert (bench.effect(key, kind).state, bench.effect(key, kind).sends) == ("done", 1)
        assert [row["answered"] == 429 for row in bench.sent(kind)] == [True, False]

    walk(bench, each)
    one_of_each(bench)


def test_a_long_wait_is_kept_in_the_ledger_and_not_slept(bench: Bench) -> None:
    key = bench.open_round()
    bench.perform("dataset", key)
    bench.sandbox.fault(path=PATHS["clone"], method="POST", do="status", status=429, headers={"Retry-After": "120"})
    began = time.monotonic()
    with pytest.raises(RateLimited, match="Come back at"):
        bench.perform("clone", key)
    assert time.monotonic() - began < 10
    effect, until = bench.effect(key, "clone"), bench.round(key).wait_until
    assert until is not None
    assert 90 < (datetime.fromisoformat(until) - datetime.now(UTC)).total_seconds() <= 121
    assert (effect.state, effect.sends, bench.made("clone"), bench.state(key)) == ("intended", 1, 0, "uploaded")
    assert bench.steer(key, "retry") == f"Round {key} goes on from 'uploaded'."
    assert bench.round(key).wait_until is None
    with bench.connect() as rested:
        bench.perform("clone", key, client=rested)
    assert (bench.effect(key, "clone").state, bench.made("clone")) == ("done", 1)


def test_an_effect_that_was_begun_for_something_else_is_refused(bench: Bench) -> None:
    key = bench.open_round()
    bench.sandbox.fault(path=PATHS["dataset"], method="POST", do="status", status=500)
    with pytest.raises(AvalaError):
        bench.perform("dataset", key)
    sent = len(bench.sent())
    with bench.ledger.transaction() as tx:
        tx.run("UPDATE effects SET payload_digest = 'another' WHERE round = ?", key)
    with pytest.raises(
        UserError, match=rf"Round {key}: 'upload' was begun for .* with other contents\. Nothing was sent"
    ):
        bench.perform("dataset", key)
    assert len(bench.sent()) == sent


def test_two_at_once_do_it_once(bench: Bench) -> None:
    def each(key: str, kind: str) -> None:
        failed: list[BaseException] = []
        start = threading.Barrier(2)

        def work() -> None:
            try:
                with bench.connect() as client:
                    start.wait()
                    bench.perform(kind, key, client=client)
            except BaseException as error:
                failed.append(error)

        # A slow answer keeps the first one busy while the second one comes.
        bench.sandbox.fault(path=PATHS[kind], method="POST", do="trickle", seconds=0.2)
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert len(bench.sent(kind)) == 1

    walk(bench, each)
    one_of_each(bench)


def test_a_cancellation_is_adopted_too_and_its_project_can_be_archived(bench: Bench) -> None:
    key = bench.open_round()
    bench.bring(key, "cancel")
    bench.sandbox.fault(path=PATHS["cancel"], method="POST", do="cut", when="after")
    assert bench.perform("cancel", key).state == "canceled"
    assert (bench.effect(key, "cancel").state, len(bench.sent("cancel"))) == ("adopted", 1)
    assert bench.perform("archive", key).state == "archived"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([Project(uid="1", name="ours"), Project(uid="2", name="ours")], "2 projects on Avala are named 'ours'"),
        (
            [Project(uid="1", name="ours", task_type="point-cloud-annotation")],
            "is for point-cloud-annotation, so it is not ours",
        ),
    ],
)
def test_several_projects_of_our_name_or_one_of_another_kind_are_not_adopted(
    client: AvalaClient, monkeypatch: pytest.MonkeyPatch, found: list[Project], told: str
) -> None:
    monkeypatch.setattr(client, "projects", lambda owner: found)
    with pytest.raises(AmbiguousError, match=told):
        find_project(client, "ours", OWNER)
