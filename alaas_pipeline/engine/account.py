"""The account of a selection: reasons for people, figures for curves."""

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from alaas_pipeline.engine import coverage, picks
from alaas_pipeline.engine.geometry import Geometry
from alaas_pipeline.engine.outliers import Outlier
from alaas_pipeline.engine.picks import Pick

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REFERENCE_PICKS: Final = 100
_DRAWN: Final = 16_384


def representatives(
    space: Geometry,
    names: list[str],
    earlier: "NDArray[np.intp]",
    chosen: "NDArray[np.intp]",
    gains: list[float],
    reach: "NDArray[np.float32]",
    near: "tuple[NDArray[np.intp], NDArray[np.float32]]",
    must: int = 0,
    looks: list[str] | None = None,
) -> list[Pick]:
    """Describes representatives.

    Args:
        space: The pool's geometry.
        names: Ids in the geometry's order.
        earlier: Picks of earlier rounds.
        chosen: This round's picks, in picking order.
        gains: The share of coverage that each adds.
        reach: Every image's squared distance to its nearest earlier pick.
        near: Every image's nearest among this round's, and its squared distance.
        must: How many of them, the first ones, were asked for by name.
        looks: What labels say of each, where they say anything.

    Returns:
        One pick for each chosen row, in the same order.
    """
    others = _without(len(names), np.concatenate([earlier, chosen]))
    others = others[near[1][others] < reach[others]]
    covers = np.bincount(near[0][others], minlength=len(chosen))
    before = _nearest_before(space, earlier, chosen)
    return [
        picks.representative(
            names[row],
            gains[place],
            int(covers[place]),
            None if near is None else names[near[0]],
            None if near is None else near[1],
            must=place < must,
            looks=looks[place] if looks else "",
        )
        for place, (row, near) in enumerate(zip(chosen.tolist(), before, strict=True))
    ]


def edge_cases(
    space: Geometry,
    names: list[str],
    taken: "NDArray[np.intp]",
    found: list[Outlier],
    usual: float,
) -> list[Pick]:
    """Describes outliers.

    Args:
        space: The pool's geometry.
        names: Ids in the geometry's order.
        taken: Picks of earlier rounds and this round's representatives.
        found: This round's outliers, strongest first.
        usual: Median of the pool's neighbour distances.

    Returns:
        One pick for each outlier, in the same order.
    """
    if not found:
        return []
    rows = np.array([outlier.row for outlier in found], np.intp)
    everyone = np.concatenate([taken, rows])
    others = _without(len(names), everyone)
    covers = np.bincount(space.nearest(others, everyone)[0], minlength=len(everyone))[len(taken) :]
    out: list[Pick] = []
    for place, (outlier, near) in enumerate(zip(found, _nearest_before(space, taken, rows), strict=True)):
        out.append(
            picks.outlier(
                names[outlier.row],
                outlier.score,
                int(covers[place]),
                None if near is None else names[near[0]],
                None if near is None else near[1],
                radius=outlier.radius,
                usual=usual,
            )
        )
    return out


def _without(count: int, taken: "NDArray[np.intp]") -> "NDArray[np.intp]":
    left = np.ones(count, bool)
    left[taken] = False
    return np.flatnonzero(left)


def _nearest_before(
    space: Geometry, earlier: "NDArray[np.intp]", chosen: "NDArray[np.intp]"
) -> list[tuple[int, float] | None]:
    """For each pick, the nearest among the picks before it and its distance."""
    found: list[tuple[int, float] | None] = []
    if len(earlier):
        place, squared = space.nearest(chosen, earlier)
        old = list(zip(earlier[place].tolist(), squared.tolist(), strict=True))
    else:
        old = [(-1, math.inf)] * len(chosen)
    among = np.full(len(chosen), np.inf, np.float32)
    first = np.zeros(len(chosen), np.intp)
    for part, squared in space.by_block(chosen, chosen):
        squared[np.arange(part.start, part.stop)[:, None] <= np.arange(len(chosen))] = np.inf
        first[part] = squared.argmin(axis=1)
        among[part] = squared[np.arange(len(squared)), first[part]]
    for place, (near, squared) in enumerate(old):
        if among[place] < squared:
            near, squared = int(chosen[first[place]]), float(among[place])
        found.append(None if near < 0 else (near, float(space.distance(squared))))
    return found


def metrics(
    space: Geometry,
    targets: "NDArray[np.intp]",
    earlier: "NDArray[np.intp]",
    free: "NDArray[np.intp]",
    chosen: "NDArray[np.intp]",
    extra: int,
) -> dict[str, float]:
    """Measures a selection without labels.

    Args:
        space: The pool's geometry.
        targets: The images that stand for the pool.
        earlier: Picks of earlier rounds.
        free: The images that could have been picked.
        chosen: This round's representatives, at least one.
        extra: How many outliers were picked beside them.

    Returns:
        The figures that `alaas_pipeline.engine.picks.Selection` explains.
    """
    kernel = coverage.Kernel.of(space, coverage.squared_width(space, targets, _REFERENCE_PICKS))
    before = kernel.covered(space, targets, earlier)
    squared = space.nearest(targets, np.concatenate([earlier, chosen]))[1]
    draw = np.random.default_rng(0)
    draws = [
        float(np.maximum(before, kernel.covered(space, targets, draw.choice(free, len(chosen), False))).mean())
        for _ in range(max(1, min(8, _DRAWN // len(chosen))))
    ]
    radius = space.distance(squared)
    steps = [near[1] for near in _nearest_before(space, earlier, chosen) if near is not None]
    return {
        "coverage_before": float(before.mean()) / coverage.FULL,
        "coverage_after": float(kernel(squared).mean()) / coverage.FULL,
        "coverage_random": float(np.mean(draws)) / coverage.FULL,
        "radius_p95": float(np.quantile(radius, 0.95)),
        "radius_max": float(radius.max()),
        "spacing": float(np.mean(steps)) if steps else 0.0,
        "pool": float(space.codes.shape[0]),
        "candidates": float(len(free)),
        "picked": float(len(chosen) + extra),
        "remaining": float(len(free) - len(chosen) - extra),
    }
