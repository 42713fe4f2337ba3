"""What every strategy owes, whatever it looks for: the one place that a new strategy has to pass.

`choose` asks as the tests ask, and holds every answer it gets against `keep`.
"""

import math
import zlib
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pytest

from alaas_pipeline.engine.select import STRATEGIES, Selection, select

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)

# What a strategy needs beside the vectors.
ALSO: dict[str, Callable[[Collection[str]], dict[str, Any]]] = {
    "adaptive": lambda selected: {
        "labels": {name: "ab"[zlib.crc32(name.encode(errors="surrogatepass")) % 2] for name in selected}
    }
}
# Strategies whose list may be cut anywhere: so much of the coverage that a request for the shorter list reaches is still there.
PREFIX = {"coverage": 0.97, "explore": 0.97, "adaptive": 0.97}
FIGURES = {
    "coverage_before", "coverage_after", "coverage_random", "radius_p95", "radius_max", "spacing", "pool", "candidates", "picked",
    "remaining",
}  # fmt: skip


def everything(selection: Selection) -> list[str]:
    """Representatives and outliers, in this order."""
    return [pick.id for pick in [*selection.representatives, *selection.outliers]]


def choose(
    strategy: str,
    ids: Sequence[str],
    vectors: np.ndarray,
    k: int,
    selected: Collection[str] = (),
    excluded: Collection[str] = (),
    **more: Any,
) -> Selection:
    """Select, and check what holds for every answer."""
    also = ALSO.get(strategy, lambda _: {})(selected) | more
    selection = select(ids, vectors, k, strategy=strategy, selected=selected, excluded=excluded, **also)
    keep(selection, ids, k, set(selected), set(excluded))
    return selection


def keep(selection: Selection, ids: Sequence[str], k: int, selected: set[str], excluded: set[str]) -> None:
    """Check one answer: the right number, nothing twice, nothing that was picked before or is excluded, a full account."""
    picked, known = everything(selection), set(ids)
    free = known - selected - excluded
    assert len(selection.representatives) == min(k, len(free))
    assert len(selection.outliers) <= math.ceil(0.2 * k)
    assert len(picked) == len(set(picked))
    assert set(picked) <= free
    assert {pick.kind for pick in selection.representatives} == {"representative"}
    assert {pick.kind for pick in selection.outliers} <= {"outlier"}
    before = set(selected)
    for pick in [*selection.representatives, *selection.outliers]:
        assert math.isfinite(pick.gain)
        assert 0 <= pick.covers < len(ids)
        assert pick.reason.endswith(".")
        assert (pick.nearest is None) == (pick.distance is None) == (not before)
        assert pick.nearest is None or pick.nearest in before
        assert pick.distance is None or pick.distance >= 0
        before.add(pick.id)
    figures = selection.metrics
    assert figures.keys() >= FIGURES
    assert all(map(math.isfinite, figures.values()))
    assert (figures["pool"], figures["candidates"]) == (len(ids), len(free))
    assert (figures["picked"], figures["remaining"]) == (len(picked), len(free) - len(picked))
