import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, Transaction, credits
from alaas_pipeline.ledger.credits import Credits, InsufficientCredits
from alaas_pipeline_tests.builders import STEADY


def entries(tx: Transaction, pool: str = "cats") -> list[tuple[str, int]]:
    rows = tx.rows("SELECT kind, credits FROM credit_entries WHERE pool = ? ORDER BY entered_at, rowid", pool)
    return [(row["kind"], row["credits"]) for row in rows]


def test_a_pool_begins_with_nothing(tx: Transaction) -> None:
    assert credits.credits(tx, "cats") == Credits(0, 0, 0)


def test_every_row_moves_credits_between_two_accounts(tx: Transaction) -> None:
    credits.grant_up_to(tx, "cats", 1000)
    credits.reserve(tx, "cats", "a", 300, "A")
    credits.settle(tx, "cats", "a", 200, "A")
    credits.reserve(tx, "cats", "b", 50, "B", "cats.r0001")
    held = credits.credits(tx, "cats")
    assert held == Credits(granted=1000, reserved=50, spent=200)
    assert (held.balance, held.spendable) == (800, 750)
    assert entries(tx) == [("grant", 1000), ("reserve", 300), ("post", 200), ("void", 100), ("reserve", 50)]
    assert tx.value("SELECT count(*) FROM credit_entries WHERE from_account = to_account") == 0
    assert credits.credits(tx, "dogs") == Credits(0, 0, 0)


def test_the_grant_follows_what_is_declared_but_never_below_what_is_used(tx: Transaction) -> None:
    granted = []
    for declared in (1000, 1000, 1500, 100):
        credits.grant_up_to(tx, "cats", declared)
        granted.append(credits.credits(tx, "cats").granted)
    assert granted == [1000, 1000, 1500, 100]
    credits.reserve(tx, "cats", "a", 60, "A")
    credits.settle(tx, "cats", "a", 40, "A")
    credits.reserve(tx, "cats", "b", 30, "B")
    credits.grant_up_to(tx, "cats", 10)
    assert credits.credits(tx, "cats") == Credits(granted=70, reserved=30, spent=40)
    assert credits.credits(tx, "cats").spendable == 0
    assert len([kind for kind, _ in entries(tx) if kind == "grant"]) == 4


def test_too_few_credits_say_all_figures_and_change_nothing(tx: Transaction) -> None:
    credits.grant_up_to(tx, "cats", 10_000)
    credits.reserve(tx, "cats", "a", 4000, "A")
    before = entries(tx)
    with pytest.raises(InsufficientCredits) as caught:
        credits.reserve(tx, "cats", "b", 13_120, "Embedding 2,624 images")
    assert str(caught.value) == (
        "Embedding 2,624 images costs 13,120 credits and pool 'cats' may spend 6,000 (granted 10,000, reserved 4,000, spent 0). "
        "Raise credit_grant in pools.yaml; nothing was charged."
    )
    assert isinstance(caught.value, UserError)
    assert entries(tx) == before
    credits.reserve(tx, "cats", "b", 6000, "All that is left")
    assert credits.credits(tx, "cats").spendable == 0


def test_reserving_again_changes_nothing_and_another_amount_is_refused(tx: Transaction) -> None:
    credits.grant_up_to(tx, "cats", 100)
    for _ in range(2):
        credits.reserve(tx, "cats", "a", 80, "A")
    assert credits.credits(tx, "cats").reserved == 80
    with pytest.raises(ValueError, match="is reserved for 80 credits, not 70"):
        credits.reserve(tx, "cats", "a", 70, "A")
    with pytest.raises(ValueError, match="cannot be reserved for -1"):
        credits.reserve(tx, "cats", "b", -1, "B")


@pytest.mark.parametrize("cost", [0, 30, 80])
def test_what_is_left_of_a_reservation_goes_back(tx: Transaction, cost: int) -> None:
    credits.grant_up_to(tx, "cats", 100)
    credits.reserve(tx, "cats", "a", 80, "A")
    assert credits.open_reservation(tx, "a") == 80
    credits.settle(tx, "cats", "a", cost, "A")
    assert credits.open_reservation(tx, "a") is None
    assert credits.credits(tx, "cats") == Credits(granted=100, reserved=0, spent=cost)


