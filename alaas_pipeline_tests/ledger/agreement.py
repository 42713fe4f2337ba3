"""What is true after every step: the ledger says of a pool what the model says."""

from alaas_pipeline.ledger import Transaction, credits, gates, images, landing, quotes, rounds
from alaas_pipeline_tests.ledger.plain import Pool
from alaas_pipeline_tests.ledger.steps import PRICE


def pool_agrees(tx: Transaction, key: str, pool: Pool) -> None:
    """Compare credits, rounds, money, decisions and outcomes."""
    held = credits.credits(tx, key)
    assert (held.granted, held.reserved, held.spent) == (pool.granted, pool.reserved, pool.spent)
    assert min(held.reserved, held.spent, held.spendable) >= 0
    assert held.granted == held.spendable + held.reserved + held.spent
    assert credits.broken(tx, key) == []
    assert {gate.operation_id for gate in gates.of_pool(tx, key)} == {n for n in pool.operations if "embed" in n}
    assert {one.key: (one.state, one.retries) for one in rounds.of_pool(tx, key)} == {
        one.key: (one.state, one.retries) for one in pool.rounds
    }
    committed = quotes.committed_micros(tx, key).get("USD", 0)
    assert committed == PRICE * sum(len(one.picks) for one in pool.rounds if one.billed)
    accepted = tx.value("SELECT sum(total_micros) FROM decisions JOIN quotes USING (round, total_micros) "
        "WHERE decision = 'accepted' AND quote_digest = digest AND pool = ?", key)  # fmt: skip
    assert committed <= (accepted or 0)
    decided = tx.rows("SELECT round, decision FROM decisions WHERE starts_with(round, ?)", f"{key}.")
    assert {row["round"]: row["decision"] for row in decided} == {
        one.key: one.decision for one in pool.rounds if one.decision
    }
    for one in pool.rounds[-1:]:
        books = landing.books(tx, one.key)
        assert (books.sent, books.labelled) == (len(one.sent), len(one.labelled))
        assert books.sent == books.labelled + books.refused + books.pending
        assert books.pending >= 0


def figures_agree(tx: Transaction, key: str, pool: Pool, counted: dict[str, tuple[int, int, int]]) -> None:
    """Compare the counts of images, unless they are as they were `counted` last."""
    figures = (len(pool.names), len(pool.picked), len(pool.part))
    if counted.get(key) == figures:
        return
    counts = images.counts(tx, key)
    assert (counts.total, counts.selected, counts.embedded) == figures
    assert counts.remaining == counts.total - counts.selected
    counted[key] = figures
