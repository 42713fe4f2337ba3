"""What a set of labels is worth: two learners on the untouched test part, and three figures that need no labels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

PENALTY = 10.0
_STEPS, _ENOUGH = 2000, 1e-3
_REFERENCE = 100


@dataclass(frozen=True)
class Scorer:
    """Scores picks of one pool.

    Attributes:
        pool: Unit vectors of the images that picks come from.
        labels: Their classes, as numbers from 0.
        test: Unit vectors of the test part.
        truth: Their classes.
    """

    pool: NDArray[np.float32]
    labels: NDArray[np.intp]
    test: NDArray[np.float32]
    truth: NDArray[np.intp]

    def __call__(self, picks: list[int]) -> dict[str, float]:
        """Scores the picks, whatever their order.

        Returns:
            `nn` and `nn_macro`: accuracy of the nearest labelled image by cosine, over images and over classes, 0 to 1.
            `probe` and `probe_macro`: the same of multinomial logistic regression, L2, C = 10, on vectors centred and scaled by the pool.
            `classes`: share of the pool's classes among the picks.
            `coverage`: mean over the pool of exp(-(d / h)^2) to the nearest pick; h is twice the pool's median distance to the
            (n / 100)th neighbour, whatever was picked.
            `radius`: largest distance from an image of the pool to its nearest pick, between unit vectors.
        """
        rows = np.sort(np.array(picks, np.intp))
        known = self.labels[rows]
        nearest = known[self._to_test[:, rows].argmax(axis=1)]
        probed = logistic(self._kernel[np.ix_(rows, rows)], known, self._test_kernel[:, rows])
        squared = self._squared[:, rows].min(axis=1)
        return {
            "nn": float((nearest == self.truth).mean()),
            "nn_macro": macro(nearest, self.truth),
            "probe": float((probed == self.truth).mean()),
            "probe_macro": macro(probed, self.truth),
            "classes": len(np.unique(known)) / len(np.unique(self.labels)),
            "coverage": float(np.exp(-squared / self._squared_width).mean()),
            "radius": float(np.sqrt(squared.max())),
        }

    @cached_property
    def _to_test(self) -> NDArray[np.float32]:
        return self.test @ self.pool.T

    @cached_property
    def _squared(self) -> NDArray[np.float32]:
        return np.maximum(2 - 2 * self.pool @ self.pool.T, 0)

    @cached_property
    def _squared_width(self) -> float:
        rank = max(1, round(len(self.pool) / _REFERENCE))
        return 4 * float(np.median(np.partition(self._squared, rank, axis=1)[:, rank]))

    @cached_property
    def _centred(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        mean = self.pool.mean(axis=0)
        scale = np.sqrt(np.square(self.pool - mean).sum(axis=1).mean())
        return (self.pool - mean) / scale, (self.test - mean) / scale

    @cached_property
    def _kernel(self) -> NDArray[np.float64]:
        return (self._centred[0] @ self._centred[0].T).astype(np.float64)

    @cached_property
    def _test_kernel(self) -> NDArray[np.float32]:
        return self._centred[1] @ self._centred[0].T


def macro(told: NDArray[np.intp], truth: NDArray[np.intp]) -> float:
    """Mean over the classes of the share of their images that was told right."""
    return float(np.mean([(told[truth == label] == label).mean() for label in np.unique(truth)]))


def logistic(
    products: NDArray[np.float64], labels: NDArray[np.intp], to_test: NDArray[np.floating], penalty: float = PENALTY
) -> NDArray[np.intp]:
    """Fits multinomial logistic regression by dot products only, and says the classes of test rows.

    The minimum of sum of cross-entropies + |w|^2 / (2 penalty) over w and a free bias, w in the span of the labelled rows, found by
    Nesterov's gradient method with restarts.

    Args:
        products: Dot products of the labelled rows, shape (labelled, labelled).
        labels: Their classes.
        to_test: Dot products of test rows with labelled rows, shape (test, labelled).
        penalty: The C of scikit-learn.
    """
    classes, own = np.unique(labels, return_inverse=True)
    values, axes = np.linalg.eigh(products)
    kept = values > max(float(values[-1]), 0.0) * 1e-7
    if len(classes) == 1 or not kept.any():
        return np.full(len(to_test), np.bincount(labels).argmax(), np.intp)
    root = np.sqrt(values[kept])
    points = np.hstack([axes[:, kept] * root, np.ones((len(labels), 1))])
    weights = minimise(points, own, len(classes), penalty)
    tested = (to_test @ (axes[:, kept] / root)) @ weights[:-1] + weights[-1]
    return classes[tested.argmax(axis=1)]


def minimise(points: NDArray[np.float64], own: NDArray[np.intp], classes: int, penalty: float) -> NDArray[np.float64]:
    """Returns the weights, shape (columns, classes); the last column of `points` is the bias, which is not penalised."""
    shrink = np.full((points.shape[1], 1), 1 / penalty)
    shrink[-1] = 0
    step = 1 / (0.5 * np.linalg.norm(points, 2) ** 2 + 1 / penalty)
    hit = np.eye(classes)[own]
    weights = ahead = np.zeros((points.shape[1], classes))
    momentum = 1.0
    for _ in range(_STEPS):
        slope = gradient(points, hit, ahead, shrink)
        if np.abs(slope).max() < _ENOUGH:
            break
        moved = ahead - step * slope
        # Going uphill: forget the momentum (O'Donoghue and Candes 2015).
        if (slope * (moved - weights)).sum() > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - weights)
        weights, momentum = moved, following
    return ahead


def gradient(
    points: NDArray[np.float64], hit: NDArray[np.float64], weights: NDArray[np.float64], shrink: NDArray[np.float64]
) -> NDArray[np.float64]:
    logits = points @ weights
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return points.T @ (odds / odds.sum(axis=1, keepdims=True) - hit) + shrink * weights
