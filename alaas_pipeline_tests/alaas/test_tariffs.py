import pytest

from alaas_pipeline.alaas.tariffs import Tariff, embed_price, select_price


@pytest.mark.parametrize(
    ("tariff", "candidates", "pool", "credits"),
    [
        ("per-candidate", 50, 2624, 10 + 25 * 50),
        ("per-candidate", 1, 10**6, 35),
        ("pool-percent", 50, 2624, 10 + 27),
        ("pool-percent", 1, 100, 11),
        ("pool-percent", 1, 101, 12),
        ("pool-percent", 1, 99, 11),
        ("pool-percent", 1, 1, 11),
    ],
)
def test_a_selection(tariff: Tariff, candidates: int, pool: int, credits: int) -> None:
    assert select_price(tariff, candidates, pool) == credits


def test_an_embedding() -> None:
    assert embed_price(2624) == 13_120
    assert embed_price(0) == 0
