"""Quotes and decisions: the most that labelling exactly these picks can cost, and who said yes to it."""

import hashlib
import json
from dataclasses import dataclass

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import credits, journal, rounds
from alaas_pipeline.ledger.database import Transaction, now
from alaas_pipeline.money import show_money

# What the platform calls a project that costs money.
BILLED = ("active", "paused", "completed")


@dataclass(frozen=True)
class Quote:
    """The price of a round: its picks times the price that the team declared. `digest` covers all of it."""

    round: str
    pool: str
    digest: str
    manifest_digest: str
    images: int
    price_micros: int
    total_micros: int
    currency: str

    @property
    def total(self) -> str:
        """The total for people, with its currency."""
        return show_money(self.total_micros, self.currency)


@dataclass(frozen=True)
class Decision:
    """Who accepted or refused which quote, when, and the terms that it was checked against."""

    round: str
    quote_digest: str
    decision: str
    decided_by: str
    images: int
    total_micros: int
    allowed_by: str | None
    decided_at: str


def manifest_digest(digests: list[str]) -> str:
    """Digest of a set of images: the same whatever their order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def make(tx: Transaction, round_key: str, digests: list[str], price_micros: int, currency: str) -> Quote:
    """Price a round's picks and store the quote; the same picks and price give the same quote again.

    Raises:
        UserError: the round has another quote already.
    """
    total = len(digests) * price_micros
    terms = {
        "round": round_key,
        "picks": sorted(digests),
        "price_micros": price_micros,
        "currency": currency,
        "total_micros": total,
    }
    digest = hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()[:16]
    pool = round_key.split(".")[0]
    quote = Quote(round_key, pool, digest, manifest_digest(digests), len(digests), price_micros, total, currency)
    stored = find(tx, round_key)
    if stored is None:
        tx.insert("quotes", [{**vars(quote), "quoted_at": now()}])
        tx.note(f"{round_key}: quoted as {digest}, {quote.images} images for at most {quote.total}")
    elif stored != quote:
        raise UserError(
            f"Round {round_key} is quoted as {stored.digest} and its picks now price as {digest}. Nothing was sent; restore the ledger."
        )
    return quote


def find(tx: Transaction, round_key: str) -> Quote | None:
    """Return the round's quote, or None."""
    row = tx.row(
        "SELECT round, pool, digest, manifest_digest, images, price_micros, total_micros, currency FROM quotes WHERE round = ?",
        round_key,
    )
    return Quote(**row) if row else None


def decision(tx: Transaction, round_key: str) -> Decision | None:
    """Return what was decided on the round's quote, or None."""
    row = tx.row(
        f"SELECT {', '.join(Decision.__dataclass_fields__)} FROM decisions WHERE round = ?",
        round_key,
    )
    return Decision(**row) if row else None


def accept(tx: Transaction, round_key: str, quote_digest: str, decided_by: str) -> Decision:
    """Store a yes to exactly this quote. Saying it twice changes nothing.

    Raises:
        UserError: no quote, another digest, refused before, or the round is past deciding.
    """
    quote = find(tx, round_key)
    current = rounds.get(tx, round_key)
    if quote is None:
        raise UserError(f"Round {round_key} has no quote yet (state: {current.state}). Materialize its 'quote' first.")
    if quote_digest != quote.digest:
        raise UserError(
            f"'{quote_digest}' is not the quote of round {round_key}, which is {quote.digest}: {quote.images} images for at most {quote.total}. "
            f"If that is what you accept: alaas-pipeline approve {round_key} --quote {quote.digest}"
        )
    return decide(tx, quote, "accepted", decided_by, f"the quote {quote.digest}, typed")


def refuse(tx: Transaction, round_key: str, decided_by: str) -> None:
    """Store a no, or give up a round that has no quote yet; the round ends and its picks stay picked.

    A yes is taken back as long as it is certain that nothing came of it on the platform. Credits that were reserved and not spent go back.

    Raises:
        UserError: the round has ended, is approved already, or its approval may have been sent.
    """
    quote, current = find(tx, round_key), rounds.get(tx, round_key)
    if current.project_status in BILLED:
        raise UserError(
            f"The project of round {round_key} is {current.project_status} on Avala, so its images are being billed. To stop that: "
            f"alaas-pipeline cancel {round_key}"
        )
    if quote is not None:
        made, approval = decision(tx, round_key), journal.find(tx, round_key, "approve")
        happened = approval is not None and approval.may_have_happened
        if made and made.decision == "accepted" and not happened:
            tx.run("DELETE FROM decisions WHERE round = ?", round_key)
            tx.note(f"{round_key}: the yes of {made.decided_by} to {quote.digest} is taken back")
        decide(tx, quote, "refused", decided_by)
    credits.void_open(tx, current.pool, f"select:{round_key}:", "the round was refused")
    rounds.advance(tx, round_key, "refused", f"refused by {decided_by}")


def committed_micros(tx: Transaction, pool: str) -> dict[str, int]:
    """Return per currency what the pool's approved rounds cost at most."""
    approved = [current.key for current in rounds.of_pool(tx, pool) if was_approved(tx, current.key)]
    totals: dict[str, int] = {}
    for key in approved:
        quote = find(tx, key)
        assert quote is not None
        totals[quote.currency] = totals.get(quote.currency, 0) + quote.total_micros
    return totals


def was_approved(tx: Transaction, round_key: str) -> bool:
    """Say whether the billable step was taken for the round."""
    return bool(
        tx.row(
            "SELECT 1 AS yes FROM effects WHERE round = ? AND kind = 'approve' AND state IN ('done', 'adopted')",
            round_key,
        )
    )


def may_be_billed(tx: Transaction, round_key: str) -> bool:
    """Say whether the billable step was taken for the round, or its request left and nobody knows what came of it."""
    approval = journal.find(tx, round_key, "approve")
    return approval is not None and approval.may_have_happened


def decide(
    tx: Transaction, quote: Quote, decision_word: str, decided_by: str, allowed_by: str | None = None
) -> Decision:
    """Store a decision, unless the same one stands already.

    Raises:
        UserError: the opposite was decided, or the round is past deciding.
    """
    made = decision(tx, quote.round)
    if made is not None:
        if made.decision != decision_word:
            raise UserError(
                f"The quote of round {quote.round} was {made.decision} by {made.decided_by} already; that stands."
            )
        return made
    current = rounds.get(tx, quote.round)
    if current.ended or current.reached("approved"):
        raise UserError(f"Round {quote.round} is in state '{current.state}'; there is nothing left to decide.")
    made = Decision(
        quote.round, quote.digest, decision_word, decided_by, quote.images, quote.total_micros, allowed_by, now()
    )
    tx.insert("decisions", [vars(made)])
    tx.note(f"{quote.round}: {quote.digest} {decision_word} by {decided_by}, {quote.images} images, {quote.total}")
    return made
