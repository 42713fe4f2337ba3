"""What a selection is asked for, checked before anything is computed."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from alaas_pipeline.engine.geometry import blocks
from alaas_pipeline.engine.picks import STRATEGIES, PoolExhausted

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK: Final = 8_192
_NAMED: Final = 5
# Outside of these, squares of entries leave the range of float32.
_SCALES: Final = (1e-15, 1e15)


def checked(
    ids: Sequence[str],
    vectors: "NDArray[np.floating]",
    k: int,
    strategy: str,
    selected: Collection[str],
    max_outliers: int | None,
) -> set[str]:
    """Refuses impossible arguments of `select`; returns the ids selected before.

    Raises:
        ValueError: An argument is impossible; the message names the ids concerned.
        PoolExhausted: The pool is empty.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"The strategy {strategy!r} is unknown: use one of {', '.join(STRATEGIES)}.")
    if k < 1:
        raise ValueError(f"At least one image must be asked for, not {k}.")
    if max_outliers is not None and max_outliers < 0:
        raise ValueError(f"The number of outliers cannot be {max_outliers}.")
    if vectors.ndim != 2 or len(ids) != len(vectors):
        raise ValueError(f"{len(ids):,} ids do not fit vectors of shape {vectors.shape}.")
    if not len(ids):
        raise PoolExhausted("Nothing is left to pick: the pool is empty. Add images to the pool.")
    if vectors.shape[1] == 0 or not np.issubdtype(vectors.dtype, np.floating):
        raise ValueError(f"The vectors must be floats with at least one entry, not {vectors.dtype} {vectors.shape}.")
    known = set(ids)
    if len(known) != len(ids):
        seen: set[str] = set()
        raise ValueError(f"These ids come twice: {_some([i for i in ids if i in seen or seen.add(i)])}.")
    largest = _largest_entries(vectors)
    bad = np.flatnonzero(~np.isfinite(largest)).tolist()
    if bad:
        raise ValueError(
            f"The vectors of these ids hold NaN or infinity: {_some([ids[r] for r in bad])}. Embed them again."
        )
    extreme = np.flatnonzero((largest > _SCALES[1]) | ((largest > 0) & (largest < _SCALES[0]))).tolist()
    if extreme:
        raise ValueError(
            f"The vectors of these ids are too long or too short to be compared: {_some([ids[r] for r in extreme])}. "
            "Scale them to unit length."
        )
    rows = set(selected)
    if rows - known:
        raise ValueError(f"These ids were selected before but have no vector: {_some(sorted(rows - known))}.")
    return rows


def _largest_entries(vectors: "NDArray[np.floating]") -> "NDArray[np.float64]":
    """Size of each row's largest entry; not finite where any entry is not."""
    if vectors.dtype == np.float16:
        # Without their signs, half floats sort as whole numbers do, which are compared much faster.
        bits = [(vectors[part].view(np.uint16) & 0x7FFF).max(axis=1) for part in blocks(len(vectors), _BLOCK)]
        return np.concatenate(bits).view(np.float16).astype(np.float64)
    parts = [np.abs(vectors[part]).max(axis=1) for part in blocks(len(vectors), _BLOCK)]
    return np.concatenate(parts).astype(np.float64)


def must_rows(must: Sequence[str], names: list[str], selected: set[str], barred: set[str], k: int) -> list[int]:
    """Finds the rows of the images that are asked for by name, in that order, at most k.

    Raises:
        ValueError: One of them is unknown, or never to be picked; the message names it.
    """
    wanted = [name for name in dict.fromkeys(must) if name not in selected]
    if not wanted:
        return []
    row_of = {name: row for row, name in enumerate(names)}
    unknown = [name for name in wanted if name not in row_of]
    if unknown:
        raise ValueError(f"These ids must be picked but have no vector: {_some(unknown)}.")
    if contrary := [name for name in wanted if name in barred]:
        raise ValueError(f"These ids must be picked and are excluded at once: {_some(contrary)}.")
    return [row_of[name] for name in wanted[:k]]


def _some(ids: list[str]) -> str:
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more
