from collections.abc import Callable
from typing import Any

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, Transaction, credits, journal, quotes, rounds
from alaas_pipeline.ledger.quotes import manifest_digest
from alaas_pipeline_tests.ledger.fill import ROUND, add_images, advance, effect, open_with_picks

PRICE = 50_000


@pytest.fixture
def digests(tx: Transaction) -> list[str]:
    """A quoted round of three images at 0.05 USD."""
    digests = add_images(tx, "a.png", "b.png", "c.png")
    open_with_picks(tx, "a.png", "b.png", "c.png")
    quotes.make(tx, ROUND, digests, PRICE, "USD")
    rounds.advance(tx, ROUND, "quoted")
    return digests


def digest_of(tx: Transaction) -> str:
    quote = quotes.find(tx, ROUND)
    assert quote is not None
    return quote.digest


def approve(tx: Transaction, state: str, sends: int) -> None:
    made = effect(tx, ROUND, "approve")
    for _ in range(sends):
        journal.sending(tx, made)
    journal.settle(tx, made, state, remote_uid="project-1")


def test_a_quote_is_the_picks_times_the_price(tx: Transaction, digests: list[str]) -> None:
    quote = quotes.find(tx, ROUND)
    assert quote is not None
    assert (quote.round, quote.pool, quote.images, quote.total_micros, quote.total) == (
        ROUND,
        "cats",
        3,
        150_000,
        "0.15 USD",
    )
    assert quote.manifest_digest == manifest_digest(digests)
    assert len(quote.digest) == 16


def test_the_order_of_the_picks_does_not_matter(tx: Transaction, digests: list[str]) -> None:
    first = quotes.find(tx, ROUND)
    assert quotes.make(tx, ROUND, digests[::-1], PRICE, "USD") == first
    assert tx.value("SELECT count(*) FROM quotes") == 1
    assert manifest_digest(digests) == manifest_digest(digests[::-1]) != manifest_digest(digests[:2])


@pytest.mark.parametrize(
    "change",
    [
        lambda tx, digests: quotes.make(tx, ROUND, digests[:2], PRICE, "USD"),
        lambda tx, digests: quotes.make(tx, ROUND, digests, PRICE + 1, "USD"),
        lambda tx, digests: quotes.make(tx, ROUND, digests, PRICE, "EUR"),
    ],
)
def test_other_terms_are_another_quote_and_refused(
    tx: Transaction, digests: list[str], change: Callable[..., Any]
) -> None:
    before = quotes.find(tx, ROUND)
    with pytest.raises(
        UserError, match=rf"is quoted as {digest_of(tx)} and its picks now price as [0-9a-f]{{16}}\. Nothing was sent"
    ):
        change(tx, digests)
    assert quotes.find(tx, ROUND) == before


def test_two_rounds_never_share_a_quote(tx: Transaction, digests: list[str]) -> None:
    assert quotes.make(tx, "cats.r0002", digests, PRICE, "USD").digest != digest_of(tx)


def test_a_yes_is_to_one_digest_and_counts_once(tx: Transaction, digests: list[str]) -> None:
    first = quotes.accept(tx, ROUND, digest_of(tx), "Ada")
    assert (first.decision, first.decided_by, first.images, first.total_micros) == ("accepted", "Ada", 3, 150_000)
    assert quotes.accept(tx, ROUND, digest_of(tx), "Grace") == first == quotes.decision(tx, ROUND)
    assert tx.value("SELECT count(*) FROM decisions") == 1


def test_another_digest_is_refused_with_the_true_one(tx: Transaction, digests: list[str]) -> None:
    for typed in ("0123456789abcdef", "", digest_of(tx)[:8]):
        with pytest.raises(UserError) as caught:
            quotes.accept(tx, ROUND, typed, "Ada")
        assert str(caught.value) == (
            f"'{typed}' is not the quote of round {ROUND}, which is {digest_of(tx)}: 3 images for at most 0.15 USD. "
            f"If that is what you accept: alaas-pipeline approve {ROUND} --quote {digest_of(tx)}"
        )
    assert quotes.decision(tx, ROUND) is None


def test_without_a_quote_there_is_nothing_to_decide(tx: Transaction) -> None:
    add_images(tx, "a.png")
    open_with_picks(tx, "a.png")
    with pytest.raises(UserError, match=r"has no quote yet \(state: selected\)\. Materialize its 'quote' first"):
        quotes.accept(tx, ROUND, "x", "Ada")
    with pytest.raises(UserError, match=r"no round 'cats\.r0007'"):
        quotes.accept(tx, "cats.r0007", "x", "Ada")