def test_an_operation_is_settled_once_and_never_beyond_its_reservation(tx: Transaction) -> None:
    credits.grant_up_to(tx, "cats", 100)
    credits.reserve(tx, "cats", "a", 80, "A")
    for cost in (81, -1):
        with pytest.raises(ValueError, match="open reservation 80"):
            credits.settle(tx, "cats", "a", cost, "A")
    credits.settle(tx, "cats", "a", 80, "A")
    for operation, cost in (("a", 1), ("a", 0), ("never", 0)):
        with pytest.raises(ValueError, match="open reservation None"):
            credits.settle(tx, "cats", operation, cost, "again")
    assert credits.credits(tx, "cats") == Credits(granted=100, reserved=0, spent=80)


def test_open_reservations_are_voided_by_prefix(tx: Transaction) -> None:
    credits.grant_up_to(tx, "cats", 100)
    credits.grant_up_to(tx, "dogs", 100)
    for operation in ("embed:cats:1", "embed:cats:2", "embed:cats:3", "select:cats.r0001:1"):
        credits.reserve(tx, "cats", operation, 10, "x")
    credits.reserve(tx, "dogs", "embed:cats:dogs", 10, "x")
    credits.settle(tx, "cats", "embed:cats:1", 10, "x")
    assert credits.void_open(tx, "cats", "embed:cats:", "interrupted") == 2
    assert credits.void_open(tx, "cats", "embed:cats:", "interrupted") == 0
    assert credits.credits(tx, "cats") == Credits(granted=100, reserved=10, spent=10)
    assert credits.credits(tx, "dogs").reserved == 10


def test_what_a_round_cost(tx: Transaction) -> None:
    credits.grant_up_to(tx, "cats", 100)
    for number, operation in enumerate(("a", "b"), start=1):
        credits.reserve(tx, "cats", operation, 40, "x", "cats.r0001")
        credits.settle(tx, "cats", operation, number * 10, "x", "cats.r0001")
    assert credits.spent_on(tx, "cats.r0001") == 30
    assert credits.spent_on(tx, "cats.r0002") == 0


def spend(tx: Transaction, operation: str, reserved: int, cost: int) -> None:
    credits.grant_up_to(tx, "cats", 100)
    credits.reserve(tx, "cats", operation, reserved, "x")
    credits.settle(tx, "cats", operation, cost, "x")


@pytest.mark.parametrize("amount", [1, 30])
def test_a_refund_gives_back_once(tx: Transaction, amount: int) -> None:
    spend(tx, "a", 40, 30)
    for again in (amount, amount, 1):
        credits.refund(tx, "cats", "a", again, "lost")
        assert credits.credits(tx, "cats") == Credits(granted=100, reserved=0, spent=30 - amount)
    assert [kind for kind, _ in entries(tx)].count("refund") == 1
    assert credits.broken(tx, "cats") == []


@pytest.mark.parametrize("amount", [31, 40, 0, -1])
def test_a_refund_is_never_more_than_was_posted(tx: Transaction, amount: int) -> None:
    spend(tx, "a", 40, 30)
    with pytest.raises(ValueError, match=f"cannot be refunded {amount} credits: posted 30"):
        credits.refund(tx, "cats", "a", amount, "lost")
    assert credits.credits(tx, "cats").spent == 30


def test_what_was_not_posted_is_not_refunded(tx: Transaction) -> None:
    spend(tx, "void", 40, 0)
    credits.reserve(tx, "cats", "open", 40, "x")
    for operation in ("void", "open", "never"):
        with pytest.raises(ValueError, match="cannot be refunded 1 credits: posted 0"):
            credits.refund(tx, "cats", operation, 1, "lost")


def test_nothing_is_voided_after_it_was_posted(tx: Transaction) -> None:
    spend(tx, "a:1", 40, 40)
    spend(tx, "a:2", 40, 10)
    assert credits.void_open(tx, "cats", "a:", "interrupted") == 0
    for operation in ("a:1", "a:2"):
        with pytest.raises(ValueError, match="open reservation None"):
            credits.settle(tx, "cats", operation, 0, "void")
    assert credits.credits(tx, "cats") == Credits(granted=100, reserved=0, spent=50)


