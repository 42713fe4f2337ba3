"""The space that selection works in: centred, softly whitened, and rounded to small integers.

Image encoders put all pictures into a narrow cone, so raw cosines waste themselves on a direction common to
all. Here vectors are scaled to unit length, centred, projected on at most 128 principal axes, each divided
by the fourth root of its standard deviation (half-hearted whitening: full whitening blows up noise), and
divided by the square root of their length. That is half-way between keeping the lengths, which lets a few far
images rule, and giving all the same, which blows up what lies near the mean. At last all are scaled to a
mean squared length of 1, so unrelated images are about 1.4 apart. The result is stored as int8 codes. Dot products of such codes in float32 are
sums of integers below 2**24, hence exact: distances do not depend on the number of threads, the order of
rows or the BLAS library.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alaas_pipeline.engine.products import product

if TYPE_CHECKING:
    from numpy.typing import NDArray

AXES = 128
# Standard deviations of unit vectors below this are rounding, not content.
_NOISE = 1e-6
_BLOCK = 8192
# So many distances at a time stay in the caches.
_AT_ONCE = 1 << 22
# Sums of squares are multiplied as three digits to this base, which bfloat16 holds like the codes.
_BASE = 128
_POWERS = np.array([1, _BASE, _BASE**2], np.float32)
_GROUPS = 512


@dataclass(frozen=True)
class Geometry:
    """Points of a mean squared length of 1, as integers.

    Attributes:
        codes: int8 of shape (images, axes).
        norms: Squared lengths of the codes, float32 holding integers, shape (images,).
        unit: How many code steps make a distance of 1.
    """

    codes: "NDArray[np.int8]"
    norms: "NDArray[np.float32]"
    unit: float

    def floats(self, rows: "NDArray[np.intp]") -> "NDArray[np.float32]":
        """Returns the codes of some rows as float32, which libraries for neighbours want."""
        return self.codes[rows].astype(np.float32)

    def squared(self, rows: "NDArray[np.intp]", others: "NDArray[np.intp]") -> "NDArray[np.float32]":
        """Returns squared distances in code steps, exact integers of shape (rows, others)."""
        return product(self._left(rows), self._right(others))

    def by_block(
        self, rows: "NDArray[np.intp]", others: "NDArray[np.intp]"
    ) -> Iterator[tuple[slice, "NDArray[np.float32]"]]:
        """Yields `squared` for some rows after the other, as many at a time as the caches hold."""
        right = self._right(others)
        for part in blocks(len(rows), max(1, _AT_ONCE // max(1, len(others)))):
            yield part, product(self._left(rows[part]), right)

    # -2 x y + |x|^2 + |y|^2 as one product, which saves three passes over the result.
    def _left(self, rows: "NDArray[np.intp]") -> "NDArray[np.float32]":
        powers = np.broadcast_to(_POWERS, (len(rows), len(_POWERS)))
        return np.concatenate([-2 * self.floats(rows), self._digits(rows), powers], axis=1)

    def _right(self, rows: "NDArray[np.intp]") -> "NDArray[np.float32]":
        powers = np.broadcast_to(_POWERS, (len(rows), len(_POWERS)))
        return np.concatenate([self.floats(rows), powers, self._digits(rows)], axis=1)

    def _digits(self, rows: "NDArray[np.intp]") -> "NDArray[np.float32]":
        norms = self.norms[rows].astype(np.int64)
        return (norms[:, None] // _POWERS.astype(np.int64) % _BASE).astype(np.float32)

    def distance(self, squared: "NDArray[np.float32] | float") -> "NDArray[np.float64]":
        """Turns squared code steps into distances: 0 for the same, about 1.4 for unrelated images."""
        return np.sqrt(np.asarray(squared, np.float64)) / self.unit

    def same(self) -> "NDArray[np.intp]":
        """Returns for each image the first one whose codes agree with its own in full."""
        width = -self.codes.shape[1] % 8
        padded = np.pad(self.codes, ((0, 0), (0, width))) if width else np.ascontiguousarray(self.codes)
        words = padded.view(np.uint64)
        factors = np.random.default_rng(0).integers(1 << 63, size=words.shape[1], dtype=np.uint64) * 2 + 1
        # Codes that agree have the same sum, and the reverse is checked.
        sums = (words ^ (words >> np.uint64(29))) @ factors
        order = np.argsort(sums, kind="stable")
        new = np.concatenate([[True], sums[order[1:]] != sums[order[:-1]]])
        first = np.empty(len(sums), np.intp)
        first[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
        others = np.flatnonzero(first != np.arange(len(first)))
        if (words[others] == words[first[others]]).all():
            return first
        row = np.dtype((np.void, words.shape[1] * 8))
        _, index, group = np.unique(words.view(row)[:, 0], return_index=True, return_inverse=True)
        return index[group]

    def smallest(self, rows: "NDArray[np.intp]", others: "NDArray[np.intp]", count: int) -> "NDArray[np.float32]":
        """Finds the squared distances to each row's nearest others, a row that is among them included.

        Args:
            rows: Images to look from.
            others: Images to look for, at least `count`.
            count: How many of the nearest.

        Returns:
            Squared code steps in rising order, shape (rows, count).
        """
        out = np.empty((len(rows), count), np.float32)
        for part, found in self.by_block(rows, others):
            cut = len(others) // _GROUPS * _GROUPS
            if count * 8 < _GROUPS and cut >= 4 * _GROUPS:
                # The count-th smallest of the groups' minima is no less than that of all: what exceeds it can be passed over.
                minima = found[:, :cut].reshape(len(found), -1, _GROUPS).min(axis=1)
                limit = np.partition(minima, count - 1, axis=1)[:, count - 1]
                flat = np.flatnonzero(found <= limit[:, None])
                row = flat // len(others)
                starts = np.searchsorted(row, np.arange(len(found)))
                few = np.full((len(found), int(np.bincount(row).max())), np.inf, np.float32)
                few[row, np.arange(len(flat)) - starts[row]] = found.ravel()[flat]
                found = few
            elif count < found.shape[1]:
                found = np.partition(found, count - 1, axis=1)[:, :count]
            out[part] = np.sort(found, axis=1)[:, :count]
        return out

    def nearest(
        self, rows: "NDArray[np.intp]", others: "NDArray[np.intp]"
    ) -> "tuple[NDArray[np.intp], NDArray[np.float32]]":
        """Finds each row's nearest among others, in bounded memory.

        Args:
            rows: Images to look from.
            others: Images to look for, at least one; the first wins a tie.

        Returns:
            Positions in `others`, and squared distances in code steps.
        """
        position = np.zeros(len(rows), np.intp)
        squared = np.full(len(rows), np.inf, np.float32)
        for right in blocks(len(others), 2048):
            for left, found in self.by_block(rows, others[right]):
                column = found.argmin(axis=1)
                value = found[np.arange(len(column)), column]
                closer = value < squared[left]
                squared[left] = np.where(closer, value, squared[left])
                position[left] = np.where(closer, column + right.start, position[left])
        return position, squared


def blocks(length: int, size: int) -> Iterator[slice]:
    """Cuts a range into slices of at most `size`."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


