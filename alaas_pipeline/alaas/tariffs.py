"""What the pool service costs, in whole credits (1 credit = $0.0001).

Two published price lists differ in `select` only: 10 + 25 for each returned candidate (the default), or
10 + 1 % of the pool, rounded up to the next whole credit. A pool's size is the number of its vectors.
"""

from typing import Literal, get_args

Tariff = Literal["per-candidate", "pool-percent"]

CREDITS_PER_IMAGE = 5
SELECT_BASE = 10
SELECT_PER_CANDIDATE = 25


def embed_price(images: int) -> int:
    """Return the credits for embedding that many images."""
    return CREDITS_PER_IMAGE * images


def select_prices(candidates: int, pool_size: int) -> tuple[int, int]:
    """Return the lowest and the highest credits that the published tariffs take for one selection."""
    prices = [select_price(tariff, candidates, pool_size) for tariff in get_args(Tariff)]
    return min(prices), max(prices)


def select_price(tariff: Tariff, candidates: int, pool_size: int) -> int:
    """Return the credits of one selection that returned `candidates` images from a pool of `pool_size` vectors."""
    if tariff == "per-candidate":
        return SELECT_BASE + SELECT_PER_CANDIDATE * candidates
    return SELECT_BASE + -(-pool_size // 100)
