"""The policy `auto`: it says yes to a quote within limits, counted in the ledger in the same transaction, so that no two runs exceed them."""

from collections.abc import Iterator, Sequence

from alaas_pipeline.config import Approval, Limits, SharedLimits
from alaas_pipeline.ledger import losses, quotes
from alaas_pipeline.ledger.database import Transaction, now
from alaas_pipeline.ledger.quotes import Decision, Quote
from alaas_pipeline.money import show_money, to_micros

# What a limit's period is called, and how much of the time of a decision (ISO 8601, UTC) tells whether it lies in it.
PERIODS = {"day": ("today", len("2026-11-22")), "month": ("this month", len("2026-11")), "total": ("in total", 0)}


def apply_policy(
    tx: Transaction, round_key: str, approvals: Sequence[Approval], shared: SharedLimits | None = None
) -> tuple[Decision | None, str]:
    """Let the policy say yes when it may; return the decision, if any, and a sentence for people.

    Args:
        tx: an open transaction.
        round_key: a round.
        approvals: all must agree: the settings that the round was opened with, and those in force now. So what tightens counts at once.
        shared: limits over all pools together.
    """
    quote, made = quotes.find(tx, round_key), quotes.decision(tx, round_key)
    if quote is None or made is not None:
        return made, "decided" if made else "no quote yet"
    how = f"alaas-pipeline approve {round_key} --quote {quote.digest}"
    offer = f"{quote.images} images for at most {quote.total}"
    if any(approval.policy == "manual" for approval in approvals):
        return None, f"Waiting for a person: {offer}. To accept: {how}"
    terms: list[str] = []
    for fits, term in _terms(tx, quote, approvals, shared):
        if not fits:
            return None, f"Beyond the policy's limits: {term}. A person may accept {offer}: {how}"
        if term not in terms:
            terms.append(term)
    made = quotes.decide(tx, quote, "accepted", "policy auto", "; ".join(terms))
    return made, f"Accepted by policy: {offer}."


def _terms(
    tx: Transaction, quote: Quote, approvals: Sequence[Approval], shared: SharedLimits | None
) -> Iterator[tuple[bool, str]]:
    """Check one limit after the other: whether the quote fits, and the sum in words."""
    for approval in approvals:
        assert approval.max_images_per_round is not None
        assert approval.max_money_per_round is not None
        yield _term("this round", 0, quote.images, approval.max_images_per_round, None)
        yield _term("this round", 0, quote.total_micros, to_micros(approval.max_money_per_round), quote.currency)
    checked: list[tuple[str, Limits]] = [(quote.pool, limits) for limits in approvals if _has_any(limits)]
    if shared is not None and _has_any(shared):
        checked.append(("", shared))
        if shared.currency != quote.currency and any(
            getattr(shared, f"max_money_{name}") is not None for name in _names()
        ):
            yield False, f"the quote is in {quote.currency}, the limits over all pools are in {shared.currency}"
    if checked and (lost := losses.unreconciled(tx)):
        yield (
            False,
            f"the ledger lost commits {lost[0].first_commit} to {lost[-1].last_commit}, so what was accepted is not known "
            "for sure until 'alaas-pipeline reconcile --apply'",
        )
    for pool, limits in checked:
        yield from _periods(tx, quote, pool, limits)


def _periods(tx: Transaction, quote: Quote, pool: str, limits: Limits) -> Iterator[tuple[bool, str]]:
    for name, (word, prefix) in zip(_names(), PERIODS.values(), strict=True):
        images, money = getattr(limits, f"max_images_{name}"), getattr(limits, f"max_money_{name}")
        where = f"{word}{'' if pool else ' over all pools'}"
        used_images, used_micros, others = _accepted(tx, pool, quote.currency, now()[:prefix])
        if images is not None:
            yield _term(where, used_images, quote.images, images, None)
        if money is not None and pool and others:
            yield False, f"what was accepted {word} in {others} cannot be counted in {quote.currency}"
        if money is not None:
            yield _term(where, used_micros, quote.total_micros, to_micros(money), quote.currency)


def _names() -> list[str]:
    return [period if period == "total" else f"per_{period}" for period in PERIODS]


def _has_any(limits: Limits) -> bool:
    return any(getattr(limits, f"max_{what}_{name}") is not None for what in ("images", "money") for name in _names())


def _term(where: str, used: int, wanted: int, limit: int, currency: str | None) -> tuple[bool, str]:
    def show(amount: int) -> str:
        return show_money(amount, currency) if currency else f"{amount:,}"

    so_far = f"{show(used)} + " if used else ""
    return used + wanted <= limit, f"{so_far}{show(wanted)} of {show(limit)}{'' if currency else ' images'} {where}"


def _accepted(tx: Transaction, pool: str, currency: str, since: str) -> tuple[int, int, str | None]:
    """Sum all that was accepted (all pools when `pool` is empty) and not given up before it may have been billed.

    Returns:
        Images, money in `currency`, and the other currencies of it, if any.
    """
    row = tx.row(
        "SELECT coalesce(sum(d.images), 0)::BIGINT AS images, "
        "coalesce(sum(d.total_micros) FILTER (q.currency = ?), 0)::BIGINT AS micros, "
        "string_agg(DISTINCT q.currency, ' and ' ORDER BY q.currency) FILTER (q.currency <> ?) AS others "
        "FROM decisions d JOIN quotes q ON q.round = d.round JOIN rounds r ON r.round = d.round "
        "WHERE d.decision = 'accepted' AND starts_with(d.decided_at, ?) AND (q.pool = ? OR ? = '') "
        "AND (r.state NOT IN ('refused', 'canceled', 'archived') OR EXISTS "
        "(SELECT 1 FROM effects e WHERE e.round = d.round AND e.kind = 'approve' AND (e.state IN ('done', 'adopted') OR "
        "(e.sends > 0 AND e.state <> 'failed'))))",
        currency, currency, since, pool, pool,
    )  # fmt: skip
    assert row is not None
    return row["images"], row["micros"], row["others"]
