"""The export of a dataset that was labelled before: asked for once, found again, and nothing else is sent."""

from typing import Any

import pytest

from alaas_pipeline.avala.effects.dataset_export import KIND, export_dataset
from alaas_pipeline.avala.models import Export
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import journal, pools
from alaas_pipeline.ledger.journal import Effect
from alaas_pipeline_tests.bench import EXPORT, OWNER, Bench
from alaas_pipeline_tests.sandbox_process import LIDAR_TEMPLATE_UID


def planted(bench: Bench, name: str) -> str:
    """Make a dataset of one picture; return its uid."""
    bench.planted_dataset("", "a.png", name=f"{bench.pool}-{name}")
    found = bench.client.find_dataset(OWNER, f"{bench.pool}-{name}")
    assert found is not None
    bench.began = max(row["n"] for row in bench.sandbox.requests())
    return found.uid


@pytest.fixture
def dataset(bench: Bench) -> str:
    """A dataset that somebody made before the pool was there."""
    with bench.ledger.transaction() as tx:
        pools.ensure(tx, bench.pool, bench.pool)
    return planted(bench, "old")


def ask(bench: Bench, dataset: str, **changes: Any) -> Export:
    times = {"wait_s": 5.0, "settle_s": 0.1, "pause_s": 0.01} | changes
    return export_dataset(bench.ledger, bench.client, bench.home.locks, bench.settings, dataset, **times)


def effects(bench: Bench) -> list[Effect]:
    with bench.ledger.transaction() as tx:
        return [one for one in journal.of_pool(tx, bench.pool) if one.kind == KIND]


def sent(bench: Bench) -> list[str]:
    return [row["path"] for row in bench.sent()]


def test_it_is_asked_for_once_and_nothing_else_is_sent(bench: Bench, dataset: str) -> None:
    made = ask(bench, dataset)
    assert (made.state, made.name) == ("success", f"alaas-{bench.pool}-labels-of-{dataset}-export-1")
    assert ask(bench, dataset).uid == made.uid
    (effect,) = effects(bench)
    assert (effect.round, effect.state, effect.sends, effect.remote_uid) == (None, "done", 1, made.uid)
    assert sent(bench) == [EXPORT]


def test_after_a_crash_the_export_of_the_first_try_is_found(
    bench: Bench, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(journal, "settle", die)
        with pytest.raises(KeyboardInterrupt):
            ask(bench, dataset)
    assert [(one.state, one.remote_uid) for one in effects(bench)] == [("intended", None)]
    made = ask(bench, dataset)
    assert [(one.state, one.remote_uid) for one in effects(bench)] == [("adopted", made.uid)]
    assert sent(bench) == [EXPORT]


def test_a_lost_answer_is_made_up_for_by_looking(bench: Bench, dataset: str) -> None:
    bench.sandbox.fault(path=EXPORT, method="POST", do="cut", when="after")
    made = ask(bench, dataset, settle_s=1.0)
    assert [(one.state, one.remote_uid) for one in effects(bench)] == [("adopted", made.uid)]
    assert bench.made("export") == 1


@pytest.mark.parametrize("lost", ["failed", "deleted"])
def test_an_export_that_came_to_nothing_is_asked_for_anew(bench: Bench, dataset: str, lost: str) -> None:
    first = ask(bench, dataset)
    if lost == "failed":
        bench.write("UPDATE exports SET status = 'failed' WHERE uid = ?", first.uid)
    else:
        bench.sandbox.delete("export", first.uid)
    second = ask(bench, dataset)
    assert (second.state, second.name) == ("success", f"alaas-{bench.pool}-labels-of-{dataset}-export-2")
    assert [(one.attempt, one.state) for one in effects(bench)] == [(1, "failed"), (2, "done")]


def test_a_failure_while_waiting_and_a_long_wait_are_told(
    bench: Bench, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(bench, dataset)
    bench.write("UPDATE exports SET status = 'processing', reads_left = 5 WHERE uid = ?", first.uid)
    with pytest.raises(
        UserError, match=r"Avala has been making the export .* for 0 s. Nothing is lost; type the command"
    ):
        ask(bench, dataset, wait_s=0.0)
    assert ask(bench, dataset).uid == first.uid
    bench.sandbox.delete("export", first.uid)
    with monkeypatch.context() as patched:
        patched.setattr(bench.client, "export", lambda uid: Export(uid=uid, name="the export", status="failed"))
        with pytest.raises(UserError, match=r"could not make the export .*status 'failed'.*another one is asked for"):
            ask(bench, dataset)


def test_two_datasets_of_a_pool_have_an_export_each(bench: Bench, dataset: str) -> None:
    other = planted(bench, "older")
    names = [ask(bench, uid).name.partition("-labels-of-")[2] for uid in (dataset, other, dataset)]
    assert names == [f"{uid}-export-1" for uid in (dataset, other, dataset)]
    assert [one.attempt for one in effects(bench)] == [1, 2]


def test_what_cannot_be_adopted_is_told_before_anything_is_sent(bench: Bench, dataset: str) -> None:
    with pytest.raises(UserError, match=rf"^There is no dataset '{LIDAR_TEMPLATE_UID}' on Avala that this key may see"):
        ask(bench, LIDAR_TEMPLATE_UID)
    bench.write("UPDATE datasets SET data_type = 'lidar' WHERE uid = ?", dataset)
    with pytest.raises(UserError, match="holds lidar, not images"):
        ask(bench, dataset)
    bench.write("UPDATE datasets SET data_type = 'image' WHERE uid = ?", dataset)
    bench.settings = bench.settings.model_copy(
        update={"avala": bench.settings.avala.model_copy(update={"owner": "others"})}
    )
    with pytest.raises(UserError, match=r"belongs to 'sandbox-team', and pool '.*' to 'others'. Nothing was sent"):
        ask(bench, dataset)
    assert (sent(bench), effects(bench)) == ([], [])


def test_the_pool_is_bound_to_the_account(bench: Bench, dataset: str) -> None:
    ask(bench, dataset)
    with bench.ledger.transaction() as tx:
        bound = pools.binding(tx, bench.pool)
        tx.run("UPDATE pools SET account_uid = 'another' WHERE pool = ?", bench.pool)
    assert bound is not None
    assert bound.owner == OWNER
    with pytest.raises(UserError, match="is bound to account_uid"):
        ask(bench, dataset)
    assert sent(bench) == [EXPORT]