def test_a_round_without_a_quote_is_given_up_and_its_credits_come_back(tx: Transaction) -> None:
    add_images(tx, "a.png")
    open_with_picks(tx, "a.png")
    credits.grant_up_to(tx, "cats", 500)
    credits.reserve(tx, "cats", f"select:{ROUND}:1", 100, "selecting", ROUND)
    quotes.refuse(tx, ROUND, "Ada")
    assert rounds.get(tx, ROUND).state == "refused"
    assert credits.credits(tx, "cats").spendable == 500
    assert quotes.decision(tx, ROUND) is None


def test_a_no_ends_the_round_and_stands(tx: Transaction, digests: list[str]) -> None:
    quotes.refuse(tx, ROUND, "Ada")
    made = quotes.decision(tx, ROUND)
    assert made is not None
    assert (made.decision, made.decided_by) == ("refused", "Ada")
    assert (rounds.get(tx, ROUND).state, rounds.get(tx, ROUND).note) == ("refused", "refused by Ada")
    quotes.refuse(tx, ROUND, "Ada")
    assert quotes.decision(tx, ROUND) == made
    with pytest.raises(UserError, match="was refused by Ada already; that stands"):
        quotes.accept(tx, ROUND, digest_of(tx), "Grace")
    assert quotes.committed_micros(tx, "cats") == {}


@pytest.mark.parametrize("intended", [False, True])
def test_a_yes_is_taken_back_while_nothing_was_sent(tx: Transaction, digests: list[str], intended: bool) -> None:
    quotes.accept(tx, ROUND, digest_of(tx), "Ada")
    if intended:
        effect(tx, ROUND, "approve")
    quotes.refuse(tx, ROUND, "Grace")
    decision = quotes.decision(tx, ROUND)
    assert decision is not None
    assert (decision.decision, decision.decided_by) == ("refused", "Grace")
    assert rounds.get(tx, ROUND).state == "refused"


@pytest.mark.parametrize(
    ("states", "effect_state", "sends"),
    [
        (("uploaded", "cloned"), "intended", 1),
        (("uploaded", "cloned", "needs_person"), "needs_person", 1),
        (("uploaded", "cloned", "approved"), "done", 1),
        (("uploaded", "cloned", "approved"), "adopted", 0),
        (("uploaded", "cloned", "approved", "labelled"), "done", 1),
    ],
)
def test_once_an_approval_may_have_been_sent_a_no_comes_too_late(
    ledger: Ledger, states: tuple[str, ...], effect_state: str, sends: int
) -> None:
    with ledger.transaction() as tx:
        quotes.make(tx, ROUND, add_images(tx, "a.png"), PRICE, "USD")
        advance(tx, open_with_picks(tx, "a.png"), "quoted")
        quotes.accept(tx, ROUND, digest_of(tx), "Ada")
        advance(tx, ROUND, *states)
        approve(tx, effect_state, sends)
    with pytest.raises(UserError, match=r"already; that stands|nothing left to decide"), ledger.transaction() as tx:
        quotes.refuse(tx, ROUND, "Grace")
    with ledger.transaction() as tx:
        decision = quotes.decision(tx, ROUND)
        assert decision is not None
        assert (decision.decision, decision.decided_by) == ("accepted", "Ada")
        assert rounds.get(tx, ROUND).state == states[-1]


@pytest.mark.parametrize("state", ["canceled", "archived"])
def test_a_round_that_ended_cannot_be_accepted(tx: Transaction, digests: list[str], state: str) -> None:
    advance(tx, ROUND, "uploaded", "cloned", state)
    with pytest.raises(UserError, match=rf"is in state '{state}'; there is nothing left to decide"):
        quotes.accept(tx, ROUND, digest_of(tx), "Ada")


def test_money_is_committed_once_the_approval_went_through(tx: Transaction, digests: list[str]) -> None:
    quotes.accept(tx, ROUND, digest_of(tx), "Ada")
    advance(tx, ROUND, "uploaded", "cloned")
    approve(tx, "intended", 1)
    assert not quotes.was_approved(tx, ROUND)
    assert quotes.committed_micros(tx, "cats") == {}
    approve(tx, "done", 0)
    assert quotes.was_approved(tx, ROUND)
    assert quotes.committed_micros(tx, "cats") == {"USD": 150_000}
    advance(tx, ROUND, "approved", "archived")
    assert quotes.committed_micros(tx, "cats") == {"USD": 150_000}
