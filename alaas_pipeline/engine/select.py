"""Selection: which images of a pool are the most worth labelling next.

"coverage" picks representatives (`alaas_pipeline.engine.coverage`), "explore" adds edge cases
(`alaas_pipeline.engine.outliers`), "adaptive" leans towards what the labels so far leave open
(`alaas_pipeline.engine.uncertainty`). All build on everything picked before, and give the same answer whatever the
order of the rows; only "adaptive" looks at labels.

Images that agree in every code of the geometry count as one; further copies are picked only when nothing
else is left. Up to 8,192 different images everything is exact. Above that, 16,384 targets and 8,192
candidates at a time stand for the pool: the images whose ids hash lowest, an unbiased draw that depends on
nothing but the ids; afterwards each pick is moved to the best place among all images near it
(`alaas_pipeline.engine.large`). Memory then stays below about 1 GB beside the vectors. Large requests are
answered in stretches of 2,048 picks, each with the next candidates and conditioned on the stretches before.
"""

import hashlib
import logging
import math
import sys
import types
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from alaas_pipeline.engine import account, coverage, large, outliers, products, request, uncertainty
from alaas_pipeline.engine.aims import Aims, Room
from alaas_pipeline.engine.picks import STRATEGIES, Pick, PoolExhausted, Selection
from alaas_pipeline.engine.structure import Structure

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["STRATEGIES", "Pick", "PoolExhausted", "Selection", "select"]

log = logging.getLogger(__name__)

OUTLIER_SHARE: Final = 0.2
_EXACT: Final = 8_192
_TARGETS: Final = 16_384
_STRETCH: Final = 2_048


