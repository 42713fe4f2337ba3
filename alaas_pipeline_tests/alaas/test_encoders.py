from pathlib import Path

import pytest

from alaas_pipeline.alaas.embed import read_vectors
from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import gates, plans, pools
from alaas_pipeline.ledger.credits import Credits, InsufficientCredits
from alaas_pipeline_tests.alaas.stand_ins import ENCODER, TinyEncoder, WatchedSource, never, put
from alaas_pipeline_tests.builders import pool_settings

CATS = pool_settings(credit_grant=100)
OTHER = pool_settings(encoder="ViT-B-32/openai", credit_grant=100)
NEW = "other-1"


def load(name: str) -> TinyEncoder:
    return TinyEncoder(NEW if name == OTHER.encoder else ENCODER)


@pytest.fixture
def source(service: PoolService, photos: Path) -> WatchedSource:
    """Five photos that were looked through."""
    put(photos, 1, 2, 3, 4, 5)
    source = WatchedSource(photos)
    service.scan(CATS, source)
    return source


@pytest.fixture
def embedded(service: PoolService, source: WatchedSource) -> PoolService:
    """A pool of five images that is embedded: 25 of its 100 credits are spent."""
    assert service.embed(CATS, source, load).vectors == 5
    return service


def serving(service: PoolService) -> tuple[str, str] | None:
    with service.ledger.transaction() as tx:
        return pools.serving(tx, "cats")


def accept(service: PoolService) -> str:
    with service.ledger.transaction() as tx:
        plan = plans.current(tx, "cats")
        assert plan is not None
        return plans.accept(tx, "cats", plan.digest, "ada").digest


def test_a_change_of_encoder_is_priced_and_the_old_vectors_serve(embedded: PoolService, source: WatchedSource) -> None:
    report = embedded.embed(OTHER, source, load)
    assert report.plan is not None
    assert "new vectors for 5 images, 25 credits" in report.plan
    assert (report.encoder_id, report.vectors, report.embedded_now, report.credits_charged) == (ENCODER, 5, 0, 0)
    assert embedded.usage("cats") == Credits(granted=100, reserved=0, spent=25)
    # The plan is known: the new encoder is not loaded again to say the same.
    assert embedded.embed(OTHER, source, never).plan == report.plan


def test_new_images_go_on_with_the_old_encoder_and_raise_the_price(
    embedded: PoolService, source: WatchedSource, photos: Path
) -> None:
    first = embedded.embed(OTHER, source, load).plan
    put(photos, 40)
    embedded.scan(OTHER, source)
    report = embedded.embed(OTHER, source, load)
    assert (report.encoder_id, report.embedded_now, report.vectors) == (ENCODER, 1, 6)
    assert report.plan is not None
    assert report.plan != first
    assert embedded.embed(OTHER, source, load).plan != first


def test_an_accepted_plan_makes_all_vectors_and_then_serves(embedded: PoolService, source: WatchedSource) -> None:
    embedded.embed(OTHER, source, load)
    digest = accept(embedded)
    report = embedded.embed(OTHER, source, load)
    assert (report.encoder_id, report.embedded_now, report.credits_charged, report.plan) == (NEW, 5, 25, None)
    assert serving(embedded) == (OTHER.encoder, NEW)
    assert embedded.usage("cats") == Credits(granted=100, reserved=0, spent=50)
    assert len(read_vectors(embedded.ledger, embedded.store, "cats")[0]) == 5
    with embedded.ledger.transaction() as tx:
        assert plans.current(tx, "cats") is None
        last = gates.of_pool(tx, "cats")[-1]
    assert f"plan {digest} for 5 images, accepted by ada" in last.allowed_by
    assert embedded.embed(OTHER, source, never).embedded_now == 0


def test_a_crash_in_the_middle_leaves_the_old_encoder_serving(
    embedded: PoolService, source: WatchedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alaas_pipeline.alaas.embed.PART", 2)
    embedded.embed(OTHER, source, load)
    accept(embedded)

    with pytest.raises(RuntimeError):
        embedded.embed(OTHER, source, lambda _: TinyEncoder(NEW, fail_after=2))
    assert serving(embedded) == (CATS.encoder, ENCODER)
    assert embedded.usage("cats").reserved == 0
    spent = embedded.usage("cats").spent
    report = embedded.embed(OTHER, source, load)
    assert (report.encoder_id, report.vectors) == (NEW, 5)
    assert embedded.usage("cats").spent == 50
    assert spent + report.credits_charged == 50


def test_setting_the_encoder_back_forgets_the_plan(embedded: PoolService, source: WatchedSource) -> None:
    embedded.embed(OTHER, source, load)
    assert embedded.embed(CATS, source, never).plan is None
    with embedded.ledger.transaction() as tx:
        assert plans.current(tx, "cats") is None
        with pytest.raises(UserError, match="has no plan to accept"):
            plans.accept(tx, "cats", "x", "ada")


def test_another_digest_accepts_nothing(embedded: PoolService, source: WatchedSource) -> None:
    embedded.embed(OTHER, source, load)
    with embedded.ledger.transaction() as tx, pytest.raises(UserError, match="is not the plan of pool 'cats'"):
        plans.accept(tx, "cats", "feedbeef", "ada")
    assert embedded.embed(OTHER, source, never).embedded_now == 0


def test_a_plan_beyond_the_credits_is_refused_whole(embedded: PoolService, source: WatchedSource) -> None:
    poor = OTHER.model_copy(update={"credit_grant": 40})
    embedded.embed(poor, source, load)
    accept(embedded)
    with pytest.raises(InsufficientCredits):
        embedded.embed(poor, source, never)
    assert serving(embedded) == (CATS.encoder, ENCODER)
    assert embedded.usage("cats") == Credits(granted=40, reserved=0, spent=25)


def test_another_name_for_the_same_weights_is_free(embedded: PoolService, source: WatchedSource) -> None:
    report = embedded.embed(OTHER, source, lambda _: TinyEncoder(ENCODER))
    assert (report.plan, report.credits_charged) == (None, 0)
    assert serving(embedded) == (OTHER.encoder, ENCODER)


def test_weights_that_changed_under_their_name_stop_before_they_mix(
    embedded: PoolService, source: WatchedSource, photos: Path
) -> None:
    put(photos, 41)
    embedded.scan(CATS, source)
    with pytest.raises(UserError, match=r"is not the one it was: .* To accept: alaas-pipeline accept-plan cats --plan"):
        embedded.embed(CATS, source, lambda _: TinyEncoder("changed-1"))
    assert embedded.usage("cats") == Credits(granted=100, reserved=0, spent=25)
