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

if TYPE_CHECKING:
    from numpy.typing import NDArray

AXES = 128
# Standard deviations of unit vectors below this are rounding, not content.
_NOISE = 1e-6
_BLOCK = 8192


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
        product = self.floats(rows) @ self.floats(others).T
        product *= -2
        product += self.norms[rows][:, None]
        product += self.norms[others]
        return product

    def distance(self, squared: "NDArray[np.float32] | float") -> "NDArray[np.float64]":
        """Turns squared code steps into distances: 0 for the same, about 1.4 for unrelated images."""
        return np.sqrt(np.asarray(squared, np.float64)) / self.unit

    def same(self) -> "NDArray[np.intp]":
        """Numbers the groups of images whose codes agree in full, one number an image."""
        row = np.dtype((np.void, self.codes.shape[1]))
        return np.unique(np.ascontiguousarray(self.codes).view(row)[:, 0], return_inverse=True)[1]

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
        for left in blocks(len(rows), _BLOCK):
            for right in blocks(len(others), 2048):
                found = self.squared(rows[left], others[right])
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


def fit(vectors: "NDArray[np.floating]", order: "NDArray[np.intp]") -> Geometry:
    """Builds the geometry of a pool.

    Args:
        vectors: Shape (images, dim), finite; only directions matter.
        order: The rows in the order in which the geometry numbers them.

    Returns:
        The geometry; all codes are zero where the vectors do not differ.
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
        return Geometry(np.zeros((count, 1), np.int8), np.zeros(count, np.float32), 1.0)
    projection = (axes[:, kept] / values[kept] ** 0.125).astype(np.float32)
    points = np.empty((count, projection.shape[1]), np.float32)
    for part, block in zip(blocks(count, _BLOCK), _unit_blocks(vectors, order), strict=True):
        points[part] = _half_rows(np.matmul(block - mean, projection, dtype=np.float32))
    points /= np.sqrt(np.square(points).sum(axis=1).mean(dtype=np.float64))
    unit = 127 / float(np.abs(points).max())
    codes = np.rint(points * unit).astype(np.int8)
    norms = np.concatenate([np.square(codes[part].astype(np.float32)).sum(axis=1) for part in blocks(count, _BLOCK)])
    return Geometry(codes, norms, unit)


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
    length = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    length[length == 0] = 1
    return rows / length
