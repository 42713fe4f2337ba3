"""A pool's aims, from `pools.yaml`, lists and the manifest to the picks."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import credits, facts, images, rounds
from alaas_pipeline.ledger.facts import Facts
from alaas_pipeline.ledger.selections import PickedImage
from alaas_pipeline_tests.alaas.stand_ins import fill_pool
from alaas_pipeline_tests.builders import pool_settings
from alaas_pipeline_tests.ledger.fill import digest

COUNT = 24
NAMES = [f"{number:04d}.png" for number in range(COUNT)]


@pytest.fixture
def filled(service: PoolService) -> PoolService:
    """Two dozen images of four drives, in sun and rain."""
    fill_pool(service, pool_settings(), COUNT)
    with service.ledger.transaction() as tx:
        facts.record(
            tx, "cats",
            [Facts(name, f"drive {number % 4}", {"weather": "rain" if number < 8 else "sun"}) for number, name in enumerate(NAMES)],
        )  # fmt: skip
    return service


def one_round(service: PoolService, **changes: Any) -> list[PickedImage]:
    opened = service.open_round(pool_settings(**changes))
    picks = service.select(opened.key)
    with service.ledger.transaction() as tx:
        if not rounds.get(tx, opened.key).ended:
            rounds.advance(tx, opened.key, "refused")
    return picks


def listed(tmp_path: Path, name: str, *lines: str) -> str:
    path = tmp_path / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def test_caps_hold_for_groups_and_columns_of_the_manifest(filled: PoolService) -> None:
    number_of = {digest(name): number for number, name in enumerate(NAMES)}
    picks = one_round(filled, images_per_round=8, aims={"caps": {"group": 2, "weather": 6}})
    assert len(picks) == 8
    assert set(Counter(number_of[pick.digest] % 4 for pick in picks).values()) == {2}
    assert max(Counter(number_of[pick.digest] < 8 for pick in picks).values()) <= 6
    fewer = one_round(filled, images_per_round=8, aims={"caps": {"weather": 1}})
    assert len(fewer) == 2
    with filled.ledger.transaction() as tx:
        # Ten for the request, and 25 for each pick.
        assert [credits.spent_on(tx, f"cats.r000{number}") for number in (1, 2)] == [210, 60]


def test_lists_of_must_and_never(filled: PoolService, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "alaas_pipeline")
    must = listed(tmp_path, "must.txt", NAMES[5], "", f"  {NAMES[20]} ", "elsewhere.png")
    never = listed(tmp_path, "never.txt", *NAMES[:5], *NAMES[6:20])
    aims = {"must": must, "never": never}
    first = one_round(filled, images_per_round=3, aims=aims)
    assert [(pick.digest, pick.kind) for pick in first[:2]] == [(digest(NAMES[5]), "must"), (digest(NAMES[20]), "must")]
    assert first[2].kind == "representative"
    assert f"{must} lists 1 images that the pool does not have; first: elsewhere.png" in caplog.text
    second = one_round(filled, images_per_round=3, aims=aims)
    assert "2 images of `must` are picked or labelled already, or cannot be picked; first: 0005.png" in caplog.text
    assert {pick.digest for pick in [*first, *second]} == {digest(NAMES[5]), *map(digest, NAMES[20:])}


def test_near_duplicates_of_anything_picked_are_skipped(filled: PoolService) -> None:
    with filled.ledger.transaction() as tx:
        images.set_near_duplicates(
            tx, "cats", {digest(name): digest(NAMES[number % 3]) for number, name in enumerate(NAMES)}
        )
    aims = {"skip_near_duplicates": True}
    assert len(one_round(filled, images_per_round=2, aims=aims)) == 2
    assert len(one_round(filled, images_per_round=2, aims=aims)) == 1
    assert one_round(filled, images_per_round=2, aims=aims) == []
    with filled.ledger.transaction() as tx:
        last = rounds.get(tx, "cats.r0003")
        assert credits.credits(tx, "cats").reserved == 0
    assert (
        last.state,
        str(last.note).startswith("pool_exhausted: Nothing is left to pick: the aims rule out all"),
    ) == ("exhausted", True)


@pytest.mark.parametrize(
    ("aims", "told"),
    [
        ({"caps": {"camera": 2}}, r"Pool 'cats' has a cap on 'camera', and no row of its manifest tells a 'camera'"),
        ({"must": "nowhere.txt"}, r"The list nowhere\.txt cannot be read"),
    ],
)
def test_aims_that_cannot_be_met_cost_nothing(filled: PoolService, aims: dict[str, Any], told: str) -> None:
    opened = filled.open_round(pool_settings(aims=aims))
    with pytest.raises(UserError, match=told):
        filled.select(opened.key)
    with filled.ledger.transaction() as tx:
        assert (credits.spent_on(tx, opened.key), credits.credits(tx, "cats").reserved) == (0, 0)


def test_an_image_in_both_lists_is_refused(filled: PoolService, tmp_path: Path) -> None:
    lists = {name: listed(tmp_path, name, NAMES[1]) for name in ("must", "never")}
    opened = filled.open_round(pool_settings(aims=lists))
    with pytest.raises(UserError, match=r"'0001\.png' stands in the lists of `must` and of `never`"):
        filled.select(opened.key)