@dataclass(frozen=True)
class Axes:
    """How vectors become points: fitted to a pool, and good for images that are added to it.

    Attributes:
        mean: Of the unit vectors, shape (dim,).
        projection: Shape (dim, axes); one axis of zeros where the vectors do not differ.
    """

    mean: "NDArray[np.float32]"
    projection: "NDArray[np.float32]"

    def points(self, vectors: "NDArray[np.floating]", order: "NDArray[np.intp]") -> "NDArray[np.float32]":
        """Projects some rows; those of zeros stay zeros."""
        points = np.empty((len(order), self.projection.shape[1]), np.float32)
        for part, block in zip(blocks(len(order), _BLOCK), _unit_blocks(vectors, order), strict=True):
            block -= self.mean
            points[part] = _half_rows(np.matmul(block, self.projection, dtype=np.float32))
        return points


def axes_of(vectors: "NDArray[np.floating]", order: "NDArray[np.intp]") -> Axes:
    """Fits the axes to some rows.

    Args:
        vectors: Shape (images, dim), finite; only directions matter.
        order: The rows that count, in the order in which they are summed.
    """
    count, dim = len(order), vectors.shape[1]
    mean = sum((block.sum(axis=0, dtype=np.float64) for block in _unit_blocks(vectors, order)), np.zeros(dim))
    mean = (mean / count).astype(np.float32)
    scatter = np.zeros((dim, dim))
    for block in _unit_blocks(vectors, order):
        block -= mean
        scatter += block.T @ block
    values, axes = np.linalg.eigh(scatter / count)
    values, axes = values[::-1][:AXES], axes[:, ::-1][:, :AXES]
    kept = values > max(_NOISE**2, float(values[0]) * _NOISE) if dim else np.zeros(0, bool)
    if not kept.any():
        return Axes(mean, np.zeros((dim, 1), np.float32))
    projection = (axes[:, kept] / values[kept] ** 0.125).astype(np.float32)
    lengths = 0.0
    for block in _unit_blocks(vectors, order):
        block -= mean
        lengths += float(np.sqrt(np.square(block @ projection).sum(axis=1)).sum(dtype=np.float64))
    # The square of a point's length is what its length was before the root: so these get a mean square of 1.
    return Axes(mean, projection / np.float32(lengths / count))


def coded(points: "NDArray[np.float32]", unit: float | None = None) -> Geometry:
    """Rounds points to codes.

    Args:
        points: Shape (images, axes).
        unit: How many code steps make a distance of 1; None for as many as the codes can hold. What lies beyond their ends
            is put there.
    """
    if unit is None:
        largest = max((float(np.abs(points[part]).max()) for part in blocks(len(points), _BLOCK)), default=0.0)
        unit = 127 / largest if largest else 1.0
    codes = np.empty(points.shape, np.int8)
    for part in blocks(len(points), _BLOCK):
        codes[part] = np.rint(points[part] * unit).clip(-127, 127)
    return Geometry(codes, squares(codes), unit)


def squares(codes: "NDArray[np.int8]") -> "NDArray[np.float32]":
    """Returns the squared lengths of codes, as `Geometry` holds them."""
    norms = np.empty(len(codes), np.float32)
    for part in blocks(len(codes), _BLOCK):
        floats = codes[part].astype(np.float32)
        norms[part] = np.einsum("ij,ij->i", floats, floats)
    return norms


def fit(vectors: "NDArray[np.floating]", order: "NDArray[np.intp]") -> Geometry:
    """Builds the geometry of a pool.

    Args:
        vectors: Shape (images, dim), finite; only directions matter.
        order: The rows in the order in which the geometry numbers them.

    Returns:
        The geometry; all codes are zero where the vectors do not differ.
    """
    return coded(axes_of(vectors, order).points(vectors, order))


def _unit_blocks(vectors: "NDArray[np.floating]", order: "NDArray[np.intp]") -> Iterator["NDArray[np.float32]"]:
    for part in blocks(len(order), _BLOCK):
        yield unit_rows(vectors[order[part]].astype(np.float32))


def _half_rows(rows: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Divides rows by the square root of their length; rows of zeros stay zeros."""
    length = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    length[length == 0] = 1
    return rows / np.sqrt(length)


def unit_rows(rows: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Scales rows to unit length; rows of zeros stay zeros."""
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    length[length == 0] = 1
    return rows / length
