"""Exports that fail, vanish or take too long: asked for again under a new name, within a limit, and then only when a person says so."""

from datetime import timedelta

import pytest

from alaas_pipeline.avala import observe
from alaas_pipeline.avala.observe import observe_export
from alaas_pipeline.errors import UserError
from alaas_pipeline_tests.bench import PATHS, Bench


@pytest.fixture
def key(bench: Bench) -> str:
    """A round whose annotators have finished."""
    key = bench.open_round()
    bench.bring(key, "export")
    bench.finish(key)
    return key


def fail(bench: Bench, key: str) -> None:
    """Ask for an export, let it fail, and look."""
    bench.perform("export", key)
    bench.sandbox.fail_export(bench.uid(key, "export"))
    assert observe_export(bench.ledger, bench.client, key) is None
    assert (bench.state(key), bench.effect(key, "export").state) == ("export_failed", "failed")
    assert bench.note(key) == "Avala could not make the export (status 'failed'); it is asked for again"


def test_a_failed_export_is_asked_for_again_three_times_and_then_a_person_is_asked(bench: Bench, key: str) -> None:
    for attempt in (1, 2, 3):
        fail(bench, key)
        assert bench.effect(key, "export").remote_name.endswith(f"-export-{attempt}")
    for _ in range(2):
        with pytest.raises(
            UserError, match=rf"3 exports of its project .* came to nothing.*alaas-pipeline retry {key}"
        ):
            bench.perform("export", key)
        assert bench.state(key) == "needs_person"
    assert len(bench.sent("export")) == 3

    bench.steer(key, "retry")
    fail(bench, key)
    with pytest.raises(UserError, match="4 exports of its project"):
        bench.perform("export", key)
    bench.steer(key, "retry")
    bench.perform("export", key)
    bench.land(key)
    assert (bench.state(key), bench.made("export")) == ("landed", 5)


def test_an_export_that_was_deleted_is_asked_for_again(bench: Bench, key: str) -> None:
    bench.perform("export", key)
    bench.sandbox.delete("export", bench.uid(key, "export"))
    assert observe_export(bench.ledger, bench.client, key) is None
    assert bench.state(key) == "export_failed"
    bench.perform("export", key)
    bench.land(key)
    assert bench.effect(key, "export").attempt == 2


def test_a_failed_export_that_carries_our_name_is_not_adopted(bench: Bench, key: str) -> None:
    bench.die_after("export", key)
    left = next(row for row in bench.sandbox.effects("export") if row["name"].startswith(f"alaas-{bench.pool}-"))
    bench.sandbox.fail_export(left["uid"])
    bench.perform("export", key)
    assert (bench.effect(key, "export").state, bench.effect(key, "export").sends) == ("done", 2)
    bench.land(key)
    assert bench.state(key) == "landed"


@pytest.mark.parametrize("waits", [True, False])
def test_a_slow_export_is_told_and_lands_all_the_same_or_is_given_up(
    bench: Bench, key: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.perform("export", key)
    bench.slow_export(key, 2)
    assert observe_export(bench.ledger, bench.client, key) is None
    assert bench.state(key) == "exported"
    monkeypatch.setattr(observe, "OVERDUE_AFTER", timedelta(0))
    assert observe_export(bench.ledger, bench.client, key) is None
    assert bench.state(key) == "overdue"
    assert bench.note(key).endswith(f"Ask its support, or have another one made: alaas-pipeline retry {key}")
    if not waits:
        assert bench.steer(key, "retry") == f"Round {key} goes on from 'export_failed'."
        bench.perform("export", key)
        assert bench.effect(key, "export").attempt == 2
    bench.land(key)
    assert (bench.state(key), bench.made("export")) == ("landed", 1 if waits else 2)


def test_a_server_that_takes_only_the_shorter_body_is_sent_that_in_the_same_call(bench: Bench, key: str) -> None:
    refusal = {"status": 400, "body": {"format": ["This field is not allowed."]}}
    bench.sandbox.fault(path=PATHS["export"], method="POST", do="status", **refusal)
    bench.perform("export", key)
    assert (bench.effect(key, "export").state, len(bench.sent("export"))) == ("done", 2)
    bench.land(key)
    assert bench.state(key) == "landed"