def select(
    ids: Sequence[str],
    vectors: "NDArray[np.floating]",
    k: int,
    *,
    strategy: str = "coverage",
    selected: Collection[str] = (),
    excluded: Collection[str] = (),
    max_outliers: int | None = None,
    aims: Aims | None = None,
    labels: Mapping[str, str] | None = None,
    keep: Path | None = None,
) -> Selection:
    """Picks the images most worth labelling.

    Args:
        ids: One id a row, all different.
        vectors: Shape (images, dim), any float type, finite; only directions matter.
        k: Representatives wanted; when fewer candidates are left, all of them are returned.
        strategy: "coverage"; "explore" for the same representatives and up to a fifth as many outliers; or "adaptive",
            which is coverage weighted by what `labels` leave open, and the same as coverage while there are fewer than
            10 labels or one class.
        selected: Ids picked or labelled before. They count as labelled and are never returned.
        excluded: Ids never to return, such as images that the platform refuses. Ids unknown to the pool are
            ignored here.
        max_outliers: For "explore", the most outliers to return instead of ceil(0.2 k).
        aims: What the picks have to keep to beside the strategy. With caps or a least distance there may be fewer than
            `k`, although candidates are left.
        labels: Id -> class of labelled images, which count as selected. Only "adaptive" looks at the classes.
        keep: A file for what depends on the pool alone (`alaas_pipeline.engine.structure`): read if it is there and fits,
            written if not, so that the next request is answered sooner.

    Returns:
        Representatives in picking order, any beginning of which is a good shorter list; outliers; metrics.

    Raises:
        ValueError: An argument is impossible; the message names the ids concerned.
        PoolExhausted: No candidate is left.
    """
    labels = labels or {}
    rows = request.checked(ids, vectors, k, strategy, {*selected, *labels}, max_outliers)
    aims = aims or Aims()
    order = sorted(range(len(ids)), key=ids.__getitem__)
    names = [ids[row] for row in order]
    barred = set(excluded)
    earlier = np.array([place for place, name in enumerate(names) if name in rows], np.intp)
    free = np.array([p for p, name in enumerate(names) if name not in rows and name not in barred], np.intp)
    if not len(free):
        raise PoolExhausted(
            f"Nothing is left to pick: of {len(names):,} images {len(earlier):,} were selected before and "
            "the others are excluded. Add images to the pool to go on."
        )
    k = min(k, len(free))
    log.info("Selecting %s of %s images, %s selected before.", f"{k:,}", f"{len(free):,}", f"{len(earlier):,}")
    products.prepare(len(ids))
    kept = Structure.load(keep) if keep else None
    structure = Structure.of(ids, vectors, kept)
    space = structure.space
    plan = _plan(structure, free, earlier)
    room = Room(space, names, earlier, aims)
    must = request.must_rows(aims.must, names, rows, barred, k)
    radii = structure.once(plan.name("radii"), lambda: coverage.neighbour_radii(space, plan.targets))
    weights, belief = coverage.target_weights(space, plan.targets, radii), None
    if strategy == "adaptive":
        known = {place: labels[names[place]] for place in earlier.tolist() if names[place] in labels}
        belief = uncertainty.posterior(space, plan.targets, known)
        if belief is None:
            log.info(
                "Picking as for coverage: %s labels of %s classes say too little.", len(known), len(set(known.values()))
            )
        else:
            weights = np.maximum(np.rint(weights * belief.weights(plan.targets)), 1.0)
    chosen, gains = _representatives(structure, plan, weights, earlier, k, must, room)
    if not len(chosen):
        raise PoolExhausted(
            f"Nothing is left to pick: the aims rule out all of {len(free):,} images. Raise a cap, or lower the least distance."
        )
    taken = np.concatenate([earlier, chosen])
    reach, near = structure.reach(earlier), space.nearest(np.arange(len(names)), chosen)
    found: list[outliers.Outlier] = []
    usual = 0.0
    if strategy == "explore":
        limit = math.ceil(OUTLIER_SHARE * k) if max_outliers is None else max_outliers
        left = np.setdiff1d(free, chosen)
        radii = None
        if keep:
            everyone = np.arange(len(names))
            radii = structure.once(plan.name("reaches"), lambda: outliers.radii(space, plan.targets, everyone))
        found, usual = outliers.find_outliers(space, plan.targets, left[room.open(left)], taken, limit, radii)
        found = [one for one in found if _still(room, one.row)]
    selection = Selection(
        representatives=account.representatives(
            space,
            names,
            earlier,
            chosen,
            gains,
            reach,
            near,
            len(must),
            belief.said_of(space, chosen) if belief else None,
        ),
        outliers=account.edge_cases(space, names, taken, found, usual),
        metrics=account.metrics(space, plan.targets, earlier, free, chosen, len(found)),
    )
    if keep:
        structure.note(chosen, near[1])
        try:
            structure.save(keep)
        except OSError as error:
            # The picks stand; the next request only takes longer.
            log.warning("What is known of the pool cannot be kept in %s: %s", keep, error)
    log.info(
        "Selected %s representatives and %s outliers; coverage %.3f, a random draw gives %.3f.",
        f"{len(chosen):,}",
        len(found),
        selection.metrics["coverage_after"],
        selection.metrics["coverage_random"],
    )
    return selection


@dataclass(frozen=True)
class _Plan:
    """What stands for the pool: targets in id order, the candidates' queue, and copies kept for last.

    `around` are the images that picks are settled among afterwards; none where the targets are the whole pool.
    """

    targets: "NDArray[np.intp]"
    around: "NDArray[np.intp]"
    queue: "NDArray[np.intp]"
    copies: "NDArray[np.intp]"

    def name(self, what: str) -> str:
        """Names what is found out about the pool as seen from these targets."""
        return f"{what} of {hashlib.blake2b(self.targets.tobytes(), digest_size=8).hexdigest()}"


