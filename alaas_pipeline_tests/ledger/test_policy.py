import multiprocessing
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.config import Approval, SharedLimits
from alaas_pipeline.ledger import Ledger, Transaction, journal, losses, pools, quotes, rounds
from alaas_pipeline.ledger.commit_log import Commit
from alaas_pipeline.ledger.policy import apply_policy
from alaas_pipeline.ledger.quotes import Decision
from alaas_pipeline_tests.builders import pool_settings
from alaas_pipeline_tests.ledger.fill import ROUND, effect

PRICE = 50_000
Clock = Callable[[str], None]


def auto(**limits: Any) -> Approval:
    """The policy, generous in what a round may cost unless told otherwise."""
    terms = {"policy": "auto", "max_images_per_round": 1000, "max_money_per_round": "1000"}
    return Approval.model_validate(terms | limits)


def shared(**limits: Any) -> SharedLimits:
    return SharedLimits.model_validate(limits)


def quoted(tx: Transaction, pool: str = "cats", images: int = 3, price: int = PRICE, currency: str = "USD") -> str:
    """Opens the next round of a pool, quoted; the one before has landed."""
    pools.ensure(tx, pool, pool)
    tx.run("UPDATE rounds SET state = 'landed' WHERE pool = ? AND state NOT IN ('refused', 'canceled')", pool)
    key = rounds.open_next(tx, pool_settings(key=pool)).key
    quotes.make(tx, key, [f"{key}:{number}" for number in range(images)], price, currency)
    for state in ("selected", "quoted"):
        rounds.advance(tx, key, state)
    return key


def says(tx: Transaction, key: str, *approvals: Approval, over_all: SharedLimits | None = None) -> Decision | str:
    """The policy's yes, or the sentence that explains why not."""
    made, sentence = apply_policy(tx, key, approvals, over_all)
    return made or sentence


