import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Transaction, journal, landing, rounds
from alaas_pipeline.ledger.retry import retry
from alaas_pipeline.ledger.rounds import ALLOWED, ENDED
from alaas_pipeline_tests.builders import pool_settings
from alaas_pipeline_tests.ledger.fill import ROUND, effect


@pytest.fixture(autouse=True)
def _opened(tx: Transaction) -> None:
    rounds.open_next(tx, pool_settings())


def put(tx: Transaction, state: str) -> None:
    tx.run("UPDATE rounds SET state = ? WHERE round = ?", state, ROUND)


def settle(tx: Transaction, *kinds: str, state: str = "done") -> None:
    for kind in kinds:
        journal.settle(tx, effect(tx, ROUND, kind), state, remote_uid=f"{kind}-1")


@pytest.mark.parametrize(
    ("settled", "state"),
    [
        ((), "quoted"),
        (("upload",), "quoted"),
        (("upload", "dataset"), "uploaded"),
        (("upload", "dataset", "clone"), "cloned"),
        (("dataset", "clone", "approve"), "approved"),
        (("dataset", "clone", "approve", "export"), "exported"),
    ],
)
@pytest.mark.parametrize("how", ["done", "adopted"])
def test_a_round_that_needed_a_person_goes_on_where_its_effects_are(
    tx: Transaction, settled: tuple[str, ...], state: str, how: str
) -> None:
    settle(tx, *settled, state=how)
    put(tx, "needs_person")
    assert retry(tx, ROUND, "Ada") == state
    current = rounds.get(tx, ROUND)
    assert (current.state, current.note, current.retries) == (state, "Ada said go on", 1)


def test_an_effect_that_failed_speaks_for_nothing(tx: Transaction) -> None:
    settle(tx, "dataset", "clone")
    settle(tx, "approve", state="needs_person")
    journal.settle(tx, effect(tx, ROUND, "clone"), "failed")
    put(tx, "needs_person")
    assert retry(tx, ROUND, "Ada") == "uploaded"


def test_another_export_is_asked_for_in_place_of_one_that_is_overdue(tx: Transaction) -> None:
    settle(tx, "export")
    put(tx, "overdue")
    assert retry(tx, ROUND, "Ada") == "export_failed"
    given_up = journal.find(tx, ROUND, "export")
    assert given_up is not None
    assert (given_up.state, given_up.remote_uid, given_up.message) == (
        "failed",
        "export-1",
        "another one was asked for",
    )
    # The next is an operation of its own, and the first is not asked for again.
    assert given_up.spent
    assert journal.remote_uid(tx, ROUND, "export") is None


def test_another_export_is_asked_for_in_place_of_one_whose_labels_wait(tx: Transaction) -> None:
    settle(tx, "export")
    landing.record(
        tx, "cats", ROUND, export_uid="export-1", export_digest="d", schema=["car"], schema_digest="s", file="f", outcomes=[], quarantined=[],
        state="held", held_for="new: 'car'",
    )  # fmt: skip
    put(tx, "needs_person")
    assert retry(tx, ROUND, "Ada") == "labelled"
    (version,) = landing.versions(tx, ROUND)
    assert (version.state, version.decided_by) == ("refused", "Ada, who asked for another export")
    assert journal.remote_uid(tx, ROUND, "export") is None


def test_each_go_on_allows_one_more_export(tx: Transaction) -> None:
    put(tx, "export_failed")
    for times in (1, 2, 3):
        assert retry(tx, ROUND, "Ada") == "export_failed"
        assert rounds.get(tx, ROUND).retries == times


@pytest.mark.parametrize("state", ["quoted", "cloned", "labelled"])
def test_a_round_that_waits_for_the_platform_may_go_on_at_once(tx: Transaction, state: str) -> None:
    put(tx, state)
    rounds.stay_away(tx, ROUND, "2026-11-22T10:00:00Z")
    assert retry(tx, ROUND, "Ada") == state
    assert rounds.get(tx, ROUND).wait_until is None


@pytest.mark.parametrize("state", sorted(set(ALLOWED) - {"needs_person", "overdue", "export_failed", *ENDED}))
def test_a_round_that_goes_on_by_itself_stays_and_counts(tx: Transaction, state: str) -> None:
    put(tx, state)
    assert retry(tx, ROUND, "Ada") == state
    assert (rounds.get(tx, ROUND).state, rounds.get(tx, ROUND).retries) == (state, 1)


@pytest.mark.parametrize("state", ENDED)
def test_a_round_that_has_ended_stays_so(tx: Transaction, state: str) -> None:
    put(tx, state)
    with pytest.raises(UserError, match=rf"has ended \({state}\). Open the next one: alaas-pipeline open-round cats"):
        retry(tx, ROUND, "Ada")
    assert (rounds.get(tx, ROUND).state, rounds.get(tx, ROUND).retries) == (state, 0)


def test_an_unknown_round_is_told(tx: Transaction) -> None:
    with pytest.raises(UserError, match=r"no round 'cats\.r0009'"):
        retry(tx, "cats.r0009", "Ada")
