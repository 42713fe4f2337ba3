"""Edge cases: images far from everything else in the pool.

The score of an image is the distance to its 10th nearest neighbour, counted over groups of near duplicates,
so that a burst of frames of one oddity cannot hide behind itself. (Local ratios such as LOF miss the
farthest ones, isolation forests do worse in this space.) Rare classes are not outliers to geometry; the
weights of coverage serve those.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alaas_pipeline.engine.duplicates import lead
from alaas_pipeline.engine.geometry import Geometry, blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEIGHBOUR = 10
STRONG = 3.5
_LEAST_SHARE, _MOST_SHARE = 0.005, 0.05
# In the whitened space this is a cosine of 0.98.
_SAME = 0.2
_CLOSE_GROUPS = 8
_BLOCK = 65_536


@dataclass(frozen=True)
class Outlier:
    """An edge case: its row in the geometry, its score in robust standard deviations, its neighbours' reach."""

    row: int
    score: float
    radius: float


def find_outliers(
    geometry: Geometry,
    sample: "NDArray[np.intp]",
    candidates: "NDArray[np.intp]",
    taken: "NDArray[np.intp]",
    limit: int,
    known: "NDArray[np.floating] | None" = None,
) -> tuple[list[Outlier], float]:
    """Finds the edge cases among the candidates.

    Only images more than 3.5 robust standard deviations above the median count (at least the pool's top 0.5
    %, at most its top 5 %). The strongest comes first, then whichever lies farthest from everything taken;
    an image nearer to a taken one than an ordinary image's 10th neighbour adds nothing and is left out. So
    there may be fewer than asked for.

    Args:
        geometry: The pool's geometry.
        sample: The images whose neighbourhoods stand for the pool.
        candidates: Images that may be returned, in the order of their ids.
        taken: Picks of earlier rounds and this round's representatives.
        limit: The most to return.
        known: The `radii` of all images, if they are known.

    Returns:
        The outliers, and the median of the pool's radii, as a distance.
    """
    radius = radii(geometry, sample, sample) if known is None else known[sample]
    usual = float(np.median(radius))
    if limit < 1 or not len(candidates) or usual <= 0:
        return [], usual
    spread = 1.4826 * float(np.median(np.abs(radius - usual)))
    ordered = np.sort(radius)[::-1]
    strong = int((radius - usual > STRONG * spread).sum())
    share = min(max(strong, math.ceil(_LEAST_SHARE * len(sample))), max(1, int(_MOST_SHARE * len(sample))))
    threshold = float(ordered[share - 1])
    own = radii(geometry, sample, candidates) if known is None else known[candidates]
    listed = np.flatnonzero((own >= threshold) & (own > usual))
    if not listed.size:
        return [], usual
    rows = candidates[listed]
    free = np.full(len(rows), np.inf)
    if len(taken):
        free = geometry.distance(geometry.nearest(rows, taken)[1])
    scores = (own[listed] - usual) / max(spread, 1e-3 * usual)
    found: list[Outlier] = []
    while len(found) < limit and (free >= usual).any():
        best = int(np.where(free >= usual, scores, -np.inf).argmax() if not found else free.argmax())
        found.append(Outlier(int(rows[best]), float(scores[best]), float(own[listed[best]])))
        away = geometry.distance(geometry.squared(rows, rows[best : best + 1])[:, 0])
        free = np.minimum(free, away)
    return found, usual


def radii(geometry: Geometry, sample: "NDArray[np.intp]", rows: "NDArray[np.intp]") -> "NDArray[np.float64]":
    """Finds the distance of each row to its 10th nearest group of near duplicates in a sample, its own group left out."""
    reach = (_SAME * geometry.unit) ** 2
    leaders = sample[np.unique(lead(geometry.floats(sample), reach))]
    near = min(NEIGHBOUR + _CLOSE_GROUPS, len(leaders))
    radius = np.zeros(len(rows))
    for part in blocks(len(rows), _BLOCK):
        squared = geometry.smallest(rows[part], leaders, near)
        own = (squared < reach).sum(axis=1)
        column = np.minimum(own + NEIGHBOUR - 1, near - 1)
        radius[part] = geometry.distance(squared[np.arange(len(column)), column])
    return radius
