"""Credits as double entry: every row moves whole credits between two accounts of a pool.

Accounts are `granted` (the outside), `spendable`, `reserved` and `spent`. An operation is reserved before it
starts, then posted once for what it really cost; what is left of the reservation goes back. What was paid for and
got lost is refunded, once. Balances are queries, not stored numbers.
"""

from dataclasses import dataclass

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger.database import Transaction, now

MOVES = {
    "grant": ("granted", "spendable"),
    "reserve": ("spendable", "reserved"),
    "post": ("reserved", "spent"),
    "void": ("reserved", "spendable"),
    "refund": ("spent", "spendable"),
}


class InsufficientCredits(UserError):
    """An operation costs more than the pool may spend; nothing was charged."""


@dataclass(frozen=True)
class Credits:
    """A pool's credits. `balance` is what is left of the grant; `spendable` is that less what is reserved. `spent` is net of refunds."""

    granted: int
    reserved: int
    spent: int

    @property
    def balance(self) -> int:
        """Granted less spent."""
        return self.granted - self.spent

    @property
    def spendable(self) -> int:
        """Balance less reserved."""
        return self.balance - self.reserved


def credits(tx: Transaction, pool: str) -> Credits:
    """Return a pool's credits, summed from the journal."""
    held = dict.fromkeys(("granted", "spendable", "reserved", "spent"), 0)
    for row in tx.rows(
        "SELECT from_account, to_account, sum(credits)::BIGINT AS credits FROM credit_entries WHERE pool = ? GROUP BY ALL",
        pool,
    ):
        held[row["from_account"]] -= row["credits"]
        held[row["to_account"]] += row["credits"]
    return Credits(granted=-held["granted"], reserved=held["reserved"], spent=held["spent"])


def grant_up_to(tx: Transaction, pool: str, declared: int) -> None:
    """Bring the pool's grant to what is declared; never below what is spent or reserved already."""
    have = credits(tx, pool)
    change = max(declared, have.spent + have.reserved) - have.granted
    if change:
        times = tx.value("SELECT count(*) FROM credit_entries WHERE pool = ? AND kind = 'grant'", pool)
        _enter(tx, pool, f"grant:{pool}:{times + 1}", "grant", change, f"declared grant of {declared}")


def check_affordable(tx: Transaction, pool: str, amount: int, note: str) -> None:
    """Raise unless the pool may spend `amount`; `note` names what it would be for.

    Raises:
        InsufficientCredits: the pool may not spend that much.
    """
    have = credits(tx, pool)
    if amount > have.spendable:
        raise InsufficientCredits(
            f"{note} costs {amount:,} credits and pool '{pool}' may spend {have.spendable:,} (granted {have.granted:,}, "
            f"reserved {have.reserved:,}, spent {have.spent:,}). Raise credit_grant in pools.yaml; nothing was charged."
        )


def reserve(
    tx: Transaction, pool: str, operation_id: str, amount: int, note: str, round_key: str | None = None
) -> None:
    """Set credits aside for an operation. Reserving the same operation again for the same amount changes nothing.

    Raises:
        InsufficientCredits: the pool may not spend that much.
        ValueError: the amount is negative, or the operation is reserved for another one.
    """
    if amount < 0:
        raise ValueError(f"operation {operation_id} cannot be reserved for {amount} credits")
    held = tx.value("SELECT credits FROM credit_entries WHERE operation_id = ? AND kind = 'reserve'", operation_id)
    if held is not None:
        if held != amount:
            raise ValueError(f"operation {operation_id} is reserved for {held} credits, not {amount}")
        return
    check_affordable(tx, pool, amount, note)
    _enter(tx, pool, operation_id, "reserve", amount, note, round_key)


def settle(tx: Transaction, pool: str, operation_id: str, cost: int, note: str, round_key: str | None = None) -> None:
    """Post what an operation cost and give the rest of its reservation back.

    Raises:
        ValueError: nothing is reserved for it, it is settled already, or the cost is negative or more than was reserved.
    """
    reserved = open_reservation(tx, operation_id)
    if reserved is None or not 0 <= cost <= reserved:
        raise ValueError(f"operation {operation_id} cannot be settled for {cost} credits: open reservation {reserved}")
    if cost:
        _enter(tx, pool, operation_id, "post", cost, note, round_key)
    if cost < reserved or not cost:
        _enter(tx, pool, operation_id, "void", reserved - cost, f"left of: {note}", round_key)