def accepted(tx: Transaction, key: str, *approvals: Approval, over_all: SharedLimits | None = None) -> bool:
    return isinstance(says(tx, key, *approvals, over_all=over_all), Decision)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets the time of decisions."""

    def at(time: str) -> None:
        for module in ("policy", "quotes"):
            monkeypatch.setattr(f"alaas_pipeline.ledger.{module}.now", lambda: time)

    return at


@pytest.fixture(autouse=True)
def _no_midnight(request: pytest.FixtureRequest) -> None:
    """Lets no test fail because a day ends while it runs."""
    request.getfixturevalue("clock")("2026-11-22T10:00:00.000000Z")


@pytest.fixture
def key(tx: Transaction) -> str:
    """A quoted round of three images at 0.05 USD."""
    return quoted(tx)


def test_manual_waits_and_says_what_to_type(tx: Transaction, key: str) -> None:
    quote = quotes.find(tx, key)
    assert quote is not None
    assert says(tx, key, Approval()) == (
        f"Waiting for a person: 3 images for at most 0.15 USD. To accept: alaas-pipeline approve {key} --quote {quote.digest}"
    )
    assert quotes.decision(tx, key) is None


def test_without_a_quote_there_is_nothing_to_say(tx: Transaction) -> None:
    rounds.open_next(tx, pool_settings())
    assert apply_policy(tx, ROUND, [auto()]) == (None, "no quote yet")


@pytest.mark.parametrize(("most_images", "most_money"), [(3, "0.15"), (10, "1")])
def test_auto_says_yes_within_its_limits(tx: Transaction, key: str, most_images: int, most_money: str) -> None:
    policy = auto(max_images_per_round=most_images, max_money_per_round=most_money)
    made, sentence = apply_policy(tx, key, [policy])
    assert made is not None
    assert (made.decision, made.decided_by, made.images, made.total_micros) == ("accepted", "policy auto", 3, 150_000)
    assert (
        made.allowed_by == f"3 of {most_images} images this round; 0.15 USD of {float(most_money):.2f} USD this round"
    )
    assert sentence == "Accepted by policy: 3 images for at most 0.15 USD."
    assert apply_policy(tx, key, [policy]) == (made, "decided")


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"max_images_per_round": 2}, "3 of 2 images this round"),
        ({"max_money_per_round": "0.149999"}, "0.15 USD of 0.149999 USD this round"),
        ({"max_money_per_round": "0"}, "0.15 USD of 0.00 USD this round"),
        ({"max_images_per_day": 2}, "3 of 2 images today"),
        ({"max_money_per_month": "0.14"}, "0.15 USD of 0.14 USD this month"),
        ({"max_money_total": "0"}, "0.15 USD of 0.00 USD in total"),
    ],
)
def test_auto_leaves_what_is_beyond_to_a_person(tx: Transaction, key: str, limits: dict[str, Any], told: str) -> None:
    sentence = says(tx, key, auto(**limits))
    quote = quotes.find(tx, key)
    assert quote is not None
    assert sentence == (
        f"Beyond the policy's limits: {told}. A person may accept 3 images for at most 0.15 USD: "
        f"alaas-pipeline approve {key} --quote {quote.digest}"
    )
    assert quotes.decision(tx, key) is None
    assert quotes.accept(tx, key, quote.digest, "Ada").allowed_by == f"the quote {quote.digest}, typed"


@pytest.mark.parametrize("policy", [Approval(), auto()])
def test_a_policy_never_overrules_a_person(tx: Transaction, key: str, policy: Approval) -> None:
    quote = quotes.find(tx, key)
    assert quote is not None
    person = quotes.accept(tx, key, quote.digest, "Ada")
    assert apply_policy(tx, key, [policy]) == (person, "decided")
    other = quoted(tx, "dogs")
    quotes.refuse(tx, other, "Ada")
    assert apply_policy(tx, other, [policy]) == (quotes.decision(tx, other), "decided")


def test_settings_that_were_tightened_since_count_at_once(tx: Transaction, key: str) -> None:
    then = auto()
    for now in (Approval(), auto(max_images_per_round=2), auto(max_money_total="0.14")):
        assert not accepted(tx, key, then, now)
        assert not accepted(tx, key, now, then)
    # The round was opened to wait for a person: what is loosened since counts from the next round on.
    assert not accepted(tx, key, Approval(), auto())
    assert accepted(tx, key, then, auto(max_images_per_round=3))


# Each limit lets three images (0.15 USD) pass and no fourth.
@pytest.mark.parametrize("limit", ["images", "money"])
@pytest.mark.parametrize("period", ["per_day", "per_month", "total"])
@pytest.mark.parametrize("over_all", [False, True])
def test_a_limit_is_used_up_exactly(tx: Transaction, limit: str, period: str, over_all: bool) -> None:
    name = f"max_{limit}_{period}"
    terms = {name: 3 if limit == "images" else "0.15"}

    def pass_on(key: str) -> bool:
        return accepted(tx, key, auto(**({} if over_all else terms)), over_all=shared(**terms) if over_all else None)

    for images in (2, 1):
        assert pass_on(quoted(tx, images=images))
    assert not pass_on(quoted(tx, images=1))
    # Another pool has its own limits, but not when they are over all.
    assert pass_on(quoted(tx, "dogs", images=1)) is not over_all


def test_yeses_of_persons_count_and_the_terms_are_kept(tx: Transaction) -> None:
    first = quoted(tx, images=4)
    quote = quotes.find(tx, first)
    assert quote is not None
    quotes.accept(tx, first, quote.digest, "Ada")
    policy, over_all = auto(max_images_per_day=6, max_money_total="0.30"), shared(max_images_total=9)
    made = says(tx, quoted(tx, images=2), policy, policy, over_all=over_all)
    assert isinstance(made, Decision)
    assert made.allowed_by == (
        "2 of 1,000 images this round; 0.10 USD of 1000.00 USD this round; 4 + 2 of 6 images today; "
        "0.20 USD + 0.10 USD of 0.30 USD in total; 4 + 2 of 9 images in total over all pools"
    )


def test_days_and_months_are_those_of_utc(tx: Transaction, clock: Clock) -> None:
    def pass_on(at: str, **limits: int) -> bool:
        clock(at)
        return accepted(tx, quoted(tx), auto(**limits))

    assert pass_on("2026-11-30T23:59:59.999999Z", max_images_per_day=3)
    assert not pass_on("2026-11-30T23:59:59.999999Z", max_images_per_day=5)
    assert pass_on("2026-12-01T00:00:00.000000Z", max_images_per_day=3, max_images_per_month=3)
    assert not pass_on("2026-12-31T12:00:00.000000Z", max_images_per_month=5)
    assert pass_on("2026-12-31T12:00:00.000000Z", max_images_per_month=6)
    assert pass_on("2027-11-30T12:00:00.000000Z", max_images_per_day=3, max_images_per_month=3)
    assert not pass_on("2027-11-30T12:00:00.000000Z", max_images_total=14)


@pytest.mark.parametrize("state", ["refused", "canceled", "archived"])
def test_a_round_given_up_before_it_was_billed_does_not_count(tx: Transaction, state: str) -> None:
    limit = auto(max_images_total=3)
    first = quoted(tx)
    assert accepted(tx, first, limit)
    tx.run("UPDATE rounds SET state = ? WHERE round = ?", state, first)
    journal.settle(tx, effect(tx, first, "approve"), "failed")
    tx.run("INSERT INTO rounds SELECT * REPLACE ('cats.r0002' AS round, 2 AS number, 'quoted' AS state) FROM rounds")
    quotes.make(tx, "cats.r0002", ["a", "b", "c"], PRICE, "USD")
    assert accepted(tx, "cats.r0002", limit)


@pytest.mark.parametrize(("end", "sends"), [("done", 1), ("adopted", 0), ("intended", 1), ("needs_person", 1)])
@pytest.mark.parametrize("state", ["canceled", "archived"])
def test_a_round_that_may_have_been_billed_counts_however_it_ended(
    tx: Transaction, state: str, end: str, sends: int
) -> None:
    first = quoted(tx)
    assert accepted(tx, first, auto())
    made = effect(tx, first, "approve")
    for _ in range(sends):
        journal.sending(tx, made)
    journal.settle(tx, made, end)
    tx.run("UPDATE rounds SET state = ? WHERE round = ?", state, first)
    assert not accepted(tx, quoted(tx, "dogs"), auto(), over_all=shared(max_images_total=5))


def test_a_yes_taken_back_makes_room(tx: Transaction, key: str) -> None:
    limit = auto(max_images_total=3)
    assert accepted(tx, key, limit)
    quotes.refuse(tx, key, "Ada")
    assert accepted(tx, quoted(tx), limit)


def test_money_in_another_currency_is_not_compared(tx: Transaction) -> None:
    over_all = shared(max_money_total="0.30")
    assert accepted(tx, quoted(tx), auto(), over_all=over_all)
    euros = quoted(tx, "dogs", currency="EUR")
    assert "the quote is in EUR, the limits over all pools are in USD" in str(
        says(tx, euros, auto(), over_all=over_all)
    )
    # Images are images in any currency.
    assert "3 + 3 of 5 images in total over all pools" in str(
        says(tx, euros, auto(), over_all=shared(max_images_total=5))
    )
    assert accepted(tx, euros, auto(), over_all=shared(max_images_total=6, currency="USD"))
    # What was accepted in euros is no part of a sum in dollars.
    assert accepted(tx, quoted(tx, "ants"), auto(), over_all=over_all)
    assert not accepted(tx, quoted(tx, "bees", images=1), auto(), over_all=over_all)


def test_a_pool_whose_currency_changed_goes_on_by_a_person_while_the_old_one_counts(tx: Transaction) -> None:
    assert accepted(tx, quoted(tx), auto())
    euros = quoted(tx, currency="EUR")
    sentence = says(tx, euros, auto(max_money_total="100"))
    assert "what was accepted in total in USD cannot be counted in EUR" in str(sentence)
    assert accepted(tx, euros, auto(max_images_total=6))


def test_after_a_loss_sums_are_not_trusted_until_it_is_reconciled(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        quoted(tx)
        number = tx.value("SELECT number + 1 FROM commits")
    ledger.log.append(Commit(number + 3, "2026-11-22T10:00:00.000000Z", ()))
    with ledger.transaction() as tx:
        sentence = says(tx, ROUND, auto(max_images_total=100))
        assert f"the ledger lost commits {number + 1} to {number + 3}, so what was accepted is not known" in str(
            sentence
        )
        losses.reconciled(tx)
        assert accepted(tx, ROUND, auto(max_images_total=100))


def test_a_round_of_its_own_limits_alone_needs_no_sums(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        quoted(tx)
    ledger.log.append(Commit(99, "2026-11-22T10:00:00.000000Z", ()))
    with ledger.transaction() as tx:
        assert accepted(tx, ROUND, auto())


def hammer(path: Path, seed: int) -> None:
    ledger, order = Ledger(path), random.Random(seed)
    keys = [f"p{number}.r0001" for number in range(24)]
    order.shuffle(keys)
    for key in keys:
        with ledger.transaction() as tx:
            apply_policy(tx, key, [auto(max_images_total=2)], shared(max_images_total=11, max_money_total="0.80"))


def test_processes_at_once_never_exceed_a_limit(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        for number in range(24):
            quoted(tx, f"p{number}", images=1 + number % 3)  # 0.05 to 0.15 USD; three are more than their pool may
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=hammer, args=(ledger.path, seed)) for seed in range(2)]
    for worker in workers:
        worker.start()
    hammer(ledger.path, 7)
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    with ledger.transaction() as tx:
        images = tx.column("SELECT images FROM decisions WHERE decided_by = 'policy auto'")
        refused = tx.column("SELECT q.images FROM quotes q WHERE round NOT IN (SELECT round FROM decisions)")
    assert set(images) <= {1, 2}
    # Used up: nothing that is left would fit.
    assert sum(images) <= 11 < sum(images) + min(refused)
    assert len(images) + len(refused) == 24
