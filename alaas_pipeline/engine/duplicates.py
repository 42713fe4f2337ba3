"""Near duplicates: images whose vectors point almost the same way."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from alaas_pipeline.engine.geometry import unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

# At most this many hits of a range search are held at once, even if all images are copies of one.
_HITS = 1 << 25


def near_duplicates(digests: Sequence[str], vectors: "NDArray[np.floating]", threshold: float = 0.98) -> dict[str, str]:
    """Groups images whose raw cosine similarity reaches a threshold.

    Groups form around leaders in the order of the digests: the first ungrouped image leads, and every
    ungrouped image close to *it* joins. So members are never further from their leader than the threshold
    (chains of small steps do not merge a whole video), and the answer does not depend on the order of the
    rows. Every pair is compared: the work grows with the square of the number of images.

    Args:
        digests: One digest a row, all different.
        vectors: Shape (rows, dim), finite; only directions matter.
        threshold: Least cosine similarity of near duplicates, above 0 and up to 1 (the same, but for
            rounding).

    Returns:
        For every digest the digest of its group's leader; an image alone leads itself.

    Raises:
        ValueError: The threshold is out of range, or digests and rows differ in number.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"The threshold must lie above 0 and up to 1, not {threshold}.")
    if len(digests) != len(vectors):
        raise ValueError(f"{len(digests):,} digests do not fit {len(vectors):,} vectors.")
    order: list[int] = sorted(range(len(digests)), key=lambda row: digests[row].encode())
    points = unit_rows(np.asarray(vectors, np.float32)[order])
    # On unit vectors, squared distance = 2 - 2 cosine; the last term lets rounding pass.
    leaders = lead(points, 2 - 2 * threshold + 1e-6)
    names = [digests[row] for row in order]
    return {name: names[leader] for name, leader in zip(names, leaders.tolist(), strict=True)}


def lead(points: "NDArray[np.float32]", squared_reach: float) -> "NDArray[np.intp]":
    """Forms groups around leaders, in row order.

    Args:
        points: Shape (rows, dim).
        squared_reach: Squared distance below which a row joins a leader.

    Returns:
        The leader's row for every row; leaders have their own.
    """
    import faiss

    leaders = np.full(len(points), -1, np.intp)
    if not len(points):
        return leaders
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(np.ascontiguousarray(points))
    block = max(32, min(1024, _HITS // len(points)))
    start = 0
    while True:
        # Rows that joined a group in an earlier block need no search of their own.
        rows = start + np.flatnonzero(leaders[start:] < 0)[:block]
        if not rows.size:
            return leaders
        limits, _, hits = index.range_search(np.ascontiguousarray(points[rows]), squared_reach)
        for place, row in enumerate(rows.tolist()):
            if leaders[row] < 0:
                near = hits[limits[place] : limits[place + 1]]
                leaders[near[leaders[near] < 0]] = row
                leaders[row] = row
        start = int(rows[-1]) + 1
