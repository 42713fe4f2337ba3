import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Transaction, plans
from alaas_pipeline.ledger.plans import EncoderPlan


def propose(tx: Transaction, images: int = 1200, pool: str = "cats") -> EncoderPlan:
    return plans.propose(tx, pool, "a/b", "ab-1", "tiny-1", images, 5 * images)


def states(tx: Transaction) -> list[str]:
    return tx.column("SELECT state FROM encoder_plans WHERE pool = 'cats' ORDER BY planned_at")


def test_a_plan_says_its_price_and_what_to_type(tx: Transaction) -> None:
    plan = propose(tx)
    assert (plan.state, plan.decided_by, plans.current(tx, "cats")) == ("proposed", None, plan)
    assert plan.offer == (
        "Pool 'cats': encoder 'a/b' needs new vectors for 1,200 images, 6,000 credits. The old vectors serve until then. "
        f"To accept: alaas-pipeline accept-plan cats --plan {plan.digest}"
    )


def test_the_same_terms_are_the_same_plan_and_others_replace_it(tx: Transaction) -> None:
    first = propose(tx)
    assert propose(tx) == first
    second = propose(tx, images=1201)
    assert second.digest != first.digest
    assert (plans.current(tx, "cats"), states(tx)) == (second, ["replaced", "proposed"])
    # Back to the terms of the first: it is open again.
    assert propose(tx) == first == plans.current(tx, "cats")
    assert sorted(states(tx)) == ["proposed", "replaced"]


def test_pools_have_plans_of_their_own(tx: Transaction) -> None:
    mine, other = propose(tx), propose(tx, pool="dogs")
    assert mine.digest != other.digest
    plans.end(tx, "dogs", "replaced")
    assert (plans.current(tx, "cats"), plans.current(tx, "dogs")) == (mine, None)


def test_a_yes_is_to_one_digest_and_counts_once(tx: Transaction) -> None:
    plan = propose(tx)
    with pytest.raises(UserError, match=f"'0123' is not the plan of pool 'cats'. .*--plan {plan.digest}"):
        plans.accept(tx, "cats", "0123", "Ada")
    assert plans.current(tx, "cats") == plan
    accepted = plans.accept(tx, "cats", plan.digest, "Ada")
    assert (accepted.state, accepted.decided_by) == ("accepted", "Ada")
    assert plans.accept(tx, "cats", plan.digest, "Grace") == accepted == plans.current(tx, "cats")


def test_without_a_plan_there_is_nothing_to_accept(tx: Transaction) -> None:
    with pytest.raises(UserError, match=r"Pool 'cats' has no plan to accept\. Change 'encoder' in pools\.yaml"):
        plans.accept(tx, "cats", "x", "Ada")
    plan = propose(tx)
    plans.end(tx, "cats", "replaced")
    with pytest.raises(UserError, match="no plan to accept"):
        plans.accept(tx, "cats", plan.digest, "Ada")


@pytest.mark.parametrize("state", ["done", "replaced"])
def test_a_plan_ends_once(tx: Transaction, state: str) -> None:
    plans.accept(tx, "cats", propose(tx).digest, "Ada")
    plans.end(tx, "cats", state)
    assert (plans.current(tx, "cats"), states(tx)) == (None, [state])
    before = list(tx.notes)
    plans.end(tx, "cats", "replaced")
    assert (tx.notes, states(tx)) == (before, [state])


def test_terms_that_were_done_once_need_a_new_yes(tx: Transaction) -> None:
    """From one encoder to another, back, and there again with as many images."""
    plan = propose(tx)
    plans.accept(tx, "cats", plan.digest, "Ada")
    plans.end(tx, "cats", "done")
    assert propose(tx) == plan
    row = tx.row("SELECT state, decided_by, decided_at FROM encoder_plans")
    assert row == {"state": "proposed", "decided_by": None, "decided_at": None}
