import pytest

from alaas_pipeline.automation.steps import Step, Wait, ledger_step
from alaas_pipeline.ledger import images, rounds
from alaas_pipeline_tests.bench import Bench
from alaas_pipeline_tests.ledger.fill import file_row, image_row


@pytest.fixture
def landed(bench: Bench) -> str:
    """A round that has landed, in a pool that has vectors and one image left."""
    key = bench.open_round()
    with bench.ledger.transaction() as tx:
        images.record_scan(tx, bench.pool, [file_row("spare", "spare")], [image_row("spare")], [])
        digests = images.to_embed(tx, bench.pool, "tiny-1")
        images.record_embedded(tx, bench.pool, "tiny-1", "part-1", digests, {}, "embed")
        images.set_near_duplicates(tx, bench.pool, {})
    bench.bring(key, "landed")
    return key


@pytest.mark.parametrize(("accepted", "wanted"), [(0.5, None), (None, 0.8), (0.8, 0.8)])
def test_the_next_round_is_opened_by_itself(
    bench: Bench, landed: str, accepted: float | None, wanted: float | None
) -> None:
    with bench.ledger.transaction() as tx:
        tx.run("UPDATE rounds SET acceptance_rate = ? WHERE round = ?", accepted, landed)
    settings = bench.settings.model_copy(update={"min_acceptance_rate": wanted})
    assert ledger_step(bench.service, settings) == Step("prepare_round", f"{bench.pool}.r0002")


def test_work_that_was_accepted_too_seldom_holds_the_loop_until_a_person_opens_the_next_round(
    bench: Bench, landed: str
) -> None:
    with bench.ledger.transaction() as tx:
        tx.run("UPDATE rounds SET acceptance_rate = 0.5 WHERE round = ?", landed)
    settings = bench.settings.model_copy(update={"min_acceptance_rate": 0.8})
    step = ledger_step(bench.service, settings)
    assert isinstance(step, Wait)
    assert step.why == (
        f"50% of the work on {landed} was accepted, and min_acceptance_rate asks for 80%. Look at its labels; to go on all the same: "
        f"alaas-pipeline open-round {bench.pool}"
    )
    with bench.ledger.transaction() as tx:
        opened = rounds.open_next(tx, settings).key
    assert ledger_step(bench.service, settings) == Step("prepare_round", opened)