PLANT = (
    "INSERT INTO credit_entries (operation_id, kind, pool, from_account, to_account, credits, note, entered_at) "
    "VALUES ('x', ?, 'cats', ?, ?, ?, '', 'now')"
)


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ([("post", "reserved", "spent", 50)], "a balance is below zero"),
        ([("post", "reserved", "spent", 5)], "operation x does not balance"),
        ([("void", "reserved", "spendable", 5)], "operation x does not balance"),
        ([("refund", "spent", "spendable", 5)], "operation x does not balance"),
        ([("reserve", "spendable", "reserved", 5), ("post", "reserved", "spent", 4)], "-?[0-9]+ credits are reserved, and"),
        ([("reserve", "spendable", "reserved", 5), ("post", "reserved", "spent", 6)], "operation x does not balance"),
        (
            [("reserve", "spendable", "reserved", 5), ("post", "reserved", "spent", 3), ("void", "reserved", "spendable", 3)],
            "operation x does not balance",
        ),
        (
            [("reserve", "spendable", "reserved", 5), ("post", "reserved", "spent", 5), ("refund", "spent", "spendable", 6)],
            "operation x does not balance",
        ),
        ([("reserve", "spendable", "reserved", 500)], "a balance is below zero"),
        ([("grant", "granted", "spendable", -100)], "a balance is below zero"),
        ([("reserve", "spendable", "reserved", -5)], "'reserve' of operation x moves -5 credits from spendable to reserved"),
        ([("grant", "granted", "spent", 5)], "'grant' of operation x moves 5 credits from granted to spent"),
        ([("refund", "spent", "granted", 5)], "'refund' of operation x moves 5 credits from spent to granted"),
        ([("gift", "granted", "spendable", 5)], "'gift' of operation x moves 5 credits"),
        ([("grant", "nowhere", "spendable", 5)], "'grant' of operation x moves 5 credits from nowhere"),
    ],
)  # fmt: skip
def test_planted_imbalances_are_found(tx: Transaction, planted: list[tuple[str, str, str, int]], told: str) -> None:
    spend(tx, "a", 40, 30)
    credits.refund(tx, "cats", "a", 10, "lost")
    credits.reserve(tx, "cats", "b", 7, "x")
    assert credits.broken(tx, "cats") == []
    for row in planted:
        tx.run(PLANT, *row)
    assert any(re.match(told, problem) for problem in credits.broken(tx, "cats")), credits.broken(tx, "cats")
    assert credits.broken(tx, "dogs") == []


POOLS = itertools.count()
STEPS = st.lists(
    st.tuples(st.sampled_from(["grant", "reserve", "settle", "void"]), st.integers(0, 4), st.integers(0, 120)),
    max_size=20,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return Ledger(tmp_path_factory.mktemp("credits") / "ledger.duckdb")


@settings(STEADY, max_examples=40)
@given(steps=STEPS)
def test_whatever_happens_the_accounts_balance(shared: Ledger, steps: list[tuple[str, int, int]]) -> None:
    pool = f"p{next(POOLS)}"
    granted, spent = 0, 0
    open_now: dict[str, int] = {}
    used: set[str] = set()
    with shared.transaction() as tx:
        for word, which, amount in steps:
            operation = f"{pool}:{which}"
            if word == "grant":
                credits.grant_up_to(tx, pool, amount)
                granted = max(amount, spent + sum(open_now.values()))
            elif word == "void":
                assert credits.void_open(tx, pool, f"{pool}:", "x") == len(open_now)
                open_now.clear()
            elif word == "settle":
                if operation in open_now and amount <= open_now[operation]:
                    credits.settle(tx, pool, operation, amount, "x")
                    del open_now[operation]
                    spent += amount
                else:
                    with pytest.raises(ValueError, match="cannot be settled"):
                        credits.settle(tx, pool, operation, amount, "x")
            elif operation not in used:
                if amount <= granted - spent - sum(open_now.values()):
                    credits.reserve(tx, pool, operation, amount, "x")
                    open_now[operation] = amount
                    used.add(operation)
                else:
                    with pytest.raises(InsufficientCredits):
                        credits.reserve(tx, pool, operation, amount, "x")
            held = credits.credits(tx, pool)
            assert held == Credits(granted, sum(open_now.values()), spent)
            assert held.granted == held.spendable + held.reserved + held.spent
            assert min(held.granted, held.spendable, held.reserved, held.spent) >= 0
