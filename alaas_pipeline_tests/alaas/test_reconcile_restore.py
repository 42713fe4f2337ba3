"""An old copy of the ledger is put back and the loop runs on: what was bought is found again, and nothing is bought twice."""

from pathlib import Path

import pytest

from alaas_pipeline.alaas.reconcile import close_losses
from alaas_pipeline.avala.observe import observe_project
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import rounds
from alaas_pipeline.ledger.backup import backup, restore
from alaas_pipeline_tests.bench import Bench, picture

KINDS = ("dataset", "clone", "approve", "export")


def run_on(bench: Bench, pictures: dict[str, tuple[bytes, bytes]]) -> None:
    """Go on from whatever the ledger holds until both rounds have landed; the same pool picks the same images."""
    for key, picks in pictures.items():
        try:
            state = bench.state(key)
        except UserError:
            state = bench.state(bench.open_round(*picks))
        if state == "landed":
            continue
        bench.perform("dataset", key)
        bench.perform("clone", key)
        bench.accept(key)
        bench.perform("approve", key)
        if bench.client.project(bench.uid(key, "clone")).status == "active":
            bench.finish(key)
        else:
            observe_project(bench.ledger, bench.client, key)
        bench.perform("export", key)
        bench.land(key)


@pytest.mark.parametrize("copied", ["before round 1", "after round 1", "in the middle of round 2"])
def test_a_stale_copy_buys_nothing_twice(bench: Bench, copied: str) -> None:
    copies: dict[str, Path] = {}
    first, second = f"{bench.pool}.r0001", f"{bench.pool}.r0002"
    pictures = {first: (picture(), picture()), second: (picture(), picture())}

    def keep(when: str) -> None:
        if when == copied:
            copies[when] = backup(bench.ledger, bench.home.root / "backups")

    keep("before round 1")
    run_on(bench, {first: pictures[first]})
    keep("after round 1")
    bench.open_round(*pictures[second])
    bench.perform("dataset", second)
    keep("in the middle of round 2")
    run_on(bench, pictures)
    assert {kind: bench.made(kind) for kind in KINDS} == dict.fromkeys(KINDS, 2)
    sent = len(bench.sent())

    restore(bench.ledger, copies[copied])
    lost = bench.compare().drift
    assert [one.kind for one in lost].count("loss") == 1
    assert {one.kind for one in lost} <= {"loss", "unknown remote object", "money drift"}
    assert not close_losses(bench.service, [bench.compare()])
    run_on(bench, pictures)

    assert len(bench.sent()) == sent
    assert {kind: bench.made(kind) for kind in KINDS} == dict.fromkeys(KINDS, 2)
    with bench.ledger.transaction() as tx:
        assert [(one.key, one.state) for one in rounds.of_pool(tx, bench.pool)] == [
            (first, "landed"),
            (second, "landed"),
        ]
    plan = bench.compare()
    assert [one.kind for one in plan.drift] == ["loss"]
    assert close_losses(bench.service, [plan])
    assert bench.compare().drift == []