def open_reservation(tx: Transaction, operation_id: str) -> int | None:
    """Return the credits reserved for an operation that is not settled yet, or None."""
    kinds = _entries(tx, operation_id)
    return kinds.get("reserve") if not kinds.keys() & {"post", "void"} else None


def void_open(tx: Transaction, pool: str, prefix: str, note: str) -> int:
    """Give back every open reservation whose operation id starts with `prefix`; return how many there were."""
    names = [name for name, _ in open_reservations(tx, pool) if name.startswith(prefix)]
    for name in names:
        settle(tx, pool, name, 0, note)
    return len(names)


def refund(tx: Transaction, pool: str, operation_id: str, amount: int, note: str) -> None:
    """Give back credits of an operation whose result was lost; refunding it a second time changes nothing.

    Raises:
        ValueError: the operation was not posted, or not for that much.
    """
    kinds = _entries(tx, operation_id)
    if "refund" in kinds:
        return
    if not 0 < amount <= kinds.get("post", 0):
        raise ValueError(f"operation {operation_id} cannot be refunded {amount} credits: posted {kinds.get('post', 0)}")
    _enter(tx, pool, operation_id, "refund", amount, note)


def spent_on(tx: Transaction, round_key: str) -> int:
    """Return the credits posted for a round."""
    return tx.value(
        "SELECT coalesce(sum(credits), 0)::BIGINT FROM credit_entries WHERE round = ? AND kind = 'post'", round_key
    )


def open_reservations(tx: Transaction, pool: str) -> list[tuple[str, int]]:
    """Return operation id and credits of every reservation that is neither posted nor void."""
    return [
        (row["operation_id"], row["credits"])
        for row in tx.rows(
            "SELECT r.operation_id, r.credits FROM credit_entries r WHERE r.pool = ? AND r.kind = 'reserve' AND NOT EXISTS "
            "(SELECT 1 FROM credit_entries d WHERE d.operation_id = r.operation_id AND d.kind IN ('post', 'void')) ORDER BY 1",
            pool,
        )
    ]


def broken(tx: Transaction, pool: str) -> list[str]:
    """Return what is wrong with a pool's credits, in sentences; an empty list when the journal is sound."""
    problems = []
    for row in tx.rows("SELECT * FROM credit_entries WHERE pool = ? ORDER BY entered_at, operation_id", pool):
        source, target = row["from_account"], row["to_account"]
        if MOVES.get(row["kind"]) != (source, target) or (row["credits"] < 0 and row["kind"] != "grant"):
            told = f"'{row['kind']}' of operation {row['operation_id']} moves {row['credits']} credits from {source} to {target}"
            problems.append(told)
    if problems:
        return problems
    held = credits(tx, pool)
    if held.reserved < 0 or held.spendable < 0 or held.spent < 0:
        problems.append(f"a balance is below zero: {held}")
    if held.reserved != sum(amount for _, amount in open_reservations(tx, pool)):
        problems.append(f"{held.reserved} credits are reserved, and open operations ask for another sum")
    for row in tx.rows(
        "SELECT operation_id, coalesce(sum(credits) FILTER (kind = 'reserve'), 0) AS reserved, "
        "coalesce(sum(credits) FILTER (kind IN ('post', 'void')), 0) AS closed, "
        "coalesce(sum(credits) FILTER (kind = 'post'), 0) AS posted, coalesce(sum(credits) FILTER (kind = 'refund'), 0) AS refunded, "
        "count(*) FILTER (kind IN ('post', 'void')) AS closings "
        "FROM credit_entries WHERE pool = ? AND kind <> 'grant' GROUP BY operation_id",
        pool,
    ):
        if (row["closings"] and row["closed"] != row["reserved"]) or row["refunded"] > row["posted"]:
            problems.append(f"operation {row['operation_id']} does not balance")
    return problems


def _entries(tx: Transaction, operation_id: str) -> dict[str, int]:
    return {
        row["kind"]: row["credits"]
        for row in tx.rows("SELECT kind, credits FROM credit_entries WHERE operation_id = ?", operation_id)
    }


def _enter(
    tx: Transaction, pool: str, operation_id: str, kind: str, amount: int, note: str, round_key: str | None = None
) -> None:
    source, target = MOVES[kind]
    tx.insert(
        "credit_entries",
        [
            {
                "operation_id": operation_id, "kind": kind, "pool": pool, "round": round_key, "from_account": source,
                "to_account": target, "credits": amount, "note": note, "entered_at": now(),
            }
        ],
    )  # fmt: skip
    tx.note(f"{round_key or pool}: {kind} {amount} credits ({operation_id})")
