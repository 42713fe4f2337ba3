import json
from typing import Any

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, credits, images, journal, landing, plans, pools, pushes, quotes, rounds
from alaas_pipeline.ledger.commit_log import Commit
from alaas_pipeline.ledger.status import status
from alaas_pipeline_tests.ledger.fill import (
    ROUND,
    add_images,
    advance,
    effect,
    file_row,
    image_row,
    open_with_picks,
    outcome,
)

# A contract with scripts: keys may be added, never taken away or renamed.
KEYS = {
    "": ["pool", "name", "counts", "credits", "money", "rounds", "plan", "imports"],
    "counts": ["total", "selected", "remaining", "refused", "duplicates", "embedded"],
    "credits": ["granted", "reserved", "spent", "balance", "spendable"],
    "round": [
        "round", "state", "note", "opened_at", "picked", "uploaded", "labelled", "refused", "pending", "quarantined", "credits_spent",
        "quote", "decision", "dataset_uid", "project_uid", "export_uid", "project_status", "tasks_total", "tasks_completed",
        "acceptance_rate", "wait_until", "landing",
    ],
    "quote": ["digest", "images", "total", "currency"],
    "decision": ["decision", "by", "quote", "at", "allowed_by"],
}  # fmt: skip


def test_the_document_of_a_round_that_landed_and_one_that_is_open(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        digests = add_images(tx, "a", "b", "c", "d")
        images.record_scan(
            tx, "cats", [file_row("bad", "bad")], [image_row("bad", state="refused", reason="no image")], []
        )
        credits.grant_up_to(tx, "cats", 1000)
        open_with_picks(tx, "b", "a")
        credits.reserve(tx, "cats", "s", 60, "x", ROUND)
        credits.settle(tx, "cats", "s", 50, "x", ROUND)
        quote = quotes.make(tx, ROUND, digests[:2], 75_000, "USD")
        quotes.accept(tx, ROUND, quote.digest, "Ada")
        pushes.plan(tx, ROUND, {one: one for one in digests[:2]})
        pushes.uploaded(tx, ROUND, digests[:2])
        for kind in ("dataset", "clone", "approve", "export"):
            journal.settle(tx, effect(tx, ROUND, kind), "done", remote_uid=f"{kind}-uid")
        rounds.observe(tx, ROUND, "completed", 2, 2)
        landing.record(
            tx, "cats", ROUND, export_uid="e", export_digest="e", schema=[], schema_digest="s", file="f",
            outcomes=[outcome("a", "labelled", "cat"), outcome("b", "refused")], quarantined=[("odd", {})],
        )  # fmt: skip
        advance(tx, ROUND, "quoted", "uploaded", "cloned", "approved", "labelled", "exported", "landed")
        open_with_picks(tx, "c")
    document = status(ledger)
    assert json.loads(json.dumps(document)) == document
    assert list(document) == ["pools", "lost_commits"]
    assert document["lost_commits"] == []
    (pool,) = document["pools"]
    first, second = pool["rounds"]
    seen: dict[str, dict[str, Any]] = {
        "": pool, "counts": pool["counts"], "credits": pool["credits"], "round": first, "quote": first["quote"], "decision": first["decision"],
    }  # fmt: skip
    assert {name: list(part) for name, part in seen.items()} == KEYS
    assert list(second) == KEYS["round"]
    assert (pool["pool"], pool["name"], pool["money"]) == ("cats", "Cats", {"USD": 0.15})
    assert pool["counts"] == {"total": 4, "selected": 3, "remaining": 1, "refused": 1, "duplicates": 0, "embedded": 4}
    assert pool["counts"]["total"] == pool["counts"]["selected"] + pool["counts"]["remaining"]
    assert pool["credits"] == {"granted": 1000, "reserved": 0, "spent": 50, "balance": 950, "spendable": 950}
    assert pool["plan"] is None
    assert first["decision"].pop("at") > first["opened_at"]
    opened_at = first.pop("opened_at")
    assert opened_at < second.pop("opened_at")
    assert first == {
        "round": ROUND, "state": "landed", "note": None, "picked": ["b", "a"], "uploaded": 2, "labelled": 1, "refused": 1, "pending": 0,
        "quarantined": 1, "credits_spent": 50, "quote": {"digest": quote.digest, "images": 2, "total": 0.15, "currency": "USD"},
        "decision": {"decision": "accepted", "by": "Ada", "quote": quote.digest, "allowed_by": f"the quote {quote.digest}, typed"}, "dataset_uid": "dataset-uid", "project_uid": "clone-uid",
        "export_uid": "export-uid", "project_status": "completed", "tasks_total": 2, "tasks_completed": 2, "acceptance_rate": None, "wait_until": None,
        "landing": {"version": 1, "state": "serves", "held_for": None},
    }  # fmt: skip
    assert second == {
        "round": "cats.r0002", "state": "selected", "note": None, "picked": ["c"], "uploaded": 0, "labelled": 0, "refused": 0, "pending": 0,
        "quarantined": 0, "credits_spent": 0, "quote": None, "decision": None, "dataset_uid": None, "project_uid": None, "export_uid": None,
        "project_status": None, "tasks_total": None, "tasks_completed": None, "acceptance_rate": None, "wait_until": None,
        "landing": None,
    }  # fmt: skip


def test_one_pool_or_all(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        pools.ensure(tx, "dogs", "Dogs")
        add_images(tx, "a", pool="dogs")
    assert [pool["pool"] for pool in status(ledger)["pools"]] == ["cats", "dogs"]
    (dogs,) = status(ledger, "dogs")["pools"]
    assert (dogs["name"], dogs["counts"]["total"], dogs["rounds"]) == ("Dogs", 1, [])
    with pytest.raises(UserError, match=r"no pool 'ants' yet\. Materialize its 'images'"):
        status(ledger, "ants")


def test_an_empty_ledger(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        tx.run("DELETE FROM pools")
    assert status(ledger) == {"pools": [], "lost_commits": []}


def test_what_waits_for_a_person_or_the_platform_is_said(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        key = open_with_picks(tx)
        rounds.stay_away(tx, key, "2026-11-22T10:00:00Z")
        plan = plans.propose(tx, "cats", "a/b", "ab-1", "tiny-1", 4, 20)
        number = tx.value("SELECT number + 2 FROM commits")  # this transaction is one more
    ledger.log.append(Commit(number, "2026-11-22T09:00:00.000000Z", ("cats: something",)))
    document = status(ledger)
    (pool,) = document["pools"]
    assert pool["rounds"][0]["wait_until"] == "2026-11-22T10:00:00Z"
    assert pool["plan"] == {
        "digest": plan.digest, "encoder": "a/b", "images": 4, "credits": 20, "state": "proposed", "decided_by": None, "offer": plan.offer,
    }  # fmt: skip
    (lost,) = document["lost_commits"]
    assert (lost["first_commit"], lost["last_commit"]) == (number, number)
    assert lost["what"] == ["2026-11-22T09:00:00.000000Z cats: something"]
    assert json.loads(json.dumps(document)) == document
