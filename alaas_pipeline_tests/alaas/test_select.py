from typing import Any

import pytest

from alaas_pipeline.alaas import select as select_module
from alaas_pipeline.alaas.select import shares
from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import images, landing, rounds, selections
from alaas_pipeline.ledger.credits import Credits, InsufficientCredits
from alaas_pipeline.ledger.landing import Outcome
from alaas_pipeline_tests.alaas.stand_ins import fill_pool
from alaas_pipeline_tests.builders import pool_settings
from alaas_pipeline_tests.ledger.fill import digest

CATS = pool_settings()


def ended(service: PoolService, key: str, state: str = "refused") -> None:
    with service.ledger.transaction() as tx:
        rounds.advance(tx, key, state)


def one_round(service: PoolService, **changes: Any) -> list[selections.PickedImage]:
    opened = service.open_round(pool_settings(**changes))
    picks = service.select(opened.key)
    with service.ledger.transaction() as tx:
        state = rounds.get(tx, opened.key).state
    if state == "selected":
        ended(service, opened.key)
    return picks


@pytest.mark.parametrize("strategy", ["coverage", "explore"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_shares_never_exceed_the_round(strategy: str, share: float) -> None:
    for size in range(1, 31):
        split = shares(pool_settings(images_per_round=size, strategy=strategy, control_share=share))
        assert split.representatives >= 1
        assert min(split.outliers, split.control) >= 0
        assert split.representatives + split.outliers + split.control == size
        assert split.control <= size * share
        assert strategy == "explore" or not split.outliers


def test_explore_never_returns_more_than_a_round_holds(service: PoolService) -> None:
    fill_pool(service, CATS, 40)
    for size in (1, 6, 13):
        picks = one_round(service, images_per_round=size, strategy="explore")
        assert len(picks) <= size
        assert (
            sum(pick.kind == "representative" for pick in picks)
            == shares(pool_settings(images_per_round=size, strategy="explore")).representatives
        )


def test_a_round_is_picked_once_and_paid_once(service: PoolService) -> None:
    fill_pool(service, CATS, 12)
    opened = service.open_round(CATS)
    assert (opened.key, opened.state) == ("cats.r0001", "open")
    picks = service.select(opened.key)
    assert len({pick.digest for pick in picks}) == 3
    assert [pick.kind for pick in picks] == ["representative"] * 3
    assert all(pick.reason.endswith(".") for pick in picks)
    held = service.usage("cats")
    assert held == Credits(granted=10_000, reserved=0, spent=10 + 25 * 3)
    assert service.select(opened.key) == picks
    assert service.usage("cats") == held
    with service.ledger.transaction() as tx:
        assert rounds.get(tx, opened.key).state == "selected"
        assert [row["digest"] for row in selections.picks(tx, opened.key)] == [pick.digest for pick in picks]
        assert selections.metrics(tx, opened.key)["picked"] == 3.0


@pytest.mark.parametrize("state", ["needs_person", "refused"])
def test_a_round_that_was_set_aside_keeps_its_picks(service: PoolService, state: str) -> None:
    fill_pool(service, CATS, 12)
    key = service.open_round(CATS).key
    picks = service.select(key)
    ended(service, key, state)
    held = service.usage("cats")
    assert service.select(key) == picks
    assert service.usage("cats") == held


def test_a_round_refused_before_it_was_picked_stays_empty(service: PoolService) -> None:
    fill_pool(service, CATS, 12)
    key = service.open_round(CATS).key
    ended(service, key)
    assert service.select(key) == []
    assert service.usage("cats").spent == 0


def test_a_percent_of_the_pool_is_rounded_up(service: PoolService) -> None:
    fill_pool(service, CATS, 101)
    assert len(one_round(service, tariff="pool-percent")) == 3
    assert service.usage("cats") == Credits(granted=10_000, reserved=0, spent=10 + 2)


def test_rounds_never_pick_an_image_twice_until_all_are_picked(service: PoolService) -> None:
    digests = fill_pool(service, CATS, 10, unfit=[4])
    seen: list[str] = []
    for size in (3, 3, 3):
        seen += [pick.digest for pick in one_round(service)]
        assert len(seen) % size == 0
    assert sorted(seen) == sorted(set(digests) - {digests[4]})
    counts = service.counts("cats")
    assert (counts.total, counts.selected, counts.remaining) == (9, 9, 0)
    with pytest.raises(UserError, match=r"pool_exhausted: every image of pool 'cats' was selected"):
        service.open_round(CATS)


def test_a_round_larger_than_what_is_left_takes_all_and_pays_for_that(service: PoolService) -> None:
    digests = fill_pool(service, CATS, 7)
    picks = one_round(service, images_per_round=50)
    assert sorted(pick.digest for pick in picks) == sorted(digests)
    assert service.usage("cats") == Credits(granted=10_000, reserved=0, spent=10 + 25 * 7)


def test_a_round_whose_images_are_gone_meanwhile_is_exhausted_for_nothing(service: PoolService) -> None:
    fill_pool(service, CATS, 2)
    key = service.open_round(CATS).key
    with service.ledger.transaction() as tx:
        images.record_scan(tx, "cats", [], [], ["0000.png", "0001.png"])
    assert service.select(key) == []
    assert service.usage("cats") == Credits(granted=10_000, reserved=0, spent=0)
    with service.ledger.transaction() as tx:
        current = rounds.get(tx, key)
    assert (current.state, current.ended) == ("exhausted", True)
    assert "pool_exhausted" in str(current.note)


def test_unfit_and_gone_images_are_never_picked(service: PoolService) -> None:
    digests = fill_pool(service, CATS, 12, unfit=[0, 1, 2])
    with service.ledger.transaction() as tx:
        images.record_scan(tx, "cats", [], [], ["0003.png", "0004.png"])
    picks = one_round(service, images_per_round=12, strategy="explore", control_share=0.5)
    assert {pick.digest for pick in picks} <= set(digests[5:])


def test_a_share_is_drawn_at_random_the_same_each_time(service: PoolService) -> None:
    fill_pool(service, CATS, 40)
    settings = pool_settings(images_per_round=10, control_share=0.3)
    key = service.open_round(settings).key
    picks = service.select(key)
    drawn = [pick.digest for pick in picks if pick.kind == "control"]
    assert [pick.kind for pick in picks] == ["representative"] * 7 + ["control"] * 3
    assert len({pick.digest for pick in picks}) == 10
    assert drawn == select_module._draw(sorted(digest(f"{number:04d}.png") for number in range(40)), 3, key)
    ended(service, key)
    second = one_round(service, images_per_round=10, control_share=0.3)
    assert not {pick.digest for pick in picks} & {pick.digest for pick in second}


def test_the_draw_may_take_the_last_images(service: PoolService) -> None:
    fill_pool(service, CATS, 3)
    picks = one_round(service, images_per_round=10, control_share=0.5)
    assert [pick.kind for pick in picks] == ["control"] * 3
    assert service.usage("cats").spent == 10 + 25 * 3


def test_a_selection_that_was_interrupted_is_paid_once(service: PoolService, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_pool(service, CATS, 12)
    key = service.open_round(CATS).key
    with monkeypatch.context() as patch:
        patch.setattr(select_module, "engine_select", lambda *args, **more: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            service.select(key)
    assert service.usage("cats") == Credits(granted=10_000, reserved=0, spent=0)
    assert len(service.select(key)) == 3
    assert service.usage("cats") == Credits(granted=10_000, reserved=0, spent=85)


def test_too_few_credits_for_the_picks(service: PoolService) -> None:
    poor = pool_settings(credit_grant=85)
    fill_pool(service, poor, 12)
    key = service.open_round(poor).key
    with service.ledger.transaction() as tx:
        tx.run("UPDATE credit_entries SET credits = 84 WHERE kind = 'grant'")
    with pytest.raises(
        InsufficientCredits, match=r"The selection of round cats\.r0001 costs 85 credits and pool 'cats' may spend 84 "
    ):
        service.select(key)
    assert service.usage("cats") == Credits(granted=84, reserved=0, spent=0)
    with service.ledger.transaction() as tx:
        assert (rounds.get(tx, key).state, selections.picks(tx, key)) == ("open", [])


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_unsound_vectors_are_refused_before_anything_is_charged(service: PoolService, harm: str) -> None:
    fill_pool(service, CATS, 12)
    key = service.open_round(CATS).key
    (part,) = service.home.files.rglob("*.parquet")
    if harm == "missing":
        part.unlink()
    else:
        part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(UserError, match=rf"The embeddings of pool 'cats' are not sound: .*{part.name} are {harm}"):
        service.select(key)
    assert service.usage("cats") == Credits(granted=10_000, reserved=0, spent=0)


def test_images_without_a_vector_are_refused(service: PoolService) -> None:
    fill_pool(service, CATS, 4)
    key = service.open_round(CATS).key
    fill_pool(service, CATS, 6, embed=False)
    with pytest.raises(
        UserError, match=r"2 accepted images have no vector yet\. Materialize 'embeddings'; nothing was charged\."
    ):
        service.select(key)


def test_a_round_needs_embeddings(service: PoolService) -> None:
    for _ in range(2):
        with pytest.raises(
            UserError, match=r"Pool 'cats' has no embeddings yet\. Materialize its 'images' and 'embeddings' first\."
        ):
            service.open_round(CATS)
        fill_pool(service, CATS, 4, embed=False)


def test_one_round_is_open_at_a_time(service: PoolService) -> None:
    fill_pool(service, CATS, 12)
    service.open_round(CATS)
    with pytest.raises(UserError, match=r"Round cats\.r0001 is not finished \(state: open\)"):
        service.open_round(CATS)


def test_a_round_that_cannot_be_paid_is_not_opened(service: PoolService) -> None:
    poor = pool_settings(credit_grant=84)
    fill_pool(service, poor, 12)
    with pytest.raises(
        InsufficientCredits, match=r"The selection of round cats\.r0001 costs 85 credits and pool 'cats' may spend 84 "
    ):
        service.open_round(poor)
    with service.ledger.transaction() as tx:
        assert rounds.latest(tx, "cats") is None
    assert service.open_round(CATS).key == "cats.r0001"
    assert service.usage("cats").granted == 10_000


def test_the_price_of_the_next_round_knows_what_is_left(service: PoolService) -> None:
    assert select_module.next_price(service.ledger, CATS) == 10
    fill_pool(service, CATS, 2)
    assert select_module.next_price(service.ledger, CATS) == 10 + 25 * 2


def test_an_unknown_round(service: PoolService) -> None:
    with pytest.raises(UserError, match=r"There is no round 'cats\.r0005'"):
        service.select("cats.r0005")


def test_the_settings_are_those_of_when_the_round_was_opened(service: PoolService) -> None:
    fill_pool(service, CATS, 12)
    key = service.open_round(pool_settings(images_per_round=5)).key
    assert len(service.select(key)) == 5


def test_landed_labels_guide_the_next_round(service: PoolService) -> None:
    fill_pool(service, CATS, 60)
    first = one_round(service, images_per_round=12)
    assert all("so far" not in pick.reason for pick in first)
    outcomes = [
        Outcome(pick.digest, "labelled", [label := "cat" if place % 2 else "dog"], [{"label": label}], None)
        for place, pick in enumerate(first)
    ]
    with service.ledger.transaction() as tx:
        landing.record(
            tx, "cats", "cats.r0001", export_uid="e", export_digest="e", schema=[], schema_digest="s", file="f", quarantined=[],
            outcomes=outcomes,
        )  # fmt: skip
    second = one_round(service, images_per_round=6)
    assert all("so far it" in pick.reason for pick in second)
    third = one_round(service, images_per_round=6, strategy="coverage")
    assert all("so far" not in pick.reason for pick in third)
