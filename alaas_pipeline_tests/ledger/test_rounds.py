import itertools

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Transaction, pools, rounds
from alaas_pipeline.ledger.rounds import ALLOWED, ENDED, MAIN_LINE, ROUND_KEY, STOPPED, round_key
from alaas_pipeline_tests.builders import pool_settings
from alaas_pipeline_tests.ledger.fill import ROUND, advance

STATES = sorted(ALLOWED)


def put(tx: Transaction, state: str) -> None:
    tx.run("UPDATE rounds SET state = ? WHERE round = ?", state, ROUND)


def test_the_states_are_closed() -> None:
    assert set(itertools.chain.from_iterable(ALLOWED.values())) | {"open"} == set(ALLOWED)
    assert set(MAIN_LINE) | set(ENDED) | set(STOPPED) == set(ALLOWED)
    for before, after in itertools.pairwise(MAIN_LINE):
        assert after in ALLOWED[before]
    # A bill is started from one place; a person or the platform may have done it for a round set aside.
    assert {state for state, to in ALLOWED.items() if "approved" in to} == {"cloned", "paused", "needs_person"}
    for state in ("approved", "paused", "labelled", "exported", "landed"):
        assert "refused" not in ALLOWED[state]


def test_every_move_is_allowed_or_refused_as_declared(tx: Transaction) -> None:
    rounds.open_next(tx, pool_settings())
    for before, after in itertools.product(STATES, STATES):
        put(tx, before)
        if after == before or after in ALLOWED[before]:
            rounds.advance(tx, ROUND, after, "why")
            assert rounds.get(tx, ROUND).state == after
        else:
            with pytest.raises(
                UserError,
                match=f"is in state '{before}' and cannot become '{after}'. Look at: alaas-pipeline status cats",
            ):
                rounds.advance(tx, ROUND, after)
            assert rounds.get(tx, ROUND).state == before


@pytest.mark.parametrize(
    ("before", "after"), [("open", "approved"), ("landed", "open"), ("refused", "selected"), ("open", "nonsense")]
)
def test_some_moves_that_must_never_be(tx: Transaction, before: str, after: str) -> None:
    rounds.open_next(tx, pool_settings())
    put(tx, before)
    with pytest.raises(UserError, match="cannot become"):
        rounds.advance(tx, ROUND, after)


def test_a_round_begins_open_with_a_copy_of_the_settings(tx: Transaction) -> None:
    settings = pool_settings(price_per_image="0.07", images_per_round=7)
    opened = rounds.open_next(tx, settings)
    assert (opened.key, opened.pool, opened.number, opened.state, opened.note) == (ROUND, "cats", 1, "open", None)
    assert opened.settings == settings
    assert rounds.get(tx, ROUND) == rounds.latest(tx, "cats") == opened
    assert not opened.ended


def test_one_round_is_open_at_a_time(tx: Transaction) -> None:
    pools.ensure(tx, "dogs", "Dogs")
    rounds.open_next(tx, pool_settings())
    for state in MAIN_LINE[:-1]:
        if state != "open":
            rounds.advance(tx, ROUND, state)
        with pytest.raises(
            UserError, match=rf"Round cats\.r0001 is not finished \(state: {state}\)\. A pool has one open round"
        ):
            rounds.open_next(tx, pool_settings())
    assert rounds.open_next(tx, pool_settings(name="Dogs")).key == "dogs.r0001"
    rounds.advance(tx, ROUND, "landed")
    assert rounds.open_next(tx, pool_settings()).key == "cats.r0002"
    assert [one.key for one in rounds.of_pool(tx, "cats")] == [ROUND, "cats.r0002"]


@pytest.mark.parametrize("state", STOPPED)
def test_a_round_that_waits_for_a_person_is_open_still(tx: Transaction, state: str) -> None:
    rounds.open_next(tx, pool_settings())
    put(tx, state)
    with pytest.raises(UserError, match="is not finished"):
        rounds.open_next(tx, pool_settings())


@pytest.mark.parametrize("state", ENDED)
def test_after_a_round_that_ended_comes_the_next(tx: Transaction, state: str) -> None:
    rounds.open_next(tx, pool_settings())
    put(tx, state)
    assert rounds.get(tx, ROUND).ended
    assert rounds.open_next(tx, pool_settings()).number == 2


def test_the_same_state_again_only_changes_the_note(tx: Transaction) -> None:
    rounds.open_next(tx, pool_settings())
    rounds.advance(tx, ROUND, "needs_person", "look at this")
    rounds.advance(tx, ROUND, "needs_person", "and at that")
    assert rounds.get(tx, ROUND).note == "and at that"
    rounds.advance(tx, ROUND, "selected")
    assert rounds.get(tx, ROUND).note is None


def test_how_far_a_round_has_come(tx: Transaction) -> None:
    rounds.open_next(tx, pool_settings())
    reached = {}
    for state in STATES:
        put(tx, state)
        current = rounds.get(tx, ROUND)
        reached[state] = [other for other in MAIN_LINE if current.reached(other)]
    assert reached["quoted"] == ["open", "selected", "quoted"]
    assert reached["landed"] == reached["archived"] == list(MAIN_LINE)
    assert reached["paused"] == reached["approved"]
    assert reached["export_failed"] == reached["labelled"]
    for state in ("needs_person", "refused", "canceled", "exhausted"):
        assert reached[state] == []


def test_an_unknown_round_says_how_to_open_one(tx: Transaction) -> None:
    with pytest.raises(
        UserError, match=r"no round 'cats\.r0009' in the ledger\. Open one with: alaas-pipeline open-round cats"
    ):
        rounds.get(tx, "cats.r0009")
    with pytest.raises(UserError, match="no round"):
        rounds.advance(tx, "cats.r0009", "selected")
    assert rounds.latest(tx, "cats") is None
    assert rounds.of_pool(tx, "cats") == []


def test_what_the_platform_said_is_kept(tx: Transaction) -> None:
    rounds.open_next(tx, pool_settings())
    advance(tx, ROUND, "selected", "quoted")
    rounds.observe(tx, ROUND, "active", 50, 12)
    current = rounds.get(tx, ROUND)
    assert (current.project_status, current.tasks_total, current.tasks_completed) == ("active", 50, 12)
    assert current.state == "quoted"


def test_keys_are_legal_and_sort_by_number() -> None:
    keys = [round_key("street_cats", number) for number in (1, 9, 10, 9999)]
    assert keys == sorted(keys)
    assert keys[0] == "street_cats.r0001"
    assert all(ROUND_KEY.fullmatch(key) for key in keys)
    assert not ROUND_KEY.fullmatch("street-cats.r0001")
