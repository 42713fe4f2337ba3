"""What a draw has missed: picks of a large pool moved to better places among all images near them.

Where a sample stands for the pool, the greedy picks what fits the sample. Here each pick is exchanged for the image that stands best for
its own surroundings: the images, up to 131,072 of them, that no other pick is nearer to. For weights that are even within such a
surrounding no step makes the coverage worse, since an image counts for the nearest pick, wherever the others go.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from alaas_pipeline.engine.coverage import Kernel
from alaas_pipeline.engine.geometry import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

SURROUNDINGS: Final = 131_072
# Of large surroundings so many of the nearest to the pick may take its place, and so many speak for all.
_CANDIDATES: Final = 128
_VOICES: Final = 2_048


def settled(
    space: Geometry,
    kernel: Kernel,
    around: "NDArray[np.intp]",
    free: "NDArray[np.bool_]",
    reach: "NDArray[np.float32]",
    chosen: "NDArray[np.intp]",
) -> "NDArray[np.intp]":
    """Moves picks to the best place in their surroundings.

    Args:
        space: The pool's geometry.
        kernel: What nearness is worth.
        around: The images that have a say, rising.
        free: For every image of the pool, whether it may be picked.
        reach: Squared distance of each image of `around` to the nearest pick that stays.
        chosen: The picks to move, all different.

    Returns:
        As many picks, all different.
    """
    moved = chosen.copy()
    owner, squared = space.nearest(around, chosen)
    owner[squared >= reach] = -1
    order = np.argsort(owner, kind="stable")
    limits = np.searchsorted(owner[order], np.arange(len(chosen) + 1))
    for place, row in enumerate(chosen.tolist()):
        members = around[order[limits[place] : limits[place + 1]]]
        voices = members[:: max(1, -(-len(members) // _VOICES))]
        candidates = members[free[members] & (members != row)]
        if len(candidates) > _CANDIDATES:
            near = space.squared(candidates, np.array([row], np.intp))[:, 0]
            candidates = candidates[np.sort(np.argsort(near, kind="stable")[:_CANDIDATES])]
        if len(candidates):
            worth = kernel(space.squared(np.append(candidates, row), voices)).sum(axis=1, dtype=np.int64)
            if worth[:-1].max() > worth[-1]:
                moved[place] = candidates[worth[:-1].argmax()]
    return moved
