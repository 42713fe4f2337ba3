"""Comparing ledger, platform and files: every kind of drift planted for real, found, and mended where that is safe."""

from pathlib import Path

import numpy as np
import pytest

from alaas_pipeline.alaas.reconcile import close_losses, without_losses
from alaas_pipeline.alaas.reconcile.finding import Finding
from alaas_pipeline.engine.vectors import write_part
from alaas_pipeline.ledger import credits, images, losses
from alaas_pipeline.ledger.backup import backup, restore
from alaas_pipeline.locks import locked
from alaas_pipeline.report.reconcile import plan_text
from alaas_pipeline_tests.bench import OWNER, Bench

AGREED = "Ledger, Avala and files agree. Nothing is to be done."


def drift(bench: Bench) -> Finding:
    """The one thing that does not agree."""
    (found,) = bench.compare().drift
    return found


def agreed(bench: Bench) -> None:
    plan = bench.compare()
    assert plan.drift == []
    assert plan_text([plan]).endswith(f"\n\n{AGREED}")


def mended(bench: Bench) -> None:
    """The one thing that does not agree is safe to mend, and mending it leaves nothing to be done."""
    says = drift(bench).says
    (told,) = bench.mend()
    assert told.endswith(f": mended ({says})")
    agreed(bench)


def test_a_round_is_in_sync_all_along_and_what_a_killed_process_left_is_adopted(bench: Bench) -> None:
    key = bench.open_round()
    agreed(bench)
    for kind, state in (("dataset", "uploaded"), ("clone", "cloned"), ("approve", "approved"), ("export", "exported")):
        if kind == "approve":
            bench.accept(key)
        if kind == "export":
            bench.finish(key)
        bench.die_after(kind, key)
        found = drift(bench)
        assert (found.kind, found.subject) == ("adopt", key)
        name = bench.effect(key, kind).remote_name
        if kind == "approve":
            assert found.says == "its project is active on Avala: approved"
        else:
            assert found.says == f"'{name}' is on Avala and its {kind} was not recorded"
        mended(bench)
        assert (bench.effect(key, kind).state, bench.state(key), bench.made(kind)) == ("adopted", state, 1)
    bench.land(key)
    agreed(bench)
    assert bench.compare().findings[0].line == f"= {key}: in sync; landed; 2 sent = 2 labelled + 0 refused + 0 pending"


def test_what_vanished_before_it_was_billed_is_made_anew(bench: Bench) -> None:
    key = bench.open_round()
    bench.perform("dataset", key)
    bench.sandbox.delete("dataset", bench.uid(key, "dataset"))
    found = drift(bench)
    assert (found.kind, found.subject) == ("missing remotely", key)
    assert found.says.endswith("is not on Avala any more; nothing is billed, so it is made anew")
    mended(bench)
    assert bench.state(key) == "quoted"
    bench.perform("dataset", key)
    bench.perform("clone", key)
    agreed(bench)

    bench.by_hand(key, "deleted")
    mended(bench)
    assert bench.state(key) == "uploaded"
    bench.perform("clone", key)
    agreed(bench)

    bench.sandbox.delete("dataset", bench.uid(key, "dataset"))
    says = drift(bench).says
    assert says.endswith(
        "is without images now. Delete that project on Avala to have both made anew, or give the round up: "
        f"alaas-pipeline refuse {key}"
    )
    assert bench.mend() == []
    bench.by_hand(key, "deleted")
    assert len(bench.mend()) == 2
    agreed(bench)
    assert bench.state(key) == "quoted"
    bench.bring(key, "landed")
    agreed(bench)
    assert (bench.made("dataset"), bench.made("clone"), bench.made("approve")) == (3, 3, 1)


def test_a_project_that_vanished_after_it_was_billed_is_for_people_and_a_dataset_is_not_missed(bench: Bench) -> None:
    key = bench.open_round()
    bench.bring(key, "pause")
    bench.sandbox.delete("dataset", bench.uid(key, "dataset"))
    agreed(bench)
    bench.by_hand(key, "deleted")
    found = drift(bench)
    assert (found.kind, found.mend) == ("missing remotely", None)
    assert found.says.endswith(f"is not on Avala any more. To end the round: alaas-pipeline cancel {key}")
    assert bench.mend() == []
    bench.steer(key, "cancel")
    agreed(bench)


