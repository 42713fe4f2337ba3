"""What people do to a running project or its export in Avala's own pages, and what the round makes of it."""

import pytest

from alaas_pipeline.avala.observe import observe_export, observe_project, observe_waiting
from alaas_pipeline_tests.bench import Bench


@pytest.fixture
def running(bench: Bench) -> str:
    """A round that was approved."""
    key = bench.open_round()
    bench.bring(key, "pause")
    return key


def test_each_status_of_a_running_project_moves_the_round(bench: Bench, running: str) -> None:
    for status, state in (
        ("paused", "paused"),
        ("active", "approved"),
        ("under-review", "approved"),
        ("active", "approved"),
    ):
        bench.by_hand(running, status)
        seen = observe_project(bench.ledger, bench.client, running)
        assert (seen.state, seen.project_status, seen.tasks_total) == (state, status, 2)
        assert seen.note == "0 of 2 tasks are done"
    bench.by_hand(running, "canceled")
    seen = observe_project(bench.ledger, bench.client, running)
    assert (seen.state, seen.note) == ("canceled", "the project is canceled on Avala; 0 of 2 tasks are done")
    bench.by_hand(running, "archived")
    assert observe_project(bench.ledger, bench.client, running).state == "canceled"


def test_an_archived_project_counts_as_labelled_when_all_is_done(bench: Bench, running: str) -> None:
    bench.sandbox.finish(bench.uid(running, "clone"))
    bench.by_hand(running, "archived")
    seen = observe_project(bench.ledger, bench.client, running)
    assert (seen.state, seen.tasks_completed, seen.acceptance_rate) == ("labelled", 2, 1.0)
    bench.perform("export", running)
    bench.land(running)
    assert bench.state(running) == "landed"


def test_an_archived_project_that_was_not_done_ends_the_round(bench: Bench, running: str) -> None:
    bench.by_hand(running, "archived")
    assert observe_project(bench.ledger, bench.client, running).state == "archived"


def test_a_deleted_project_needs_a_person_who_can_only_end_the_round(bench: Bench, running: str) -> None:
    uid = bench.uid(running, "clone")
    bench.by_hand(running, "deleted")
    seen = observe_project(bench.ledger, bench.client, running)
    assert seen.state == "needs_person"
    assert seen.note == f"its project {uid} is not on Avala any more. To end the round: alaas-pipeline cancel {running}"
    assert bench.steer(running, "cancel") == f"Round {running} is canceled: its project is gone on Avala."


def test_rounds_in_other_states_are_left_alone(bench: Bench) -> None:
    key = bench.open_round()
    for look in (observe_project, observe_waiting):
        assert look(bench.ledger, bench.client, key).state == "quoted"
    assert observe_export(bench.ledger, bench.client, key) is None
