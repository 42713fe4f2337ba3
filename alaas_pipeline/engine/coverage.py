"""Weighted kernel coverage: pick the images that make every image of the pool well represented.

The objective is sum over targets x of w(x) * max(c(x), max over picks s of exp(-|x - s|^2 / h^2)), where c
is the best similarity to anything picked in earlier rounds: generalised coverage as in MaxHerding (Bae et
al., "Generalized Coverage for More Robust Low-Budget Active Learning", ECCV 2024), with three changes.

- The width h follows from the budget: twice the median distance to the (targets / picks)-th neighbour, so
  that the picks' reaches just meet. No knob, no number of classes.
- The weights w = r / median r, r the distance to the 20th neighbour, clipped at its 5th and 95th
  percentile, lean a little against density, so that crowded kinds of image do not eat the budget.
- After the greedy (a 1 - 1/e guarantee, Nemhauser et al. 1978) single swaps are tried until none helps.

Similarities are 15-bit integers read from a table over integer distances, weights are small integers, and
gains are sums of integers below 2**53: the same on every machine, so ties are true ties and fall to the
lower id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alaas_pipeline.engine.geometry import Geometry, blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEIGHBOUR = 20
FULL = 32767
_WEIGHT_STEP = 256
# A burst of copies still weighs about as much as one image; a far image at most 16 times as much as an ordinary one.
_RATIOS = (0.1, 16.0)
_WIDTH_ROWS = 512
_SWAP_PASSES = 3
_SWAP_LIMIT = 128
# Of more candidates than twice as many, those are exchanged for picks that would add the most to all of them.
_SWAP_CANDIDATES = 1024
# So many similarities at a time stay in the caches.
_FEW = 1 << 17
_BATCH = 16


def neighbour_radii(geometry: Geometry, targets: "NDArray[np.intp]") -> "NDArray[np.float64]":
    """Finds the distance of each target to its 20th neighbour among the targets, in code steps."""
    near = min(NEIGHBOUR, len(targets) - 1)
    return np.sqrt(geometry.smallest(targets, targets, near + 1)[:, near].astype(np.float64))


def target_weights(
    geometry: Geometry, targets: "NDArray[np.intp]", radius: "NDArray[np.float64] | None" = None
) -> "NDArray[np.float64]":
    """Weighs targets by how thinly their surroundings are populated.

    Args:
        geometry: The pool's geometry.
        targets: The images to cover.
        radius: Their `neighbour_radii`, if they are known.

    Returns:
        Integers held as float64, shape (targets,), about 256 for an ordinary image.
    """
    if len(targets) == 1:
        return np.full(1, float(_WEIGHT_STEP))
    radius = neighbour_radii(geometry, targets) if radius is None else radius
    usual = float(np.median(radius)) or float(np.median(radius[radius > 0])) if radius.any() else 1.0
    ratio = radius / usual
    low, high = np.quantile(ratio, (0.05, 0.95))
    ratio = ratio.clip(max(float(low), _RATIOS[0]), min(float(high), _RATIOS[1]))
    return np.maximum(np.rint(_WEIGHT_STEP * ratio), 1.0)


def squared_width(geometry: Geometry, targets: "NDArray[np.intp]", picks: int) -> float:
    """Finds h^2, in squared code steps, for so many picks.

    Args:
        geometry: The pool's geometry.
        targets: The images to cover.
        picks: All picks that will share the work, earlier rounds included.

    Returns:
        The squared width, positive; measured at up to 512 targets spread evenly over the ids.
    """
    rows = targets[np.unique(np.linspace(0, len(targets) - 1, min(len(targets), _WIDTH_ROWS)).astype(np.intp))]
    rank = min(max(1, round(len(targets) / picks)), len(targets) - 1)
    squared = np.concatenate(
        [np.partition(found, rank, axis=1)[:, rank] for _, found in geometry.by_block(rows, targets)]
    )
    # Where most images coincide the median is 0; the distances that remain still tell a scale.
    usual = float(np.median(squared)) or float(np.median(squared[squared > 0])) if squared.any() else 1.0
    return 4 * usual


@dataclass(frozen=True)
class Kernel:
    """Similarities as integers from 0 to `FULL`, looked up by squared distance in code steps."""

    table: "NDArray[np.int16]"

    @classmethod
    def of(cls, geometry: Geometry, squared_width: float) -> "Kernel":
        """Tabulates exp(-d^2 / h^2) for every distance that the geometry can hold."""
        largest = int(4 * geometry.norms.max()) + 1
        values = np.exp(-np.arange(largest + 1, dtype=np.float64) / squared_width)
        return cls(np.rint(FULL * values).astype(np.int16))

    def __call__(self, squared: "NDArray[np.float32]") -> "NDArray[np.int16]":
        """Looks up similarities for squared distances."""
        return self.table.take(squared.astype(np.int32), mode="clip")

    def matrix(self, geometry: Geometry, rows: "NDArray[np.intp]", targets: "NDArray[np.intp]") -> "NDArray[np.int16]":
        """Similarities of rows to targets, int16 of shape (rows, targets)."""
        out = np.empty((len(rows), len(targets)), np.int16)
        for part, squared in geometry.by_block(rows, targets):
            out[part] = self(squared)
        return out

    def covered(
        self, geometry: Geometry, targets: "NDArray[np.intp]", picks: "NDArray[np.intp]"
    ) -> "NDArray[np.int16]":
        """Best similarity of each target to any pick, 0 where there is no pick."""
        if not len(picks):
            return np.zeros(len(targets), np.int16)
        return self(geometry.nearest(targets, picks)[1])


def pick(
    similarity: "NDArray[np.int16]",
    weights: "NDArray[np.float64]",
    covered: "NDArray[np.int16]",
    count: int,
    close: "Callable[[int], NDArray[np.bool_]] | None" = None,
) -> list[tuple[int, float]]:
    """Chooses rows that cover the targets best.

    Args:
        similarity: Candidates by targets, from 0 to `FULL`; candidates in the order of their ids.
        weights: One positive integer a target.
        covered: What earlier picks reach already, per target.
        count: How many rows to choose, at most all of them.
        close: Told of each pick, says which rows may not be picked any more; no exchanges are tried then.

    Returns:
        Pairs of row and gain in greedy order; a gain is the share (0 to 1) of all weight times `FULL`. Fewer than
        `count` where `close` leaves no more.
    """
    ranked = _greedy(similarity, weights, covered, count, close)
    if close is None and count <= _SWAP_LIMIT and count < len(similarity):
        chosen = sorted(_swapped(similarity, weights, covered, [row for row, _ in ranked]))
        again = _greedy(similarity[chosen], weights, covered, count)
        ranked = [(chosen[place], gain) for place, gain in again]
    whole = FULL * float(weights.sum())
    return [(row, gain / whole) for row, gain in ranked]


def gains(similarity: "NDArray[np.int16]", weights: "NDArray[np.float64]", covered: "NDArray[np.int16]") -> list[float]:
    """Says what each row adds when they are picked in this order, as `pick` does of those that it chooses."""
    whole, told = FULL * float(weights.sum()), []
    for row in range(len(similarity)):
        told.append(float(_gains(similarity, np.array([row]), weights, covered)[0]) / whole)
        covered = np.maximum(covered, similarity[row])
    return told


def _gains(
    similarity: "NDArray[np.int16]",
    rows: "NDArray[np.intp]",
    weights: "NDArray[np.float64]",
    covered: "NDArray[np.int16]",
) -> "NDArray[np.float64]":
    out = np.empty(len(rows))
    size = max(1, _FEW // max(1, len(weights)))
    better, wide = np.empty((size, len(weights)), np.int16), np.empty((size, len(weights)))
    for part in blocks(len(rows), size):
        few = part.stop - part.start
        np.subtract(similarity[rows[part]], covered, out=better[:few])
        np.maximum(better[:few], 0, out=wide[:few], casting="unsafe")
        out[part] = wide[:few] @ weights
    return out


def _greedy(
    similarity: "NDArray[np.int16]",
    weights: "NDArray[np.float64]",
    covered: "NDArray[np.int16]",
    count: int,
    close: "Callable[[int], NDArray[np.bool_]] | None" = None,
) -> list[tuple[int, float]]:
    """Lazy greedy (Minoux 1978): a gain never grows, so old gains bound new ones and few are recomputed."""
    covered = covered.copy()
    bound = _gains(similarity, np.arange(len(similarity)), weights, covered)
    fresh = np.ones(len(similarity), bool)
    picks: list[tuple[int, float]] = []
    for _ in range(count):
        if bound.max() < 0:
            break
        batch = _BATCH
        # Of equal gains the first counts; a stale one further down can only fall.
        while not fresh[best := int(bound.argmax())]:
            top = np.argpartition(bound, -batch)[-batch:] if batch < len(bound) else np.arange(len(bound))
            top = np.unique(np.append(top[~fresh[top] & (bound[top] > 0)], best))
            bound[top] = _gains(similarity, top, weights, covered)
            fresh[top] = True
            batch *= 2
        picks.append((best, float(bound[best])))
        covered = np.maximum(covered, similarity[best])
        bound[best] = -1
        if close is not None:
            bound[close(best)] = -1
        fresh = bound == 0
    return picks


def _swapped(
    similarity: "NDArray[np.int16]",
    weights: "NDArray[np.float64]",
    covered: "NDArray[np.int16]",
    picks: list[int],
) -> list[int]:
    """Exchanges picks for better candidates (as PAM does for medoids) until no exchange helps, at most 3 passes."""
    picks = list(picks)
    tried = np.arange(len(similarity))
    if len(tried) > 2 * _SWAP_CANDIDATES:
        added = _gains(similarity, tried, weights, np.maximum(covered, similarity[picks].max(axis=0)))
        tried = np.sort(np.argsort(-added, kind="stable")[:_SWAP_CANDIDATES])
    among = similarity[tried]
    for _ in range(_SWAP_PASSES):
        best, second, owner = _two_best(similarity[picks], covered)
        value = float(best @ weights)
        gain, candidate = _best_swaps(among, weights, picks, best, second, owner)
        changed = False
        for place in np.argsort(-gain, kind="stable").tolist():
            row = int(tried[candidate[place]])
            if gain[place] <= 0 or row in picks:
                continue
            # Earlier exchanges of this pass have moved the ground: weigh this one afresh.
            rest = np.where(owner == place, second, best)
            if float(np.maximum(rest, similarity[row]) @ weights) > value:
                picks[place] = row
                best, second, owner = _two_best(similarity[picks], covered)
                value = float(best @ weights)
                changed = True
        if not changed:
            break
    return picks


def _two_best(
    rows: "NDArray[np.int16]", covered: "NDArray[np.int16]"
) -> "tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.intp]]":
    """Per target: best similarity, second best, and the row that holds the best (past the last: earlier picks)."""
    stack = np.vstack([rows, covered])
    owner = stack.argmax(axis=0)
    columns = np.arange(stack.shape[1])
    best = stack[owner, columns]
    stack[owner, columns] = -1
    return best, stack.max(axis=0), owner


def _best_swaps(
    similarity: "NDArray[np.int16]",
    weights: "NDArray[np.float64]",
    picks: list[int],
    best: "NDArray[np.int16]",
    second: "NDArray[np.int16]",
    owner: "NDArray[np.intp]",
) -> "tuple[NDArray[np.float64], NDArray[np.intp]]":
    """For each pick, the exchange that helps most: its gain and the candidate's row.

    A candidate adds what it holds above the best; taking a pick out drops its own targets to the second best.
    """
    order = np.argsort(owner, kind="stable")
    owners, starts = np.unique(owner[order], return_index=True)
    weight, first, next_best = weights[order], best[order], second[order]
    gain = np.full(len(picks), -np.inf)
    candidate = np.zeros(len(picks), np.intp)
    for part in blocks(len(similarity), 256):
        rows = similarity[part][:, order]
        with_best = np.maximum(rows, first)
        added = (with_best - first).astype(np.float64) @ weight
        dropped = (np.maximum(rows, next_best) - with_best).astype(np.float64) * weight
        change = np.repeat(added[:, None], len(picks) + 1, axis=1)
        change[:, owners] += np.add.reduceat(dropped, starts, axis=1)
        change = change[:, : len(picks)]
        place = change.argmax(axis=0)
        value = change[place, np.arange(len(picks))]
        better = value > gain
        gain = np.where(better, value, gain)
        candidate = np.where(better, place + part.start, candidate)
    return gain, candidate