def test_an_export_that_vanished_is_asked_for_again(bench: Bench) -> None:
    key = bench.open_round()
    bench.bring(key, "export")
    bench.finish(key)
    bench.perform("export", key)
    bench.sandbox.delete("export", bench.uid(key, "export"))
    assert drift(bench).says.endswith("is not on Avala any more; another one is asked for")
    mended(bench)
    assert bench.state(key) == "labelled"
    bench.perform("export", key)
    bench.land(key)
    agreed(bench)
    assert bench.effect(key, "export").attempt == 2


def test_what_nobody_here_knows_is_named_and_left_alone(bench: Bench) -> None:
    bench.open_round()
    name = f"alaas-{bench.pool}-r0009-0123456789ab"
    bench.planted_dataset("", "other.png", name=name)
    dataset = bench.client.find_dataset(OWNER, name)
    assert dataset is not None
    project = bench.sandbox.foreign_project(name, owner=OWNER, dataset_uid=dataset.uid)
    bench.sandbox.foreign_project(f"{name}-not-ours", owner=OWNER)
    unknown = bench.compare().drift
    assert [(one.kind, one.subject, one.mend) for one in unknown] == [("unknown remote object", name, None)] * 2
    assert [one.says.split(" (")[0] for one in unknown] == ["a dataset", "a project"]
    bench.sandbox.set_status(project["uid"], "active")
    billed = bench.compare().drift[1]
    assert (billed.kind, billed.subject) == ("money drift", name)
    assert "it is active, so its images are billed" in billed.says
    assert bench.mend() == []
    text = plan_text([bench.compare()])
    assert text.endswith("\n\n2 findings. None of them can be mended here; do what they say.")


def test_money_that_was_spent_behind_our_back_is_told_and_a_yes_lets_it_be_adopted(bench: Bench) -> None:
    key = bench.open_round()
    bench.bring(key, "approve")
    bench.by_hand(key, "active")
    found = drift(bench)
    assert (found.kind, found.subject, found.mend) == ("money drift", key, None)
    digest = bench.quote(key).digest
    assert found.says == (
        "its project is active on Avala, and nobody said yes to 2 images, at most 0.10 USD here. To accept: "
        f"alaas-pipeline approve {key} --quote {digest}; to stop the bill: alaas-pipeline cancel {key}"
    )
    assert bench.mend() == []
    bench.steer(key, "approve", digest)
    assert drift(bench).kind == "adopt"
    mended(bench)
    assert (bench.state(key), bench.sent("approve")) == ("approved", [])

    bench.by_hand(key, "pending-approval")
    found = drift(bench)
    assert (found.kind, found.mend) == ("money drift", None)
    assert found.says.startswith("the ledger counts 2 images, at most 0.10 USD as approved, and its project waits")
    bench.by_hand(key, "active")
    bench.write("UPDATE datasets SET item_count = 3 WHERE uid = ?", bench.uid(key, "dataset"))
    found = drift(bench)
    assert (found.kind, found.mend) == ("money drift", None)
    assert found.says.startswith("its dataset holds 3 images and its quote covers 2.")


def test_a_refused_round_whose_project_runs_costs_money(bench: Bench) -> None:
    key = bench.open_round()
    bench.bring(key, "approve")
    bench.steer(key, "refuse")
    agreed(bench)
    bench.by_hand(key, "active")
    assert drift(bench).kind == "money drift"
    assert bench.steer(key, "cancel") == f"Round {key} is refused: its project is canceled on Avala."
    assert bench.note(key) == "refused by Ada; its project was canceled by Ada"
    agreed(bench)


def test_a_status_that_people_changed_is_taken_in(bench: Bench) -> None:
    key = bench.open_round()
    bench.bring(key, "pause")
    for status, state in (("paused", "paused"), ("active", "approved"), ("canceled", "canceled")):
        bench.by_hand(key, status)
        found = drift(bench)
        assert (found.kind, found.subject) == ("status drift", key)
        assert found.says == f"the round is {bench.state(key)} and its project {status}"
        mended(bench)
        assert bench.state(key) == state
    bench.by_hand(key, "archived")
    agreed(bench)