def _plan(structure: Structure, free: "NDArray[np.intp]", earlier: "NDArray[np.intp]") -> _Plan:
    group = structure.space.same()
    targets = np.flatnonzero(group == np.arange(len(group)))
    # Of rows that are written twice the last write counts, here the first row of each group.
    first = np.full(len(group), -1, np.intp)
    first[group[free[::-1]]] = free[::-1]
    first[group[earlier]] = -1
    queue = np.sort(first[first >= 0])
    copy = np.zeros(len(group), bool)
    copy[free] = True
    copy[queue] = False
    around = targets[:0]
    if len(targets) > _EXACT:
        keys = structure.keys
        drawn = targets[np.argsort(keys[targets], kind="stable")]
        targets, around = np.sort(drawn[:_TARGETS]), np.sort(drawn[: large.SURROUNDINGS])
        queue = queue[np.argsort(keys[queue], kind="stable")]
    return _Plan(targets, around, queue, np.flatnonzero(copy))


def _still(room: Room, row: int) -> bool:
    """Take a row if there is room for it, and say whether there was."""
    if not room.open(np.array([row], np.intp))[0]:
        return False
    room.take(row)
    return True


def _representatives(
    structure: Structure,
    plan: _Plan,
    weights: "NDArray[np.float64]",
    earlier: "NDArray[np.intp]",
    k: int,
    must: list[int],
    room: Room,
) -> "tuple[NDArray[np.intp], list[float]]":
    space, targets, queue = structure.space, plan.targets, plan.queue
    kernel = coverage.Kernel.of(space, coverage.squared_width(space, targets, len(earlier) + k))
    covered = kernel(structure.reach(earlier)[targets]) if len(earlier) else kernel.covered(space, targets, earlier)
    chosen: list[int] = list(must)
    gains: list[float] = []
    if must:
        similarity = kernel.matrix(space, np.array(must, np.intp), targets)
        gains = coverage.gains(similarity, weights, covered)
        covered = np.maximum(covered, similarity.max(axis=0))
        for row in must:
            room.take(row)
    before = covered
    queue = queue[room.open(queue)]
    while len(chosen) < k and len(queue):
        candidates = np.sort(queue[:_EXACT])
        count = min(k - len(chosen), len(candidates), _STRETCH if len(queue) > _EXACT else _EXACT)
        similarity = kernel.matrix(space, candidates, targets)

        def close(row: int, candidates: "NDArray[np.intp]" = candidates) -> "NDArray[np.bool_]":
            room.take(int(candidates[row]))
            return ~room.open(candidates)

        picked = coverage.pick(similarity, weights, covered, count, close if room.limited else None)
        rows = [row for row, _ in picked]
        chosen += candidates[rows].tolist()
        gains += [gain for _, gain in picked]
        covered = np.maximum(covered, similarity[rows].max(axis=0))
        queue = queue[~np.isin(queue, candidates[rows])]
        queue = queue[room.open(queue)]
    count = len(chosen) - len(must)
    if not room.limited and len(plan.around) and 0 < count <= _STRETCH:
        free = np.zeros(len(space.codes), bool)
        free[plan.queue] = True
        free[must] = False
        reach = structure.reach(earlier)[plan.around]
        if must:
            reach = np.minimum(reach, space.nearest(plan.around, np.array(must, np.intp))[1])
        picked = np.array(chosen[len(must) :], np.intp)
        settled = np.sort(large.settled(space, kernel, plan.around, free, reach, picked))
        ranked = coverage.pick(kernel.matrix(space, settled, targets), weights, before, count)
        chosen[len(must) :] = [int(settled[row]) for row, _ in ranked]
        gains[len(must) :] = [gain for _, gain in ranked]
    if not room.limited:
        for row in chosen[len(must) :]:
            room.take(row)
    copies: list[int] = []
    for row in plan.copies.tolist():
        if len(chosen) + len(copies) == k:
            break
        if _still(room, row):
            copies.append(row)
    return np.array(chosen + copies, np.intp), gains + [0.0] * len(copies)


class _Callable(types.ModuleType):
    """Makes `from alaas_pipeline.engine import select` work as a function although a module has that name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Selection:
        return select(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