def test_reservations_that_nobody_works_on_go_back(bench: Bench) -> None:
    key = bench.open_round()
    with bench.ledger.transaction() as tx:
        credits.grant_up_to(tx, bench.pool, 1000)
        credits.reserve(tx, bench.pool, f"select:{key}:1", 60, "Selecting 2 images", key)
        credits.reserve(tx, bench.pool, f"embed:{bench.pool}:1", 10, "Embedding 2 images")
    with (
        locked(bench.home.locks / f"{key}.select.lock", "the selection", 1),
        locked(bench.home.locks / f"{bench.pool}.embed.lock", "the embedding", 1),
    ):
        agreed(bench)
    found = bench.compare().drift
    assert [(one.kind, one.subject) for one in found] == [("credits", bench.pool)] * 2
    assert found[1].says == f"60 credits are reserved for 'select:{key}:1', which nobody works on; they go back"
    assert len(bench.mend()) == 2
    agreed(bench)
    with bench.ledger.transaction() as tx:
        assert credits.credits(tx, bench.pool).spendable == 1000
        tx.run("UPDATE credit_entries SET to_account = 'spent' WHERE kind = 'grant'")
    found = bench.compare().drift
    assert (found[0].kind, found[0].mend) == ("credits", None)
    assert "alaas-pipeline restore FILE" in found[0].says


@pytest.mark.parametrize("damage", ["missing", "torn"])
def test_vectors_that_are_lost_are_refunded_once(bench: Bench, damage: str) -> None:
    key = bench.open_round()
    part, digests = f"pools/{bench.pool}/embeddings/tiny-1/a.parquet", sorted(bench.bytes)
    path = Path(bench.store.path(part))
    write_part(path, digests, np.eye(2, 8, dtype=np.float32))
    with bench.ledger.transaction() as tx:
        credits.grant_up_to(tx, bench.pool, 1000)
        credits.reserve(tx, bench.pool, f"embed:{bench.pool}:1", 10, "Embedding 2 images")
        credits.settle(tx, bench.pool, f"embed:{bench.pool}:1", 10, "Embedded 2 images")
        images.record_embedded(tx, bench.pool, "tiny-1", part, digests, {}, f"embed:{bench.pool}:1")
    agreed(bench)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-10])
    found = drift(bench)
    assert (found.kind, found.subject) == ("files", bench.pool)
    assert part in found.says
    mended(bench)
    with bench.ledger.transaction() as tx:
        held = credits.credits(tx, bench.pool)
        assert (held.spent, held.spendable, images.counts(tx, bench.pool).embedded) == (0, 1000, 0)
    assert bench.state(key) == "quoted"


def test_a_landed_export_that_is_lost_is_told(bench: Bench) -> None:
    key = bench.open_round()
    bench.bring(key, "landed")
    (file,) = (bench.home.files / "pools" / bench.pool / "rounds" / key).glob("export-*.bin")
    kept = file.read_bytes()
    file.unlink()
    found = drift(bench)
    assert (found.kind, found.subject, found.mend) == ("files", key, None)
    assert found.says.endswith("is missing; its labels stand in the ledger. Restore it from a copy")
    file.write_bytes(kept)
    agreed(bench)


def test_a_restored_copy_is_a_loss_until_nothing_else_disagrees(bench: Bench) -> None:
    key = bench.open_round()
    bench.perform("dataset", key)
    copy = backup(bench.ledger, bench.home.root / "backups")
    bench.perform("clone", key)
    done = restore(bench.ledger, copy)
    assert done.known > done.commits
    loss, stranger = bench.compare().drift
    assert loss.kind == "loss"
    assert f"{key}: clone 1 intended as" in loss.says
    assert (stranger.kind, stranger.says.split(" (")[0]) == ("unknown remote object", "a project")
    assert bench.mend() == []
    assert not close_losses(bench.service, [bench.compare()])
    bench.perform("clone", key)
    assert (bench.effect(key, "clone").state, bench.made("clone")) == ("adopted", 1)
    plan = bench.compare()
    assert [one.kind for one in plan.drift] == ["loss"]
    assert close_losses(bench.service, [plan])
    assert without_losses(plan).drift == []
    agreed(bench)
    with bench.ledger.transaction() as tx:
        assert losses.unreconciled(tx) == []
    assert not close_losses(bench.service, [bench.compare()])
